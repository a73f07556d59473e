"""Copies what a job does to MLflow, from its spool and beside it: `python -m gpu_runner.tracking JOB_DIRECTORY --uri URI`.

The process may be killed at any moment and started again: it goes on where `tracking.json` says, and what it writes twice
is there once (runs.py). A store that is locked or away is waited for; the training never notices.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before MLflow is imported: jobs are nobody else's business

from pydantic import ValidationError

from core.events import RECORD, AnyRecord
from core.spec import SPEC, EvaluationSpec, FineTuningSpec, Spec
from gpu_runner.book import Book, EvaluationBook, TrainingBook
from gpu_runner.files import Files, read_json, write_json
from gpu_runner.runs import Store, is_final
from gpu_runner.spool import read_records

log = logging.getLogger(__name__)
LIMIT = 256 * 1024  # bytes of the spool that are replayed between two notes of the place
PAUSE = 3.0  # seconds between looks at the spool: the live view is the studio's, MLflow may follow
GRACE = 120.0  # seconds that a dead child's next attempt is waited for
LONGEST_PAUSE = 60.0  # between tries while the store is away
PATIENCE = 24 * 3600.0  # seconds without any success after which it is given up


class NotTracked(Exception):
    """A job that has no run in MLflow: waiting does not change that."""


@dataclass(frozen=True)
class Place:
    """How far the job is replayed: into which store, which attempt, up to which byte, and whether that attempt's end too."""

    store: str
    attempt: int
    offset: int = 0
    ended: bool = False


class Tracker:
    """Replays one job. Holds nothing that can't be found again: after a failure a new one takes over."""

    def __init__(self, job_dir: Path, uri: str) -> None:
        self.job_dir, self.uri = job_dir, uri
        self.place = _noted(job_dir, uri)
        self._book: tuple[int, Book] | None = None
        self._quiet_since: float | None = None

    def turn(self) -> bool:
        """Replay the next piece; tell whether there was one. Whatever the store raises comes through."""
        if self.place is None or not self.job_dir.is_dir():
            return False
        records, end = read_records(self._files(self.place.attempt).spool, self.place.offset, LIMIT)
        if end > self.place.offset:
            known = [each for each in map(_known, records) if each is not None]
            self._of(self.place.attempt, known[0].at if known else time.time()).take(known)
            ended = any(each.type == "finished" for each in known)
            self._note(Place(self.place.store, self.place.attempt, end, ended))
            return True
        newer = [number for number in _attempts(self.job_dir) if number > self.place.attempt]
        if newer:
            self._note(Place(self.place.store, newer[0]))
        return bool(newer)

    def over(self, now: float) -> bool:
        """Whether nothing is left to wait for: the end was replayed, the child is dead without one, or the job is gone."""
        if self.place is None or self.place.ended or not self.job_dir.is_dir():
            return True
        files = self._files(self.place.attempt)
        if files.locked():
            self._quiet_since = None
            return False
        self._quiet_since = now if self._quiet_since is None else self._quiet_since
        if now - self._quiet_since < GRACE:
            return False
        died = (files.spool if files.spool_size() else files.spec).stat().st_mtime
        self._of(self.place.attempt, died).killed(died)
        return True

    def _files(self, attempt: int) -> Files:
        return Files(self.job_dir / str(attempt))

    def _of(self, attempt: int, began: float) -> Book:
        if self._book is None or self._book[0] != attempt:
            self._book = attempt, _open(self.job_dir, self.uri, attempt, began)
        return self._book[1]

    def _note(self, place: Place) -> None:
        write_json(self.job_dir / "tracking.json", asdict(place))
        self.place = place


def track(job_dir: Path, uri: str, pause: float = PAUSE, sleep: Callable[[float], None] = time.sleep) -> None:
    """Replay a job until it is over. Raises what can't be mended by waiting, and anything after a day of nothing else."""
    tracker, failures, since = Tracker(job_dir, uri), 0, time.monotonic()
    while True:
        try:
            if tracker.turn():
                failures, since = 0, time.monotonic()
            elif tracker.over(time.monotonic()):
                return
            else:
                failures, since = 0, time.monotonic()
                sleep(pause)
        except Exception as error:
            if (
                isinstance(error, ValidationError | NotTracked)
                or is_final(error)
                or time.monotonic() - since > PATIENCE
            ):
                raise
            failures += 1
            wait = min(LONGEST_PAUSE, 0.5 * 2 ** min(failures, 10)) * random.uniform(
                0.6, 1
            )  # others may wait for the same lock
            log.warning("%s; tried again in %.1f s", str(error).partition("\n")[0], wait)
            sleep(wait)
            tracker = Tracker(job_dir, uri)


def _noted(job_dir: Path, uri: str) -> Place | None:
    """Where to go on; the first attempt's beginning for a store that has nothing yet, None when there is no attempt."""
    store = hashlib.sha256(uri.encode()).hexdigest()  # the address may hold a password
    noted = read_json(job_dir / "tracking.json") or {}
    if noted.get("store") == store:
        with contextlib.suppress(TypeError):  # not what was written: from the beginning, which doubles nothing
            return Place(**noted)
    attempts = _attempts(job_dir)
    return Place(store, attempts[0]) if attempts else None


def _attempts(job_dir: Path) -> list[int]:
    """The attempts that have a specification, oldest first."""
    return sorted(int(path.parent.name) for path in job_dir.glob("*/spec.json") if path.parent.name.isdecimal())


def _open(job_dir: Path, uri: str, attempt: int, began: float) -> Book:
    spec: Spec = SPEC.validate_python(read_json(job_dir / str(attempt) / "spec.json"))
    store, root = Store(uri, job_dir / "mlflow"), job_dir.parents[1]
    if isinstance(spec, EvaluationSpec):
        return EvaluationBook(store, spec, attempt, began, root)
    if not isinstance(spec, FineTuningSpec):
        raise NotTracked(f"a job of kind {spec.kind.value} has no run of its own in MLflow")
    return TrainingBook(store, spec, attempt, began, root)


def _known(record: dict[str, object]) -> AnyRecord | None:
    try:
        return RECORD.validate_python(record)
    except ValidationError as error:
        log.warning("a record is passed over: %s", error)
        return None


def main() -> None:
    """Track the job that the command line names."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(description="Copy a job's spool to MLflow.")
    parser.add_argument("job", type=Path, help="the job's directory, <artifacts root>/jobs/<job>")
    parser.add_argument("--uri", required=True, help="MLflow's tracking URI")
    arguments = parser.parse_args()
    track(arguments.job.resolve(), arguments.uri)


if __name__ == "__main__":
    main()
