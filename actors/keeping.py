"""How long files of jobs that have ended are kept: their checkpoints, then their whole directories. The tick frees what is too old.

Jobs are gone through in the order in which they ended, and where one has come to is remembered: an idle studio looks at
nothing twice. What a row points to, an unfinished job's and what a living process holds is never freed (actors/freeing.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session, load_only

from actors import freeing, logs
from actors.desk import MARKER, Desk
from actors.jobs import ENDS
from core.store.session import Unit
from core.store.tables import Job, Meta

MLFLOW = "mlflow"  # in a job's directory: the files of its runs, which are MLflow's to remove
TRACKING = "tracking.lock"  # there too: held by whoever tells MLflow of the job (gpu_runner/trackers.py)
BATCH = 50  # jobs that are looked at in one turn
DAY = 86_400.0
CHECKPOINTS = ("checkpoints", "drafts", "best.safetensors", "reserve")  # of an attempt, besides what is told of it


@dataclass(frozen=True)
class Sort:
    """A sort of files: the key of its place in meta, how long it is kept (days, 0 for ever), what it is for people."""

    key: str
    days: float
    what: str

    def of(self, directory: Path) -> list[Path]:
        """What of a job's directory it is."""
        if self.what != "checkpoints":
            kept = directory / MLFLOW
            return [each for each in directory.iterdir() if each != kept] if kept.exists() else [directory]
        return [directory / str(number) / name for number in logs.attempts(directory) for name in CHECKPOINTS]


def sweep(desk: Desk, now: float) -> None:
    """Free what the settings say is kept no longer. While the artifacts are away nothing is looked at: it would count as gone."""
    using = desk.settings
    if not there(desk):
        return
    for sort in (
        Sort("kept:checkpoints", using.keep_checkpoints_days, "checkpoints"),
        Sort("kept:files", using.keep_job_files_days, "files"),
    ):
        if sort.days > 0:
            _sweep(desk, sort, now)


def there(desk: Desk) -> bool:
    """Whether the artifacts can be read."""
    try:
        return (desk.settings.artifacts_root / MARKER).is_file()
    except OSError as error:
        desk.away(f"files of jobs that have ended are freed later: {error}")
        return False


def _sweep(desk: Desk, sort: Sort, now: float) -> None:
    with desk.store.read() as session:
        ended = _ended_before(session, _place(session, sort), now - sort.days * DAY)
    for id, at in ended:
        directory = desk.settings.artifacts_root / "jobs" / id
        if sort.what == "files" and _tracked(desk, directory):
            return  # those that ended later are not told yet either
        found = _found(desk, sort, directory)
        with desk.store.write() as unit:
            if found:
                _free(desk, unit, id, at, sort, found)
            unit.session.merge(Meta(key=sort.key, value=json.dumps([at, id])))
        desk.publish()


def _tracked(desk: Desk, directory: Path) -> bool:
    """Whether the job's records are being told to MLflow still, which may have been away: that ends within a day."""
    try:
        return freeing.locked(directory / TRACKING)
    except OSError as error:
        desk.away(f"{directory} stays for now: {error}")
        return True


def _found(desk: Desk, sort: Sort, directory: Path) -> list[tuple[Path, int]]:
    """What there is and its bytes, looked up before anything is locked; a directory that can't be read is passed over, and keeps no other from its turn."""
    try:
        return [(path, freeing.size(path)) for path in sort.of(directory) if path.exists()]
    except OSError as error:
        desk.away(f"{directory} stays: {error}")
        return []


def _place(session: Session, sort: Sort) -> tuple[float, str]:
    """(when the last job ended that was looked at, its id)."""
    at, id = json.loads(session.scalar(select(Meta.value).where(Meta.key == sort.key)) or '[0, ""]')
    return float(at), str(id)


def _ended_before(session: Session, place: tuple[float, str], bound: float) -> list[tuple[str, float]]:
    at, id = place
    behind = or_(Job.finished_at > at, and_(Job.finished_at == at, Job.id > id))
    query = select(Job.id, Job.finished_at).where(Job.status.in_(ENDS), Job.finished_at < bound, behind)
    rows = session.execute(query.order_by(Job.finished_at, Job.id).limit(BATCH))
    return [(row[0], float(row[1] or 0)) for row in rows]


def _free(desk: Desk, unit: Unit, id: str, at: float, sort: Sort, paths: list[tuple[Path, int]]) -> None:
    """Note what goes, unless the job has been run again meanwhile, and say how much it is."""
    columns: Any = load_only(Job.id, Job.name, Job.status, Job.finished_at, Job.checkpoint, Job.attempt, Job.summary)
    job = unit.session.get(Job, id, with_for_update=True, options=[columns])
    if job is None or job.finished_at != at or job.status not in ENDS:
        return
    root = desk.settings.artifacts_root / "jobs"
    freed = freeing.leave(desk, unit, [freeing.Candidate(path, root, size) for path, size in paths])
    if not freed.paths:
        return
    job.checkpoint = None
    job.summary = {name: value for name, value in (job.summary or {}).items() if name != "checkpoint_step"} or None
    text = f"{job.name} ended {sort.days:g} days ago: {freed.bytes / 2**20:.1f} MiB of {sort.what} are freed"
    unit.emit("JobFilesFreed", "jobs", id, text, what=sort.what, bytes=freed.bytes, attempt=job.attempt)
