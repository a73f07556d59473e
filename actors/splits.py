"""Handlers of dataset splits."""

from __future__ import annotations

from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.pages import found
from actors.world import RealWorld
from core.messages.splits import DatasetSplit, DatasetSplitReply, GetDatasetSplitByAdapter
from core.store.tables import Adapter, FineTuningJob


@handles(GetDatasetSplitByAdapter)
def get_dataset_split(message: GetDatasetSplitByAdapter, session: Session, world: RealWorld) -> DatasetSplitReply:
    """The split by the adapter's job, never by a job of the same name; the defaults for one trained elsewhere."""
    adapter: Adapter = found(session, Adapter, message.adapter_id, "adapter")
    job = session.get(FineTuningJob, adapter.fine_tuning_job_id) if adapter.fine_tuning_job_id else None
    if job is None:
        return DatasetSplitReply(response=DatasetSplit())
    given = {
        name: getattr(job, name) for name in ("dataset_fraction", "train_test_split", "train_splits", "eval_split")
    }
    shares = {name: value for name, value in given.items() if value is not None}
    return DatasetSplitReply(response=DatasetSplit(dataset_id=job.dataset_id, fine_tuning_job_id=job.id, **shares))
