"""What computes the answers of an endpoint, behind the same door: the studio's own speaker, or vLLM."""

from __future__ import annotations

from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from gpu_runner.serving.asking import PredictSettings
from gpu_runner.serving.errors import no_such_model


class Engine(Protocol):
    """The names that it answers to, the base model's first; and the three ways to ask. What goes wrong is an ApiError."""

    names: list[str]

    async def chat(self, request: Request, body: bytes) -> Response:
        """Go on with a conversation."""

    async def complete(self, request: Request, body: bytes) -> Response:
        """Go on with texts."""

    async def predict(self, request: Request, asked: PredictSettings, model: str) -> str:
        """Go on with a text as the guide's callers ask it."""

    def broken(self) -> str | None:
        """Why it can't answer any more; None while it can."""

    async def stop(self) -> None:
        """End what is being answered, and let go of what it holds."""


def known(name: str, names: list[str]) -> str:
    """The name, when the endpoint answers to it; raises ApiError."""
    if name not in names:
        raise no_such_model(name, names)
    return name
