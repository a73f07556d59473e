"""A job whose disk is full or away stands still instead of ending. It says so, obeys orders, and goes on by itself when there is room."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.events import Finished
from gpu_runner.child import Context
from gpu_runner.failures import Cancelled, Paused, is_disk_full
from gpu_runner.reserve import Reserve
from gpu_runner.shared import AWAY, sees
from gpu_runner.team import Team

SPARE = 64 << 20  # bytes that stay free on the disk beside what is written
LOOK = 1.0  # seconds between looks whether there is room
LONGEST = 30.0  # seconds between tries that fail although there seems to be room: a quota, a limit
MIB = 1 << 20


@dataclass
class Writing:
    """Something that is written into `directory`: what it is, for people, and about how many bytes it takes."""

    what: str
    needed: int
    directory: Path
    reserve: Reserve | None = None  # room that is kept for it
    spare: int = SPARE  # bytes that are to stay free beside it

    @property
    def free(self) -> int:
        """Bytes that are free there; 0 when the directory is away."""
        try:
            return shutil.disk_usage(self.directory).free
        except OSError:
            return 0

    def is_away(self, error: BaseException) -> bool:
        """Whether the error is that the directory can't be reached just now."""
        while isinstance(error, Exception) and not isinstance(error, OSError) and error.__cause__ is not None:
            error = error.__cause__
        return isinstance(error, OSError) and (error.errno in AWAY or not sees(self.directory))

    @property
    def fits(self) -> bool:
        """Whether it can be begun: its room is kept, or there is more than enough."""
        held = self.reserve.size if self.reserve else 0
        return 0 < self.needed <= held or self.free + held >= self.needed + self.spare

    def short(self, error: BaseException | None = None) -> str:
        """What is lacking, for people."""
        why = f" ({error})" if error else ""
        if not sees(self.directory) or (error is not None and self.is_away(error)):
            return f"{self.what} can't be written while {self.directory} is away{why}"
        return f"{self.what} needs {_mib(self.needed)}, and {_mib(self.free)} are free on the disk of {self.directory}{why}"


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB" if size < 10 * MIB else f"{size // MIB} MiB"


def with_room(
    context: Context,
    writing: Writing,
    steps: Sequence[Callable[[], None]],
    undo: Callable[[], None] = lambda: None,
    team: Team | None = None,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Do the steps in order when there is room; where the disk fills up or goes away, `undo` them and begin again when it is back.

    All processes of the team come here, and hold as one: a step that fails in one of them fails for all. Raises Cancelled
    or Paused when that is asked for meanwhile, and whatever a step raises that is no want of room. So does whatever `look`,
    which is called while the job waits, raises.
    """
    team = team or context.team
    hold = Hold(context, writing, team, look)
    while True:
        error: BaseException | None = None
        if team.share(writing.fits):
            if writing.reserve and team.first:
                writing.reserve.release()
            failed, error = _try(steps, team, writing)
            if not failed:
                break
            undo()
        hold.stand(error)
    hold.over()


def _try(steps: Sequence[Callable[[], None]], team: Team, writing: Writing) -> tuple[bool, BaseException | None]:
    """(whether there was no room for a step in any process, this one's error)."""
    for step in steps:
        error: BaseException | None = None
        try:
            step()
        except Exception as raised:
            if not (is_disk_full(raised) or writing.is_away(raised)):
                raise
            error = raised.with_traceback(None)
        if team.any(error is not None):
            return True, error
    return False, None


@dataclass
class Hold:
    """The time for which a job stands still."""

    context: Context
    writing: Writing
    team: Team
    look: Callable[[], None] = lambda: None
    told: bool = False
    pause: float = field(default=LOOK)

    def stand(self, error: BaseException | None) -> None:
        """Wait until it is worth another try. Raises Cancelled, Paused."""
        spool = self.context.spool
        if not self.told and self.team.first:
            away = not sees(self.writing.directory) or (error is not None and self.writing.is_away(error))
            text = f"{'' if away else 'no room: '}{self.writing.short(error)}"
            spool.write("held", needed=0 if away else self.writing.needed, free=self.writing.free, text=text)
        self.told = True
        self.pause = min(LONGEST, self.pause * 2) if self.team.any(error is not None) else LOOK
        until = time.monotonic() + self.pause
        while self.team.share(time.monotonic() < until):
            self._obey()
            self._look()
            time.sleep(min(LOOK, self.pause))
            spool.flush()

    def over(self) -> None:
        """There was room."""
        if self.told and self.team.first:
            self.context.spool.write("unheld")

    def _look(self) -> None:
        """Let whoever writes give up; the job then stands still no more."""
        try:
            self.look()
        except BaseException:
            self.over()
            raise

    def _obey(self) -> None:
        if self.team.any(self.team.first and self.context.spool.gone):
            raise Cancelled  # a job that was removed has nobody to wait for
        order = self.team.share(self.context.order())
        if order == "cancel":
            raise Cancelled
        if order == "pause":
            self.context.spool.warn("paused while there was no room to save: it will go on from its last checkpoint")
            raise Paused


def given_back(context: Context, finished: Finished, needed: int = SPARE) -> Finished:
    """What comes of a job that failed for want of room where it could not stand still: it waits, and is run again from its
    last checkpoint. One that fails although there is room fails for good: waiting would not mend that.
    """
    assert finished.error is not None
    writing = Writing(finished.error.message, needed, context.directory)
    if writing.free >= needed:
        return finished
    hold = Hold(context, writing, Team())
    try:
        while writing.free < needed:
            hold.stand(None)
    except Cancelled:
        return Finished(at=time.time(), outcome="cancelled")
    except Paused:
        return Finished(at=time.time(), outcome="paused")
    hold.over()
    return Finished(at=time.time(), outcome="paused")
