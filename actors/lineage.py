"""What adapters and models learned: found by the job that made them, by their weights' hashes, and by where they lie.

A name says nothing, and a link can be cut: an adapter may be renamed, copied, removed and added again, its job and its
dataset removed. What a training learned and the hashes of what came of it are noted apart, and stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors import freezing
from core.errors import Refused
from core.settings import Settings
from core.spec import (
    AdapterSource,
    DatasetSource,
    Exported,
    ExportSpec,
    FineTuningSpec,
    ModelSource,
    Sampling,
    Training,
)
from core.splits import TRAIN
from core.store.tables import Adapter, EvaluationJob, FineTuningJob, Model, TrainedWeights, TrainingRow
from core.types import LossOn

WEIGHTS = ".safetensors"


def note(session: Session, spec: FineTuningSpec) -> None:
    """Remember what a training will learn, from its beginning: its checkpoints are weights too."""
    session.add(TrainingRow(job_id=spec.job_id, told=spec.training.model_dump(mode="json")))


def note_weights(session: Session, job_id: str, files: Mapping[str, str]) -> None:
    """Remember weights (name -> SHA-256) that came of a training; those that it began with are not its own."""
    row = session.get(TrainingRow, job_id)
    before = set() if row is None else _shas((row.told.get("model") or {}).get("files") or {})
    for sha256 in sorted(_shas(files) - before):
        session.merge(TrainedWeights(sha256=sha256, job_id=job_id))


def note_export(session: Session, spec: ExportSpec, made: Exported) -> None:
    """Remember weights that were made of an adapter and its base, and the commit on the Hub: they know what both have learned."""
    ids = [
        *_jobs(session, spec.adapter, session.get(Adapter, spec.adapter.id)),
        *_jobs(session, spec.model, session.get(Model, spec.model.id)),
    ]
    for id in dict.fromkeys(ids):
        note_weights(session, id, made.files)
        if made.commit:
            session.merge(TrainedWeights(sha256=_on_hub(made.commit), job_id=id))


def _on_hub(commit: str) -> str:
    """A commit on the Hub where the SHA-256 of a file stands: its files are told by no other name."""
    return f"commit {commit}"


def _jobs(session: Session, source: AdapterSource | ModelSource, linked: Adapter | Model | None) -> list[str]:
    """The jobs that may have made these weights; the one that they are linked to first."""
    known = _shas(source.files) | ({_on_hub(source.revision)} if source.revision else set())
    weights = select(TrainedWeights.job_id).where(TrainedWeights.sha256.in_(known))
    places = select(TrainingRow.job_id).where(TrainingRow.job_id.in_(Path(source.location or "").parts))
    ids = [
        linked.fine_tuning_job_id if linked else None,
        *sorted({*session.scalars(weights), *session.scalars(places)}),
    ]
    return [id for id in dict.fromkeys(ids) if id]


def _source(row: Adapter | Model) -> AdapterSource | ModelSource:
    """A row as specifications tell it, whether or not its files may be read."""
    kind = AdapterSource if isinstance(row, Adapter) else ModelSource
    return kind(id=row.id, name=row.name or "", location=row.location, revision=row.revision, files=row.files or {})


class Lineage:
    """Looks up, for one request, what combinations learned."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self.settings, self.session = settings, session
        self.known: dict[tuple[str, str], list[Training]] = {}  # a batch asks for its base again and again

    def own(self, row: EvaluationJob) -> Training | None:
        """The training that made the combination's adapter; without an adapter, its model. None: not known here."""
        found = self._made(Adapter, row.adapter_id) if row.adapter_id else self._made(Model, row.base_model_id)
        return next(iter(found), None)

    def learned(self, row: EvaluationJob) -> list[Training]:
        """Everything that the combination learned here: its adapter, its model, what that was made of, and so on."""
        found: dict[str, Training] = {}
        self._add(found, self._made(Adapter, row.adapter_id))
        self._add(found, self._made(Model, row.base_model_id))
        return list(found.values())

    def _made(self, table: type[Adapter | Model], id: str | None) -> list[Training]:
        """The trainings that may have made an adapter or a model."""
        if id is None:
            return []
        key = (table.__tablename__, id)
        if key not in self.known:
            row = self.session.get(Adapter, id) if table is Adapter else self.session.get(Model, id)
            self.known[key] = list(self._of(_source(row), row)) if row else []
        return self.known[key]

    def _add(self, found: dict[str, Training], trainings: Iterable[Training]) -> None:
        """Those trainings, and those of what they began from."""
        for each in trainings:
            if each.job_id not in found:
                found[each.job_id] = each
                self._add(found, self._before(each.model))

    def _before(self, model: ModelSource | None) -> Iterator[Training]:
        if model is None:
            return iter(())
        return self._of(model, self.session.get(Model, model.id))

    def _of(self, source: AdapterSource | ModelSource, linked: Adapter | Model | None) -> Iterator[Training]:
        """The trainings that may have made these weights; that of the job they are linked to first."""
        for id in _jobs(self.session, source, linked):
            if (training := self._told(id)) is not None:
                yield training

    def _told(self, job_id: str) -> Training | None:
        row = self.session.get(TrainingRow, job_id)
        return self._imported(job_id) if row is None else Training.model_validate(row.told)

    def _imported(self, job_id: str) -> Training | None:
        """A job that came with an import tells only which dataset it split, and how."""
        job = self.session.get(FineTuningJob, job_id)
        if job is None or job.dataset_id is None:
            return None
        try:
            dataset = freezing.dataset_source(self.settings, self.session, job.dataset_id)
        except Refused:
            return None
        sampling = Sampling(
            fraction=job.dataset_fraction or 1.0,
            split=job.train_test_split or 0.9,
            train_splits=job.train_splits or [TRAIN],
            eval_split=job.eval_split,
        )
        loss_on = LossOn(job.loss_on) if job.loss_on in list(LossOn) else None
        chat = bool(job.chat_template)
        return Training(job_id=job_id, dataset=dataset, sampling=sampling, chat_template=chat, loss_on=loss_on)


def same_rows(one: DatasetSource, other: DatasetSource) -> bool:
    """Whether two datasets are known to hold the same rows, whatever they are called and whenever they were added."""
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    if one.hub_name and other.hub_name:
        return _on_the_hub(one) == _on_the_hub(other)
    return one.id == other.id


def _on_the_hub(source: DatasetSource) -> tuple[str, str | None, str | None]:
    return (source.hub_name or "").partition("@")[0], source.config_name, source.revision


def _shas(files: Mapping[str, str]) -> set[str]:
    return {sha for name, sha in files.items() if name.endswith(WEIGHTS)}
