"""How an adapter's job sampled and split its dataset (guide, "Dataset Specification"): what was held out of its training."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from core.messages.base import Query, Value
from core.splits import TRAIN

SEED = 42  # guide: of sampling and splitting


class DatasetSplit(Value):
    """Shares of a dataset: `dataset_fraction` of its rows was drawn, `train_test_split` of those trained on."""

    dataset_fraction: float = 1.0
    train_test_split: float = 0.9
    seed: int = SEED
    train_splits: list[str] = Field([TRAIN], description="The dataset's splits that were trained on, joined.")
    eval_split: str | None = Field(None, description="The split that was held out; null: looked for by its name.")
    dataset_id: str | None = Field(None, description="The dataset that was trained on; null when it was removed.")
    fine_tuning_job_id: str | None = Field(
        None,
        description="The job that trained the adapter; null: it was trained elsewhere, and the shares are defaults.",
    )


class DatasetSplitReply(Value):
    """The split of an adapter's job."""

    response: DatasetSplit


class GetDatasetSplitByAdapter(Query[DatasetSplitReply]):
    """Return how the job that trained an adapter sampled and split its dataset."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"adapter_id": "a"}

    adapter_id: str
