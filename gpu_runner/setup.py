"""What a daemon is made of, by where it has its jobs run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.messages.runners import RegisterRunner
from core.settings import Settings
from gpu_runner.identity import Identity
from gpu_runner.offering import Terms, offer, terms_of, trains
from gpu_runner.starter import WARM_COMMAND, Starter


@dataclass(frozen=True)
class Setup:
    """The parts: what the runner is called (None: as its host is), its terms, what it registers with, what starts its children."""

    name: str | None
    terms: Terms
    offer: Callable[[Identity], RegisterRunner]
    starter: Callable[[Callable[[], None]], Starter]


def setup_of(using: Settings, backend: str) -> Setup:
    """What the settings make for this backend. Raises Unavailable that says what it lacks here."""
    if backend == "cml":
        from gpu_runner.cml.quota import setup

        return setup(using)
    terms = terms_of(using)
    return Setup(
        using.runner_name,
        terms,
        lambda identity: offer(using, identity, terms.room),
        lambda bell: Starter(bell, WARM_COMMAND if trains() else None),
    )
