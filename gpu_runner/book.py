"""What records mean to MLflow: a run for a training; for an evaluation a run with one below it for each combination."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.events import AnyRecord, Artifact, Checkpoint, Finished, Metrics, Record, Resumed, Scored, Started, Warned
from core.spec import Combination, EvaluationSpec, FineTuningSpec, Spec
from gpu_runner import ledger
from gpu_runner.answers import read_lines
from gpu_runner.provenance import of_base, provenance
from gpu_runner.runs import PARENT, Point, Run, Store, flat

ENDS = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED", "paused": "SCHEDULED", "running": "RUNNING"}
UNTOLD: dict[str, Any] = {  # fields of a specification that are no parameters
    **dict.fromkeys(("kind", "job_id", "name", "combinations", "needs_token"), True),
    "model": {"files": True},
    "dataset": {"features": True},
}


class Book:
    """One attempt of a job, written into the run that all attempts of the job share."""

    def __init__(self, store: Store, experiment: str, spec: Spec, attempt: int, began: float, root: Path) -> None:
        """`began` is unix seconds; `root` the artifacts root."""
        self.store, self.root = store, root
        self.experiment = store.experiment(experiment)
        own = {"fts.kind": spec.kind.value, "mlflow.source.name": "Fine Tuning Studio", "mlflow.source.type": "JOB"}
        self.run = store.run(self.experiment, spec.job_id, spec.name, began, own)
        self.run.params(flat(spec.model_dump(mode="json", exclude=UNTOLD)))
        self.run.tags({"fts.attempt": str(attempt), **provenance(spec)})
        self._points: list[Point] = []
        self._tags: dict[str, str] = {}
        self._made: list[Artifact] = []

    def take(self, records: Iterable[AnyRecord]) -> None:
        """Write records; doing it again changes nothing."""
        self._points, self._tags, self._made, status, at = [], {}, [], "RUNNING", 0.0
        for record in records:
            self.read(record)
            if isinstance(record, Finished):
                status, at = ENDS[record.outcome], record.at
        self.run.tags(self._tags)
        self.run.metrics(self._points)
        for record in self._made:
            self._give(record)
        self.run.status(status, at)

    def _give(self, record: Artifact) -> None:
        """Put what was made beside the run. Where files can't be put, which is no matter of the store's, the run says so."""
        try:
            self.run.artifacts(self.root / record.path, record.kind)
        except Exception as error:  # whatever a place for files raises; a store that is away fails at the tag too
            reason = str(error).partition("\n")[0]
            self.run.tags({f"fts.{record.kind}_missing": f"{type(error).__name__}: {reason}"})

    def killed(self, at: float) -> None:
        """The child died and nothing came after it."""
        self.run.status("KILLED", at)

    def read(self, record: Record) -> None:
        """Note what a record says of the job's own run."""
        match record:
            case Metrics():
                self._points += [Point(name, value, record.step, record.at) for name, value in record.values.items()]
                if record.epoch is not None:
                    self._points.append(Point("epoch", record.epoch, record.step, record.at))
            case Started():
                facts = {
                    "device": record.device,
                    "versions": record.versions,
                    "steps": record.total_steps,
                    **record.details,
                }
                self._tags.update(_tags(facts))
            case Resumed():
                self._tags["fts.resumed_from"] = str(record.from_step)
            case Checkpoint():
                self._tags["fts.checkpoint"] = str(self.root / record.path)
            case Artifact():
                self._tags[f"fts.{record.kind}"] = str(self.root / record.path)
                self._made += [record] if record.kind == "adapter" else []  # a whole model would be there twice
            case Warned():
                self._tags["fts.warning"] = record.text
            case Finished():
                self._finish(record)

    def _finish(self, record: Finished) -> None:
        numbers = {
            name: value
            for name, value in record.summary.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self._points += [Point(f"summary.{name}", value, 0, record.at) for name, value in numbers.items()]
        self._tags.update(_tags({name: value for name, value in record.summary.items() if name not in numbers}))
        if record.error is not None:
            self._tags["fts.error"] = f"{record.error.message}. {record.error.hint}".strip()


class TrainingBook(Book):
    """A training: an experiment named by the job's id (guide), one run that goes on over all attempts."""

    def __init__(self, store: Store, spec: FineTuningSpec, attempt: int, began: float, root: Path) -> None:
        super().__init__(store, spec.job_id, spec, attempt, began, root)


class EvaluationBook(Book):
    """An evaluation: an experiment "Run: {batch}", a run for the batch, and below it one for each combination."""

    def __init__(self, store: Store, spec: EvaluationSpec, attempt: int, began: float, root: Path) -> None:
        super().__init__(store, f"Run: {spec.job_id}", spec, attempt, began, root)
        self.spec, self._combinations = spec, {each.job_id: each for each in spec.combinations}
        self._params = flat({"dataset": spec.dataset.name, "prompt": spec.prompt.name, "generation": spec.generation})
        self._children: dict[str, Run] = {}
        self._sheets: list[str] = []

    def take(self, records: Iterable[AnyRecord]) -> None:
        """Write records of the batch and of its combinations; at the end no combination stays running."""
        records, self._sheets = list(records), []
        super().take(records)
        for path in self._sheets:
            self._put_sheet(path)
        for record in records:
            if isinstance(record, Finished):
                self._end(ENDS[record.outcome], record.at)

    def _put_sheet(self, path: str) -> None:
        try:
            self.run.file(self.root / path, "results")
        except Exception as error:
            self.run.tags({"fts.results_missing": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"})

    def killed(self, at: float) -> None:
        """The child died: the combination that ran died with it."""
        self._end("KILLED", at)
        super().killed(at)

    def read(self, record: Record) -> None:
        """Note what a record says, of the batch or of one combination."""
        if isinstance(record, Scored) and record.job_id in self._combinations:
            self._score(record)
        elif isinstance(record, Artifact) and record.job_id in self._combinations:
            self._child(record.job_id, record.at).tags({f"fts.{record.kind}": str(self.root / record.path)})
        else:
            super().read(record)

    def _finish(self, record: Finished) -> None:
        super()._finish(record)
        self._sheets += map(str, (record.summary.get("results") or {}).values())

    def _write_table(self, child: Run, record: Scored) -> None:
        """The answers through MLflow's own evaluation call; what keeps them out, when it is not the store, is told in the run."""
        better = {name: each.higher_is_better for name, each in record.statistics.items()}
        try:
            lines = read_lines(self.root / str(record.answers))
            ledger.write(self.store.uri, child, lines, record.values, better)
        except Exception as error:  # whatever MLflow's evaluators raise; a store that is away fails at the tag too
            child.tags({"fts.table_missing": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"})

    def _score(self, record: Scored) -> None:
        child = self._child(record.job_id, record.at)
        if record.status == "succeeded" and record.answers:
            self._write_table(child, record)
            child = self._child(record.job_id, record.at, anew=True)  # MLflow wrote into it
        values: dict[str, float | None] = {}
        if record.status == "succeeded":
            values = {**record.values, "rows": record.rows, **_sure(record)}
        child.metrics([Point(name, value, 0, record.at) for name, value in values.items() if value is not None])
        child.tags({"fts.error": record.error or ""})  # an attempt that goes on mends what failed in the one before
        child.status(ENDS[record.status], record.at)

    def _child(self, job_id: str, began: float, *, anew: bool = False) -> Run:
        if anew or job_id not in self._children:
            each, baseline = self._combinations[job_id], self.spec.baseline.adapter
            tags = {
                PARENT: self.run.id,
                "fts.run_number": str(each.run_number),
                **({"fts.comparison_adapter_id": baseline.id} if baseline else {}),
                "mlflow.source.name": "Fine Tuning Studio",
                **{f"fts.{name}": value for name, value in of_base(each.model).items() if value},
            }
            child = self.store.run(self.experiment, job_id, _name(each), began, tags)
            child.params(
                flat({"model": each.model.name, "adapter": each.adapter.name if each.adapter else None}) | self._params
            )
            self._children[job_id] = child
        return self._children[job_id]

    def _end(self, status: str, at: float) -> None:
        for child in self.store.unended(self.experiment, self.run):
            child.status("KILLED" if status == "FINISHED" else status, at)
        self._children.clear()


def _sure(record: Scored) -> dict[str, float | None]:
    """How sure figures are, as metrics beside them: f1.low, f1.high, f1.delta, f1.p …"""
    return {
        f"{name}.{part}": value
        for name, each in record.statistics.items()
        for part, value in each.model_dump(exclude={"higher_is_better"}).items()
    }


def _name(combination: Combination) -> str:
    """{model}-{adapter}, as runs were always named here."""
    adapter = combination.adapter.name if combination.adapter else "base"
    return f"{combination.model.name}-{adapter}".replace("/", "-")


def _tags(facts: dict[str, Any]) -> dict[str, str]:
    return {f"fts.{name}": value for name, value in flat(facts).items()}
