"""Which function does which message: the whole map of what the actors can do."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from core.messages import Message

# A command's handler gets (message, unit, world), a query's (message, session, world).
Handler = Callable[[Any, Any, Any], Any]
HANDLERS: dict[str, Handler] = {}
DOMAINS = (
    "datasets",
    "browsing",
    "models",
    "adapters",
    "prompts",
    "configs",
    "axolotl",
    "events",
    "overview",
    "sent",
    "letters",
    "then",
    "fine_tuning",
    "evaluation",
    "scored",
    "exporting",
    "promoting",
    "comparing",
    "endpoints",
    "splits",
    "database",
    "planning",
    "jobs",
    "verbs",
    "metrics",
    "runners",
    "notifying",
    "removal",
    "checking",
    "editing",
    "workbench",
)
H = TypeVar("H", bound=Handler)


def handles(message: type[Message[Any]]) -> Callable[[H], H]:
    """Register the decorated function as the one that does `message`."""

    def register(handler: H) -> H:
        HANDLERS[message.__name__] = handler
        return handler

    return register


def load() -> dict[str, Handler]:
    """Import every domain, so that its handlers are registered; return the map."""
    for domain in DOMAINS:
        import_module(f"actors.{domain}")
    return HANDLERS
