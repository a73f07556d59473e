"""Files of what was removed: noted with the rows' removal, freed after it, and by the tick when that was cut short.

Nothing is touched but what lies strictly below a root of the studio's, is no link, and is not where a row that stays
points to. A process that dies between leaves files and their note, never a row without its files.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from actors.desk import Desk
from actors.references import UNFINISHED
from core.messages.removal import KeptFiles
from core.paths import PathRefused, inside
from core.store.session import Unit
from core.store.tables import Adapter, Dataset, FineTuningJob, Job, Meta, Model

NOTE = "free:"  # + path: the key of a note in meta; its value is the root that the path must lie in


@dataclass(frozen=True)
class Candidate:
    """Something that may go: a file or directory strictly below `root`, which is a directory of the studio's own.

    `bytes` is how much it is, where that was looked up before the transaction.
    """

    path: Path
    root: Path
    bytes: int | None = None


@dataclass(frozen=True)
class Place:
    """Where a row points to: nothing that holds it may go and, unless the row only gathers there, nothing in it."""

    path: Path
    what: str
    whole: bool = True

    def holds(self, path: Path) -> bool:
        """Whether `path` must stay."""
        return self.path.is_relative_to(path) or (self.whole and path.is_relative_to(self.path))


@dataclass
class Freed:
    """What is going, how much that is, and what stays."""

    paths: list[str]
    bytes: int
    kept: list[KeptFiles]


def leave(desk: Desk, unit: Unit, candidates: Sequence[Candidate], kept: Sequence[KeptFiles] = ()) -> Freed:
    """Note what the unit leaves behind, and free it when the unit is committed. Rows that go must be flushed before."""
    freed = Freed([], 0, list(kept))
    places = list(_places(desk, unit.session)) if candidates else []
    for each in candidates:
        path = _real(each.path)
        if not os.path.lexists(path):
            continue
        if reason := _refused(path, each.root, places):
            freed.kept.append(KeptFiles(path=str(path), reason=reason))
            continue
        freed.paths.append(str(path))
        freed.bytes += size(path) if each.bytes is None else each.bytes
        note(unit, path, each.root)
    if freed.paths:
        unit.after(partial(sweep, desk, freed.paths))
    return freed


def note(unit: Unit, path: Path, root: Path) -> None:
    """Note that the path may go once nothing holds it: no row points there, and no process has its lock."""
    unit.session.merge(Meta(key=f"{NOTE}{path}", value=json.dumps({"root": str(root.resolve())})))


def sweep(desk: Desk, only: Sequence[str] | None = None) -> None:
    """Free what is noted (or only these paths); what can't be freed now stays noted. Several processes may do it at once."""
    try:
        with desk.store.read() as session:
            notes = {row.key.removeprefix(NOTE): row.value for row in session.scalars(_noted())}
            chosen = [path for path in (notes if only is None else only) if path in notes]
        # Rows are looked at last: whoever had the lock of a path may have stored one that points there before it let go.
        chosen = [path for path in chosen if not _held(desk, Path(path))]
        with desk.store.read() as session:
            places = list(_places(desk, session)) if chosen else []
        done = [path for path in chosen if _free(desk, Path(path), Path(json.loads(notes[path])["root"]), places)]
        if done:
            with desk.store.write() as unit:
                unit.session.execute(delete(Meta).where(Meta.key.in_([f"{NOTE}{path}" for path in done])))
    except SQLAlchemyError as error:
        desk.away(f"files of what was removed are freed later: {error}")


def _noted() -> Any:
    return select(Meta).where(Meta.key.startswith(NOTE, autoescape=True))


def _free(desk: Desk, path: Path, root: Path, places: Sequence[Place]) -> bool:
    """Remove the path; tell whether the note is done with: it is, too, when a row came that points there."""
    if _refused(path, root, places):
        return True
    try:
        _remove(path)
    except OSError as error:
        desk.away(f"{path} can't be removed for now: {error}")
        return False
    if path.parent != root:
        _remove_empty(path.parent)
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, onerror=_unless_gone)
    else:
        path.unlink(missing_ok=True)


def _unless_gone(function: Any, path: str, error: Any) -> None:
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]


def _remove_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        return  # not empty, or gone


def _held(desk: Desk, path: Path) -> bool:
    """Whether a process still has the path, as far as that can be told."""
    try:
        return _in_use(path)
    except OSError as error:
        desk.away(f"{path} can't be looked at for now: {error}")
        return True


def _in_use(path: Path) -> bool:
    """Whether someone holds a lock in there: the child of an attempt that was given up may live on, a copy may be made."""
    own = path / "lock"
    return any(locked(lock) for lock in (own, *path.glob("*/lock"))) if path.is_dir() else False


def locked(lock: Path) -> bool:
    """Whether someone holds that lock. Raises OSError."""
    if not lock.is_file():
        return False
    with lock.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _refused(path: Path, root: Path, places: Sequence[Place]) -> str:
    """Why the path must stay; empty when it may go."""
    try:
        real = inside(root, path.parent) / path.name
    except PathRefused:
        return f"it lies outside {root}"
    if real != path or path.name in {"", ".", ".."} or path == root.resolve():
        return f"it is no file or directory below {root}"
    if path.is_symlink():
        return "it is a link"
    return next((f"{place.what} points there" for place in places if place.holds(path)), "")


def _places(desk: Desk, session: Session) -> Iterator[Place]:
    """Every place that a row needs."""
    project, real = desk.settings.project.resolve(), _Real()
    for model, what in ((Dataset, "dataset"), (Model, "model"), (Adapter, "adapter")):
        for name, location in session.execute(select(model.name, model.location).where(model.location.is_not(None))):
            yield Place(real(project / (location or "")), f"{what} {name!r}")
    jobs = select(FineTuningJob.id, FineTuningJob.out_dir, Job.status).outerjoin(Job, Job.id == FineTuningJob.id)
    for id, out_dir, status in session.execute(jobs.where(FineTuningJob.out_dir.is_not(None))):
        yield Place(real(project / (out_dir or "") / id), f"job {id}", whole=status in UNFINISHED)
    for id in session.scalars(select(Job.id).where(Job.status.in_(UNFINISHED))):
        yield Place(desk.settings.artifacts_root / "jobs" / id, f"unfinished job {id}")


class _Real:
    """Resolves many paths: each directory once."""

    def __init__(self) -> None:
        self.parents: dict[str, str] = {}

    def __call__(self, path: Path) -> Path:
        head, name = os.path.split(os.path.normpath(path))
        if head not in self.parents:
            self.parents[head] = os.path.realpath(head)
        whole = os.path.join(self.parents[head], name)  # noqa: PTH118  # a Path here costs more than the rest
        return Path(os.path.realpath(whole) if os.path.islink(whole) else whole)  # noqa: PTH114


def _real(path: Path) -> Path:
    """The path with the links of its directories resolved, but not the last part's: a link is never followed."""
    return path.parent.resolve() / path.name


def size(path: Path) -> int:
    """Bytes of the files below `path`; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum(_size(Path(directory) / name) for directory, _, names in os.walk(path) for name in names)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0  # it went meanwhile
