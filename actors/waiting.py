"""What is told of a job that waits: for what, behind whom, and when it might start."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from functools import cached_property
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors import lanes
from actors.allotting import SHARED, Host
from actors.forecast import forecast
from actors.hosts import SLACK, all_runners, capacity, hosts, label_of, needed
from actors.scheduling import Offer, Room, Waiting, shape_of
from core import labels
from core.messages.jobs import JobState
from core.settings import Settings
from core.store.tables import Job, Runner
from core.types import JobStatus

S = JobStatus
AHEAD = 100  # jobs of the queue that are gone through; what is told of one further back is that
RECENT = 50  # jobs that ended of late, whose median says how long one runs


class Board:
    """Runners and queue as they are at one request; what needs a look at all of it is looked at once, and when it is asked for."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session, self._settings, self._now = session, settings, time.time()
        self._names: dict[str, str | None] = {}

    @cached_property
    def runners(self) -> list[Runner]:
        """Every registered runner."""
        return all_runners(self._session)

    def called(self, runner_id: str) -> str | None:
        """What people call the runner: its host; None when it is forgotten."""
        if runner_id not in self._names:
            self._names[runner_id] = self._session.scalar(select(Runner.host).where(Runner.id == runner_id))
        return self._names[runner_id]

    @cached_property
    def hosts(self) -> list[Host]:
        """The runners that take work, and what they hold."""
        return hosts(self._session, self.runners)

    @cached_property
    def turns(self) -> list[Waiting]:
        """The jobs whose turn is first."""
        heads = lanes.heads(self._session)
        queued = lanes.oldest(self._session, [(head, AHEAD) for head in heads])
        ageing = self._settings.ageing_seconds
        return sorted(queued, key=lambda job: job.turn(self._now, ageing))[:AHEAD]

    @cached_property
    def starts(self) -> dict[str, float]:
        """When they might start."""
        return forecast(self.turns, self.hosts, self._now, self._usual_seconds())

    def _usual_seconds(self) -> float | None:
        took = select(Job.finished_at - Job.started_at).where(Job.finished_at.is_not(None))
        recent = self._session.scalars(took.order_by(Job.finished_at.desc()).limit(RECENT))
        known = [seconds for seconds in recent if seconds is not None]
        return statistics.median(known) if known else None

    @cached_property
    def kinds(self) -> set[Offer]:
        """The runners that take work, as far as they differ in what they could ever run."""
        return {replace(host.offer, free=host.offer.capacity, kept=None) for host in self.hosts}

    def ahead(self, job: Job) -> int | None:
        """How many jobs that could run where this one could have their turn before it; None when it is too far back."""
        able = [kind for kind in self.kinds if kind.can_ever_run(shape_of(job.shape))]
        before = 0
        for other in self.turns:
            if other.id == job.id:
                return before
            before += any(kind.can_ever_run(other.shape) for kind in able)
        return None


def state(job: Job | None, board: Board | None = None) -> dict[str, Any]:
    """The fields of core.messages.jobs.JobState from a job's row; why it waits, and where it runs, is told with a board."""
    if job is None:
        return {}
    names = set(JobState.model_fields) - {"runner", "waiting_for", "might_start_at", "last_metrics"}
    fields = {name: getattr(job, name) for name in names} | {"last_metrics": job.last_metrics or {}}
    if board is not None and job.runner_id:
        fields["runner"] = board.called(job.runner_id)
    if board is not None and job.status == S.queued:
        fields |= {"waiting_for": waiting_for(job, board), "might_start_at": board.starts.get(job.id)}
    return fields


def waiting_for(job: Job, board: Board) -> str:
    """Why a queued job does not run yet, for people."""
    if not board.runners:
        return "a runner: none has registered; `fts up` starts one"
    trusted = [each for each in board.runners if each.trusted]
    if not trusted:
        return "a runner that sees the studio's artifacts directory"
    able = [each for each in trusted if job.engine in each.engines]
    if not able:
        return f"a runner that offers {job.engine}: none does"
    if job.workers > 1 and job.engine in SHARED and not any(capacity(each).holds(needed(job)) for each in able):
        return _several(job, able)
    need = needed(job)
    if lacking := _lacking(need, [capacity(each) for each in able]):
        return lacking
    fit = [each for each in able if capacity(each).holds(need)]
    if not fit:
        return "a runner that has all it asks for at once: none does"
    label = shape_of(job.shape).label
    fit = [each for each in fit if labels.serves(label_of(each), label)]
    if not fit and labels.is_of_job(label):
        return "its own run in Cloudera ML: it was made by hand there, and goes on when that is started again"
    if not fit:
        return (
            f"a runner with accelerator label {label}: none has it"
            if label
            else "a runner that is not kept for one job"
        )
    if all(each.lost for each in fit):
        return "its runners, which can't be reached"
    if all(each.draining or each.lost for each in fit):
        return "its runners, which are draining"
    return _room(job, board, [each for each in fit if not each.lost and not each.draining])


def _several(job: Job, able: list[Runner]) -> str:
    """Why a job waits that no single runner could hold."""
    shape = shape_of(job.shape)
    there = [each for each in able if not each.lost and not each.draining]
    labelled = [each for each in there if labels.serves(label_of(each), shape.label) and each.kind != "cml"]
    most = sum(capacity(each).count(shape.worker) for each in labelled)
    if most < shape.workers:
        return f"runners with room for {shape.workers} workers together: those that could take part have it for {most}"
    return f"room for its {shape.workers} workers on several runners at once"


def _room(job: Job, board: Board, fit: list[Runner]) -> str:
    keeping = [each.host for each in fit if each.kept_for == job.id]
    if keeping:
        return f"room on {keeping[0]}, where it is kept for it"
    names = sorted({each.host for each in fit})
    where = ", ".join(names) if len(names) <= 3 else f"one of {len(fit)} runners"
    ahead = board.ahead(job)
    if ahead == 0:
        return f"room on {where}"
    many = f"more than {AHEAD} jobs are" if ahead is None else "1 job is" if ahead == 1 else f"{ahead} jobs are"
    return f"room on {where}; {many} ahead of it"


def _lacking(need: Room, rooms: list[Room]) -> str | None:
    for what, asked, most in (
        ("GPU", need.gpus, max(each.gpus for each in rooms)),
        ("CPU core", need.cpus, max(each.cpus for each in rooms)),
    ):
        if asked > most:
            return f"a runner with {asked:g} {what}{'s' if asked != 1 else ''}: the largest has {most:g}"
    most_memory = max(each.memory for each in rooms)
    if need.memory > most_memory:
        return f"a runner with {need.memory:g} GiB of memory: the largest has {most_memory - SLACK:.1f}"
    return None
