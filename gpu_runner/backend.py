"""Where a daemon's children do their work: what of its ways depends on that. This is the way of a host that computes itself."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable

from gpu_runner.attempt import Attempt
from gpu_runner.starter import Starter


class Backend:
    """The children compute themselves, and with them their work is gone."""

    elsewhere = False  # what its children take of this host is what the jobs take

    def may_begin(self, attempt: Attempt, held: Collection[Attempt], now: float) -> bool:
        """Whether a child may be started for the attempt now; `held` are all that this runner has."""
        return True

    def more(self, held: Collection[Attempt]) -> int | None:
        """How many more jobs this runner takes beside `held`, all that it has; None: as many as there is room for."""
        return None

    def shrunk(self, attempt: Attempt) -> bool:
        """Whether an attempt that runs takes less from now on."""
        return False

    def must_end(self, attempt: Attempt) -> bool:
        """Whether an attempt without a child has something elsewhere that a child has to end, before it is over."""
        return False

    def again(self, attempt: Attempt, now: float) -> bool:
        """Whether the attempt, whose child is dead, is not over: it gets another child."""
        return False

    def code(self, attempt: Attempt, code: int | None) -> int | None:
        """What the work of an attempt ended with, whose child ended with `code`; None: not known."""
        return code

    def take_away(self, attempt: Attempt) -> None:
        """End the child of an attempt that is not this runner's any more; called until it is dead."""
        attempt.kill(signal.SIGKILL)

    def end_left(
        self, starter: Starter, runner_id: str, held: Collection[tuple[str, int]], now: float
    ) -> Iterable[Attempt]:
        """Attempts that are nobody's, for which children were started now to end them; `held` are this runner's own."""
        return ()
