"""How fast the line to the terminal is: a frame is drawn when the ones before it have arrived, not queued behind them.

With a frame goes a question that the terminal answers once it has shown it (DECRQM of mode 2026). A terminal that never
answered is taken as quick. On a quick line nothing ever waits; on a slow one what changes meanwhile goes with the next
frame, so that a key is answered after one frame and not after all that piled up.

What of an answer's time is the way there and back is known from questions alone, which are asked on a slow line now and
then: with the time of the quickest frame instead, no line would seem as slow as it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

QUESTION = "\x1b[?2026$p"
BEGIN = 1_024  # bytes of the first frame that is asked about: a second and more of the slowest lines
LATE = 0.1  # seconds of frames that may be under way
AWAY = 0.25  # seconds to a far terminal and back that are no sign of a slow line
SLACK = 0.03  # seconds within which an answer is as quick as ever
QUICK = 65_536  # bytes a second from which a line is as good as any
FRAME = 0.25  # seconds that a slow line has for one frame
SMALL = 120  # bytes: a line, and where it stands
SILENT = 10.0  # seconds after which an answer is not waited for any more
SOUND = 10.0  # seconds between questions alone, on a slow line


class Pace:
    """Counts what is under way. Times are seconds of `clock`, sizes bytes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.sent = self.asked = self.arrived = 0  # bytes: all, up to the last question, up to the last answer
        self.asked_at: float | None = None
        self.answers = False  # whether the terminal does
        self.least = AWAY  # the quickest answer so far, or since it was sounded
        self.rate: float | None = None  # bytes a second; None: more than there are
        self.known = False  # whether a frame's answer has told of the rate
        self.sounding = False  # whether the question that is under way stands alone
        self.sounded_at = -math.inf
        self.last = (0, 0.0)  # the last frame's bytes, and the seconds until its answer

    def resume(self) -> None:
        """The terminal was another program's: Textual asks anew whether it answers, and what it had not yet said is lost."""
        self.answers, self.asked_at, self.arrived = False, None, self.sent

    def send(self, size: int) -> bool:
        """So much is written now; whether the question is to go with it. A terminal that did not answer Textual's gets none."""
        self.sent += size
        if not self.answers or self.asked_at is not None:
            return False
        self.asked, self.asked_at, self.sounding = self.sent, self.clock(), False
        return True

    def sound(self) -> bool:
        """Whether the question is to go alone now, with nothing before it on the line."""
        if self.rate is None or self.asked_at is not None or self.clock() < self.sounded_at + SOUND:
            return False
        self.asked, self.asked_at, self.sounding = self.sent, self.clock(), True
        return True

    def answered(self) -> None:
        """What was sent before the question is on the screen. The first answer is to Textual's own."""
        if not self.answers or self.asked_at is None:
            self.answers = True
            return
        took = self.clock() - self.asked_at
        if self.sounding:
            self._sounded(took)
        else:
            self.least, self.last = min(self.least, took), (self.asked - self.arrived, took)
            self._learn(*self.last)
        self.known, self.sounding = True, False
        self.arrived, self.asked_at = self.asked, None

    def _sounded(self, took: float) -> None:
        """So far away is the terminal: the first time, the last frame is looked at again."""
        first, self.least, self.sounded_at = self.sounded_at < 0, took, self.clock()
        if first:
            self.rate = None
            self._learn(*self.last)

    def _learn(self, size: int, took: float) -> None:
        """A frame of so many bytes was shown after so many seconds."""
        over = took - self.least
        if over > SLACK:
            told = size / (over if self.sounded_at >= 0 else took)  # how far it is away is not known yet
            self.rate = told if self.rate is None or told < self.rate else (self.rate + told) / 2
        elif self.rate is not None and (told := max(self.rate, size / SLACK)) < QUICK:
            self.rate = told  # a small frame that is soon there says little of large ones
        else:
            self.rate = None

    @property
    def room(self) -> float:
        """Bytes that a frame may have: what a slow line takes while a key is waited for."""
        if self.rate is None:
            return BEGIN if self.answers and not self.known else math.inf
        return max(SMALL, self.rate * FRAME)

    @property
    def free(self) -> bool:
        """Whether another frame may go."""
        if not self.answers or self.asked_at is None:
            return True
        waited = self.clock() - self.asked_at
        if waited > SILENT:
            self.answers, self.asked_at, self.rate, self.arrived = False, None, None, self.sent
            return True
        if self.sounding or not self.known:
            return False
        return waited <= self.least + LATE if self.rate is None else (self.sent - self.arrived) / self.rate <= LATE
