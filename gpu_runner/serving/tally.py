"""What an endpoint has done: counted as it happens, handed on in differences."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

LEFT = 499  # as others call it: the caller went away before the answer


@dataclass
class Counts:
    """Requests that were answered, refused, or failed; tokens that were made."""

    requests: int = 0
    refused: int = 0
    failures: int = 0
    tokens: int = 0


@dataclass
class Tally:
    """The counts of one process. `used` is the monotonic time at which someone who may ask was last answered."""

    counts: Counts = field(default_factory=Counts)
    active: int = 0
    used: float = field(default_factory=time.monotonic)
    _told: tuple[dict[str, int], int] = ({}, 0)

    def began(self) -> None:
        """A request is being answered."""
        self.active += 1

    def ended(self, status: int, *, failed: bool) -> None:
        """It was answered with that status; one that failed midway had begun well."""
        self.active -= 1
        self.used = time.monotonic()
        if status == LEFT:
            return
        if failed or status >= 500:
            self.counts.failures += 1
        elif status >= 400:
            self.counts.refused += 1
        else:
            self.counts.requests += 1

    def news(self) -> dict[str, int] | None:
        """What came since this was last asked, and what is active now; None when nothing changed."""
        now, (before, active) = asdict(self.counts), self._told
        new = {name: value - before.get(name, 0) for name, value in now.items()}
        if not any(new.values()) and active == self.active:
            return None
        self._told = now, self.active
        return {**new, "active": self.active}

    def idle_for(self) -> float:
        """Seconds in which nobody was answered."""
        return 0.0 if self.active else time.monotonic() - self.used
