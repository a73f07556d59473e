"""Rows: read as they were recorded, sampled and split as the guide says (chapter "Dataset Preprocessing Chain")."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.spec import DatasetSource, Sampling
from core.types import DatasetType
from gpu_runner.failures import JobError

Row = Mapping[str, Any]
Splits = dict[str, Sequence[Row]]

TRAINING_DATASET_SEED = 42  # guide, "Training Constants"
HELD_OUT = ("validation", "eval", "test")  # names of a split that is held out, in the order they are looked for


def load_rows(dataset: DatasetSource, token: str | None = None) -> Splits:
    """The dataset's splits, at least "train"; files are read as text, so that 007 stays 007. Raises JobError."""
    if dataset.type in (DatasetType.huggingface, DatasetType.project):
        return _loaded(dataset, token)
    path = Path(dataset.location or "")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise JobError(
            f"{path} can't be read: {error.strerror}", "Put the file back, or add the dataset again."
        ) from error
    if dataset.sha256 and hashlib.sha256(raw).hexdigest() != dataset.sha256:
        raise JobError(
            f"{path} changed since the dataset was added", "Add the changed file as a new dataset, and use that."
        )
    try:
        parquet = dataset.type == DatasetType.project_parquet
        rows = _parquet(raw) if parquet else _parse(dataset.type, raw.decode("utf-8-sig"))
    except (ValueError, OSError, RecursionError, csv.Error) as error:
        raise JobError(
            f"{path} can't be read as {dataset.type}: {error}", "Mend the file and add it as a new dataset."
        ) from error
    if not rows:
        raise JobError(f"{path} has no rows", "Add a dataset that has some.")
    return {"train": rows}


def _parse(kind: str, text: str) -> list[Row]:
    if kind == DatasetType.project_csv:
        return list(csv.DictReader(io.StringIO(text, newline="")))
    if kind == DatasetType.project_jsonl:
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    else:
        rows = json.loads(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("its rows are not objects")
    return rows


def _parquet(raw: bytes) -> list[Row]:
    import pyarrow
    from pyarrow import parquet

    rows: list[Row] = parquet.read_table(pyarrow.BufferReader(raw)).to_pylist()
    return rows


def _loaded(dataset: DatasetSource, token: str | None) -> Splits:
    import datasets

    path = Path(dataset.location or "")
    try:
        if dataset.hub_name:
            name = dataset.hub_name.partition("@")[0]
            loaded: Any = datasets.load_dataset(
                name, dataset.config_name, revision=dataset.revision, token=token or False
            )
        elif (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
            loaded = datasets.load_from_disk(str(path))
        else:
            loaded = datasets.load_dataset(str(path))
    except Exception as error:  # whatever a dataset's files cause
        raise JobError(f"dataset {dataset.name} can't be loaded: {error}") from error
    splits = {"train": loaded} if isinstance(loaded, datasets.Dataset) else dict(loaded)
    if "train" not in splits:
        raise JobError(f"dataset {dataset.name} has no train split; its splits: {', '.join(splits)}")
    return {name: list(rows) for name, rows in splits.items()}


def sample_and_split(splits: Splits, sampling: Sampling) -> tuple[list[Row], list[Row]]:
    """(training rows, held-out rows): the fraction drawn with the seed, then split with it.

    A dataset that has a held-out split of its own keeps it; with split 1.0 nothing is held out. Raises JobError when
    there are too few rows.
    """
    train = splits["train"]
    chosen = list(range(len(train)))
    if sampling.fraction < 1:
        chosen, _ = _parted(chosen, _rest(sampling.fraction), sampling.seed)
    own = next((splits[name] for name in HELD_OUT if name in splits), None)
    if own is not None:
        return [train[index] for index in chosen], list(own)
    if sampling.split >= 1:
        return [train[index] for index in chosen], []
    kept, held_out = _parted(chosen, _rest(sampling.split), sampling.seed)
    return [train[index] for index in kept], [train[index] for index in held_out]


def _rest(share: float) -> float:
    """1 - share as people reckon it: 1 - 0.7 is a little more than 0.3, and would hold out 4 rows of 10."""
    return round(1 - share, 12)


def _parted(indices: list[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """`datasets`' own shuffled split, so that rows are the same as with its train_test_split."""
    import datasets

    table = datasets.Dataset.from_dict({"index": indices})
    try:
        parts = table.train_test_split(test_size=share, shuffle=True, seed=seed)
    except ValueError as error:
        raise JobError(
            f"{len(indices)} rows are too few for this split: {error}", "Use more rows, or train_test_split 1."
        ) from error
    return list(parts["train"]["index"]), list(parts["test"]["index"])
