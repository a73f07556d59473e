"""MLflow runs, written so that writing again changes nothing: whoever replays a spool twice leaves no point twice."""

from __future__ import annotations

import fcntl
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

Item = TypeVar("Item")

# MLflow's limits (mlflow.utils.validation, 3.17).
METRICS_A_BATCH = 1000
PARAMS_A_BATCH = 100
KEY_LENGTH, PARAM_LENGTH, TAG_LENGTH = 250, 6000, 8000
JOB = "fts.job_id"
PARENT = "mlflow.parentRunId"
SQLITE = "sqlite:///"
_REFUSED = re.compile(r"[^\w./: -]", re.ASCII)  # what a key may not hold
# What stays wrong however often it is tried; anything else may be a store that is locked, starting or away.
_FINAL = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "PERMISSION_DENIED", "UNAUTHENTICATED"}


class Point(NamedTuple):
    """A number at a step; `at` is unix seconds."""

    name: str
    value: float
    step: int
    at: float


def is_final(error: Exception) -> bool:
    """Whether trying again is of no use."""
    return isinstance(error, MlflowException) and error.error_code in _FINAL


class Run:
    """One run. A metric goes forward only: a step that is there, or lies before one that is, is not logged again."""

    def __init__(self, client: MlflowClient, run: Any) -> None:
        self._client, self.id = client, str(run.info.run_id)
        self._status: str = run.info.status
        self._params = set(run.data.params)
        self._tags: dict[str, str] = dict(run.data.tags)
        self._steps = {
            key: max(point.step for point in client.get_metric_history(self.id, key)) for key in run.data.metrics
        }

    def params(self, values: Mapping[str, str]) -> None:
        """Log what is not logged yet; a parameter that is there stays as it is."""
        new = [Param(name, value) for name, value in values.items() if name not in self._params]
        for batch in _batches(new, PARAMS_A_BATCH):
            self._client.log_batch(self.id, params=batch)
            self._params.update(each.key for each in batch)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags; long values are cut, and an empty one takes back what was told before."""
        changed = {key(name): value[:TAG_LENGTH] for name, value in values.items()}
        changed = {name: value for name, value in changed.items() if self._tags.get(name, "") != value}
        for batch in _batches(changed.items(), PARAMS_A_BATCH):
            self._client.log_batch(self.id, tags=[RunTag(name, value) for name, value in batch])
            self._tags.update(batch)

    def metrics(self, points: Iterable[Point]) -> None:
        """Log the points that go forward; what is not finite can't be drawn and is left out."""
        reached = dict(self._steps)
        new = []
        for point in points:
            name = key(point.name)
            if point.step > reached.get(name, -1) and math.isfinite(point.value):
                reached[name] = point.step
                new.append(Metric(name, point.value, round(point.at * 1000), point.step))
        for batch in _batches(new, METRICS_A_BATCH):
            self._client.log_batch(self.id, metrics=batch)
        self._steps = reached

    def artifacts(self, directory: Path, name: str) -> None:
        """Put a directory's files beside the run, under `name`; what is there is written again. One that is gone is left out."""
        if directory.is_dir():
            self._client.log_artifacts(self.id, str(directory), name)

    def file(self, path: Path, name: str) -> None:
        """Put a file beside the run, under `name`; what is there is written again. One that is gone is left out."""
        if path.is_file():
            self._client.log_artifact(self.id, str(path), name)

    def has(self, metric: str) -> bool:
        """Whether the metric was logged."""
        return key(metric) in self._steps

    def has_artifact(self, path: str) -> bool:
        """Whether a file lies beside the run."""
        return any(each.path == path for each in self._client.list_artifacts(self.id))

    def status(self, status: str, at: float) -> None:
        """Set RUNNING, SCHEDULED, FINISHED, FAILED or KILLED; `at` (unix seconds) is the end of one that ends."""
        if status == self._status:
            return
        if RunStatus.is_terminated(RunStatus.from_string(status)):
            self._client.set_terminated(self.id, status, round(at * 1000))
        else:
            self._client.update_run(self.id, status)
        self._status = status


class Store:
    """A tracking store. Experiments are found by name and runs by their job's id, so nothing has to be remembered."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        """`artifacts` is where a local store's experiments keep files; a server has its own place. May raise anything."""
        make_store(uri)
        self.uri, self._client = uri, MlflowClient(uri)
        self._artifacts = artifacts.as_uri() if uri.startswith("sqlite") else None

    def experiment(self, name: str, place: str | None = None) -> str:
        """The id of an experiment, made when there is none; `place` is a URI for its files instead of the store's own."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, place or self._artifacts))
            except MlflowException:
                if (found := self._client.get_experiment_by_name(name)) is None:  # else another tracker was quicker
                    raise
        return str(found.experiment_id)

    def run(self, experiment: str, job_id: str, name: str, began: float, tags: Mapping[str, str]) -> Run:
        """The run of a job, made when there is none; `began` is unix seconds."""
        found = self._client.search_runs([experiment], f"tags.`{JOB}` = '{job_id}'", max_results=1)
        own = {JOB: job_id, **{key(tag): value[:TAG_LENGTH] for tag, value in tags.items()}}
        return Run(
            self._client, found[0] if found else self._client.create_run(experiment, round(began * 1000), own, name)
        )

    def unended(self, experiment: str, parent: Run) -> list[Run]:
        """The runs below `parent` that run still."""
        found = self._client.search_runs(
            [experiment], f"tags.`{PARENT}` = '{parent.id}' and attributes.status = 'RUNNING'"
        )
        return [Run(self._client, each) for each in found]


def make_store(uri: str) -> None:
    """Make a local store's SQLite file where there is none; whole under its name or not at all.

    MLflow (3.17) makes its tables in place and without a lock: two processes that begin at once can leave a schema
    between two of its revisions, which nothing opens ever again, and so can one that is killed meanwhile.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        new = path.with_name(f"{path.name}.new")
        for leftover in path.parent.glob(f"{new.name}*"):  # of one that was killed, its journal too
            leftover.unlink()
        MlflowClient(f"{SQLITE}{new}").search_experiments(max_results=1)
        new.replace(path)


def key(name: str) -> str:
    """A name as MLflow takes it."""
    return _REFUSED.sub("_", name)[:KEY_LENGTH]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as parameters: dotted names, texts of a safe length; what is empty is left out."""
    made: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            made.update(flat(value, f"{prefix}{name}."))
        elif value not in (None, "", []):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            made[key(prefix + name)] = text[:PARAM_LENGTH]
    return made


def _batches(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
