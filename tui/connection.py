"""Whether the studio can be reached: which part of it is away, since when, and what that means for jobs."""

from __future__ import annotations

import time

FIRST, LONGEST = 1.0, 15.0  # seconds until a question that failed is asked again, at first and at last
QUIET = 15.0  # seconds without an answer after which the studio is asked whether it is there

PARTS = {
    "queue": ("Queue", "The queue is away"),
    "actors": ("Actors", "The actors are away"),
    "store": ("Store", "The store can't be used"),
}


class Connection:
    """What is known of the way to the studio. `part` is what is away, empty while nothing is; times are unix seconds."""

    def __init__(self) -> None:
        self.part = self.reason = ""
        self.since = 0.0
        self.tries = 0

    def answered(self) -> bool:
        """The studio answers; whether it was away."""
        was, self.part, self.reason, self.tries = bool(self.part), "", "", 0
        return was

    def failed(self, part: str, reason: str) -> None:
        """A part of it can't be reached; what was away longer is told first."""
        self.since = self.since if self.part else time.time()
        self.part, self.reason = part, reason
        self.tries += 1

    @property
    def pause(self) -> float:
        """Seconds until it is tried again."""
        return min(LONGEST, FIRST * 2.0 ** max(0, min(self.tries, 10) - 1))

    def told(self, room: int, as_of: float) -> str:
        """What is away since when, what jobs do meanwhile, and of when (`as_of`, 0: nothing yet) what is shown is, in a line
        of `room` characters when that is at all possible."""
        if not self.part:
            return ""
        if not as_of:
            return f"not connected: {self.reason}"
        short, whole = PARTS[self.part]
        since, then = clock(self.since), clock(as_of)
        long = f"{whole} since {since}. Jobs go on, their reports wait. Shown as of {then}. Trying again; `fts status` tells more"
        return long if len(long) <= room else f"{short} away since {since}. Jobs go on. As of {then}. Trying again"

    def refusal(self) -> str:
        """Why nothing can be sent now and what to do; empty while it can."""
        if not self.part:
            return ""
        _, whole = PARTS[self.part]
        since = f"{whole} since {clock(self.since)}: nothing was sent. "
        return (
            since
            + "It is tried again by itself; do this when the line on top says no more of it (`fts status` tells what runs)."
        )


def clock(at: float) -> str:
    """A local time of day; with its date when that is not today's."""
    local = time.localtime(at)
    today = local[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%d %b %H:%M", local)
