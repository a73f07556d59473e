"""One attempt as the daemon sees it: its files, its child, what was told of it and what is ordered."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from core.events import Failure, Finished
from core.failing import filled
from core.messages.runners import Gang, Question, Short
from core.spec import SPEC, EvaluationSpec, FineTuningSpec, Spec
from core.types import FailureClass, Order
from gpu_runner.asking import Asking
from gpu_runner.failures import is_disk_full
from gpu_runner.files import Child, Files, read_json, read_runs, write_json
from gpu_runner.processes import end_leftovers, is_running, signal_group
from gpu_runner.reserve import Reserve
from gpu_runner.room import Held
from gpu_runner.shared import is_away
from gpu_runner.usage import Means

log = logging.getLogger(__name__)
NEEDED = 8 << 20  # bytes that a disk must have free before a job begins on it
Outcome = Literal["failed", "cancelled", "paused"]
AGAIN = 5.0  # seconds between tries to begin a job whose files could not be written though the disk says it has room
SOON = 1.0  # the same where they were away
ORDERS = 64 << 10  # bytes of kept room that are given up for orders which a full disk does not take


class Stage(Enum):
    """Where an attempt is on this runner."""

    waiting = auto()  # no child yet: for its specification, for room, for the warm process
    running = auto()
    over = auto()  # its child is dead, or it never had one and never will


class Attempt:
    """An attempt of a job. `accepted` is the offset that the studio took in; None until a reply said so."""

    def __init__(self, job_id: str, number: int, files: Files) -> None:
        self.job_id, self.number, self.files = job_id, number, files
        self.stage = Stage.waiting
        self.order = Order.run
        self.spec: Spec | None = None
        self.gang: Gang | None = None  # its place among the runners of the job, when there are several
        self.fresh = False  # it begins anew, whatever earlier attempts left
        self.child: Child | None = None
        self.gpus: tuple[str, ...] = ()
        self.runs = 1  # how much of it runs at once, where its work is elsewhere: each takes what the job asks for
        self.accepted: int | None = None
        self.exit_code: int | None = None
        self.starved = False  # the kernel ended it for want of memory
        self.warm = False
        self.cold_next = False  # the fork was bad: the next start is a cold one
        self.computing = False  # its spool tells of a step
        self.finished = False  # its spool's last record was read
        self.ending = False  # that record was accepted: the child may take its time to leave
        self.not_before = 0.0  # monotonic time before which it gets no other child
        self.missing = 0  # how often it was found dead without an exit code
        self.since = 0.0  # monotonic time of the order to cancel, or of `ending`
        self.signalled = 0
        self.usage = Means()  # what it takes of this host
        self.met = False  # whether an earlier daemon began it was looked up
        self.short: Short | None = None  # why it can't be begun: there is no room for its files, or they are away
        self._replaced: Child | None = None  # a dead one, whose name is still written
        self._look_at = 0.0  # monotonic time from which room is looked for again
        self.unwritten: dict[str, Any] | None = None  # the failure that its spool had no room for
        self._size = -1
        self._control: dict[str, Any] = {}
        self._asking = Asking(files.asked)

    def __str__(self) -> str:
        return f"job {self.job_id} attempt {self.number}"

    @property
    def held(self) -> Held:
        """What it occupies here."""
        if self.stage is Stage.over:
            return Held()
        return Held(gpus=self.gpus) if self.spec is None else Held.by(self.spec.resources, self.gpus, self.copies)

    @property
    def questions(self) -> list[int]:
        """The questions of a comparison that it holds, by number."""
        return self._asking.held

    @property
    def tracked(self) -> bool:
        """Whether MLflow gets a run of it: a plan trains nothing, and an export writes its own."""
        return isinstance(self.spec, FineTuningSpec | EvaluationSpec)

    @property
    def workers(self) -> int:
        """How many of the job's workers are this runner's; raises when there is no specification yet."""
        assert self.spec is not None
        return self.gang.workers if self.gang is not None else self.spec.resources.workers

    @property
    def copies(self) -> int:
        """How many times it takes here what the job asks for; raises when there is no specification yet."""
        return self.workers * self.runs

    @property
    def waits_for_others(self) -> bool:
        """Whether the first of the job's runners has yet to say where to meet."""
        return self.gang is not None and self.gang.rank > 0 and self.gang.rendezvous is None

    def place(self, address: str) -> dict[str, Any] | None:
        """What its child is told of its place among several runners; `address` is this one's."""
        gang = self.gang
        if gang is None:
            return None
        told = {"workers": gang.workers, "node": gang.rank, "nodes": gang.runners}
        return {**told, "address": address, "rendezvous": gang.rendezvous if gang.rank else None}

    def take_spec(self, given: dict[str, Any] | None) -> None:
        """Read the specification from its file, or take and write the one given. Raises OSError, ValidationError."""
        content = read_json(self.files.spec) if given is None else given
        if content is None:
            return
        spec = SPEC.validate_python(content)
        if given is not None:
            self.files.make()
            write_json(self.files.spec, given)
        self.spec = spec

    def look_for_room(self, root: Path, now: float) -> bool:
        """Note whether there is room for what a child writes first; tell whether that has changed. Raises OSError."""
        if now < self._look_at:
            return False
        free = shutil.disk_usage(root).free
        return self._is_short(None if free >= NEEDED else Short(needed=NEEDED, free=free))

    def has_no_files(self, artifacts: Path, error: OSError, now: float) -> bool:
        """Its files can't be written: they have no room or are away, which passes, or it ends of it; whether that is news."""
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:  # whatever the disk says
            self._look_at = now + AGAIN
            return self._is_short(Short(needed=NEEDED, free=0))
        if why := is_away(artifacts, self.files.directory, error):
            self._look_at = now + SOON
            return self._is_short(Short(needed=0, free=0, away=why))
        self.fail(FailureClass.bug, f"the job can't be started: {error}", "The runner's log tells more.")
        return True

    def _is_short(self, short: Short | None) -> bool:
        before, self.short = self.short, short
        if before is None and short is not None:
            log.warning("%s: waits: %s", self, short.away or "there is no room for its files")
        return (before is None) is not (short is None)

    def begin_anew(self) -> None:
        """Leave word that neither this attempt nor one after it goes on from those before. Raises OSError."""
        self.files.fresh.touch()

    def meet(self) -> None:
        """Look up what an earlier daemon did of it: it may run, be dead, or never have been begun."""
        self.met = True
        if self.files.child() is not None:
            self.adopt()
        elif self.files.spool_size():
            self.stage = Stage.over  # it could not be started, and its spool says why

    def adopt(self) -> None:
        """Take over a child that an earlier daemon started, dead or alive."""
        self.met, self.child = True, self.files.child()
        self.gpus = self.child.gpus if self.child else ()
        self.runs = read_runs(self.files, 1)
        self.stage = Stage.running
        self._control = read_json(self.files.control) or {}
        try:
            self.take_spec(None)
        except ValidationError as error:
            log.warning("%s: %s", self, error)  # it runs all the same; only what it occupies is unknown

    def share(self, runs: int) -> None:
        """Let so much of it run at once. Raises OSError."""
        if runs != self.runs:
            write_json(self.files.room, {"runs": runs})
            self.runs = runs

    def shrink(self) -> bool:
        """Whether less of it runs at once than before, to its end: what that took is free."""
        left = read_runs(self.files, self.runs)
        if self.spec is None or left >= self.runs:
            return False
        self.runs = left
        self.gpus = self.gpus[: self.spec.resources.gpus * self.copies]
        return True

    def begin_again(self, not_before: float) -> None:
        """Its child is dead, and it is to get another one, from that monotonic time on. What it holds stays its own."""
        self._replaced, self.child = self.child or self.files.child(), None
        self.stage, self.not_before, self.since = Stage.waiting, not_before, time.monotonic()
        self.missing = self.signalled = 0

    def _find_child(self) -> Child | None:
        """The child, once it has said who it is: until then the file may still name the one before it."""
        found = self.child or self.files.child()
        return None if found == self._replaced else found

    def grown(self) -> bool:
        """Whether its spool has changed since this was last asked."""
        size = self.files.spool_size()
        changed, self._size = size != self._size, size
        return changed

    def alive(self) -> bool:
        """Whether the child lives: it holds the lock, and is the process that began the attempt.

        A descendant may hold the lock when the child is dead; before `child.json` is there, the lock alone tells.
        """
        with contextlib.suppress(OSError):  # what a file system that is away can't tell, its pid does
            if not self.files.locked():
                return False
        self.child = self._find_child()
        if self.child is None or self.child.host not in ("", socket.gethostname()):
            return True  # a pid of another host, whose runner this one was, means nothing here
        return is_running(self.child.pid, self.child.started)

    def die(self, code: int | None, *, starving: bool = False) -> None:
        """The child is dead: note its exit code (its own file's when nobody could wait for it), end what it left behind.

        While the host is `starving`, the kernel ends processes for want of memory: the next attempt begins with less at once.
        """
        if self.child is not None and self.child.host in ("", socket.gethostname()):
            end_leftovers(self.child.pid)
        said = (read_json(self.files.exit) or {}).get("code")
        self.exit_code = code if code is not None else said if isinstance(said, int) else None
        self.stage = Stage.over
        Reserve(self.files.reserve).release()
        self.starved = starving and code == -signal.SIGKILL and not self.signalled
        if self.starved:
            with contextlib.suppress(OSError):  # a full disk: it is told all the same
                self.files.starved.touch()

    def kill(self, number: signal.Signals) -> None:
        """Signal the child's group; nothing when there is none, or the pid is another process now."""
        self.child = self._find_child()
        if self.child is not None:
            signal_group(self.child.pid, self.child.started, number)

    def obey(self, order: Order, cancelled: list[str], checkpoint: int = 0, asked: Sequence[Question] = ()) -> None:
        """Hand orders to the child by its control file; what can't be written is tried again with the next reply.

        `checkpoint` counts the checkpoints that were asked for, `asked` are a comparison's questions. An order that is taken back is written too: the child may
        not have heard of it yet.
        """
        if order is not self.order:
            log.info("%s: %s", self, order)
            self.order, self.since = order, time.monotonic()
        self._asking.hand_on(asked)
        control = {"order": str(order), "cancelled": cancelled, "checkpoint": checkpoint}
        nothing = order is Order.run and not cancelled and not checkpoint
        if control == self._control or (nothing and not self._control):
            return
        try:
            self._write_control(control)
            self._control = control
        except OSError as error:
            log.warning("%s: %s can't be handed on: %s", self, order, error)

    def _write_control(self, control: dict[str, Any]) -> None:
        """Write the child's orders, on a full disk into the room that is kept for its next checkpoint. Raises OSError."""
        try:
            write_json(self.files.control, control)
        except OSError as error:
            if not is_disk_full(error) or not Reserve(self.files.reserve).give(ORDERS):
                raise
            write_json(self.files.control, control)

    def escalate(self, now: float, patience: tuple[float, float]) -> None:
        """A child that does not cancel is terminated after the first time (seconds), killed after the second."""
        waited = now - self.since if self.order is Order.cancel or self.ending else 0.0
        for step, (limit, number) in enumerate(zip(patience, (signal.SIGTERM, signal.SIGKILL), strict=True), 1):
            if waited >= limit and self.signalled < step:
                log.warning("%s: %s after %.0f s", self, number.name, waited)
                self.kill(number)
                self.signalled = step

    def fail(self, kind: str, message: str, hint: str = "") -> None:
        """End an attempt that can't be started: its last record says why. `kind` is a FailureClass."""
        log.error("%s: %s", self, message)
        self.finish("failed", filled(Failure(kind=kind, message=message, hint=hint)))

    def refuse(self, message: str) -> None:
        """End an attempt whose directory nothing may be written to."""
        log.error("%s: %s", self, message)
        failure = filled(Failure(kind=FailureClass.bug, message=message))
        self.stage, self.unwritten = Stage.over, _last("failed", failure)

    def finish(self, outcome: Outcome, error: Failure | None = None) -> None:
        """End an attempt that has no child, in the child's place."""
        record = _last(outcome, error)
        self.stage = Stage.over
        try:
            self.files.make()
            with self.files.spool.open("a", encoding="utf-8") as spool:
                spool.write(json.dumps(record) + "\n")
        except OSError:
            self.unwritten = record  # a full disk, or one that is away: it is told all the same


def _last(outcome: Outcome, error: Failure | None) -> dict[str, Any]:
    return Finished(at=time.time(), outcome=outcome, error=error).model_dump(mode="json")


def attempt_directory(artifacts: Path, job_id: str, number: int, rank: int = 0) -> Path:
    """Where the files of an attempt lie; those of several runners beside each other, the first one's under its number."""
    return artifacts / "jobs" / job_id / (f"{number}.{rank}" if rank else str(number))
