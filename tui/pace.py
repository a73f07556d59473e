"""How fast the line to the terminal is: a frame is drawn when the ones before it have arrived, not queued behind them.

With a frame goes a question that the terminal answers once it has shown it (DECRQM of mode 2026). A terminal that never
answered is taken as quick. On a quick line nothing ever waits; on a slow one what changes meanwhile goes with the next
frame, so that a key is answered after one frame and not after all that piled up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

QUESTION = "\x1b[?2026$p"
LATE = 0.1  # seconds of frames that may be under way
AWAY = 0.25  # seconds to a far terminal and back that are no sign of a slow line
SLACK = 0.03  # seconds within which an answer is as quick as ever
QUICK = 65_536  # bytes a second from which a line is as good as any
FRAME = 0.25  # seconds that a slow line has for one frame
SMALL = 120  # bytes: a line, and where it stands
SILENT = 10.0  # seconds after which an answer is not waited for any more


class Pace:
    """Counts what is under way. Times are seconds of `clock`, sizes bytes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.sent = self.asked = self.arrived = 0  # bytes: all, up to the last question, up to the last answer
        self.asked_at: float | None = None
        self.answers = False  # whether the terminal does
        self.least = AWAY  # the quickest answer so far
        self.rate: float | None = None  # bytes a second; None: more than there are

    def send(self, size: int) -> bool:
        """So much is written now; whether the question is to go with it."""
        self.sent += size
        if self.asked_at is not None:
            return False
        self.asked, self.asked_at = self.sent, self.clock()
        return True

    def answered(self) -> None:
        """What was sent before the question is on the screen."""
        self.answers = True
        if self.asked_at is None:
            return  # one that Textual asked
        took = self.clock() - self.asked_at
        self.least = min(self.least, took)
        over, size = took - self.least, self.asked - self.arrived
        if over > SLACK:
            self.rate = size / over
        elif self.rate is not None and (told := max(self.rate, size / SLACK)) < QUICK:
            self.rate = told  # a small frame that is soon there says little of large ones
        else:
            self.rate = None
        self.arrived, self.asked_at = self.asked, None

    @property
    def room(self) -> float:
        """Bytes that a frame may have: what a slow line takes while a key is waited for."""
        return math.inf if self.rate is None else max(SMALL, self.rate * FRAME)

    @property
    def free(self) -> bool:
        """Whether another frame may go."""
        if not self.answers or self.asked_at is None:
            return True
        waited = self.clock() - self.asked_at
        if waited > SILENT:
            self.answers, self.asked_at, self.rate = False, None, None
            return True
        return waited <= self.least + LATE if self.rate is None else (self.sent - self.arrived) / self.rate <= LATE
