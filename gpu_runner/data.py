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
from core.splits import HELD_OUT, TRAIN, NoFiles, digest, drawn, files_by_split, is_saved, rest
from core.text import counted
from core.types import DatasetType
from gpu_runner.failures import JobError
from gpu_runner.links import keep_inside

Row = Mapping[str, Any]
Splits = Mapping[str, Sequence[Row]]

TRAINING_DATASET_SEED = 42  # guide, "Training Constants"
KINDS = {
    ".csv": DatasetType.project_csv,
    ".json": DatasetType.project_json,
    ".jsonl": DatasetType.project_jsonl,
    ".parquet": DatasetType.project_parquet,
}


def load_rows(dataset: DatasetSource, token: str | None = None) -> Splits:
    """The dataset's splits; one file is "train". Files are read as text, so that 007 stays 007. Raises JobError."""
    if dataset.type == DatasetType.huggingface:
        return _loaded(dataset, token)
    path = Path(dataset.location or "")
    if dataset.type == DatasetType.project:
        return _directory(dataset, path, token)
    return {TRAIN: _file(path, dataset.type, dataset.sha256)}


def _file(path: Path, kind: str, sha256: str | None = None) -> list[Row]:
    """The rows of one file, at least one."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise JobError(
            f"{path} can't be read: {error.strerror}", "Put the file back, or add the dataset again."
        ) from error
    if sha256 and hashlib.sha256(raw).hexdigest() != sha256:
        raise changed(path)
    try:
        rows = _parquet(raw) if kind == DatasetType.project_parquet else _parse(kind, raw.decode("utf-8-sig"))
    except (ValueError, OSError, RecursionError, csv.Error) as error:
        raise JobError(
            f"{path} can't be read as {kind}: {error}", "Mend the file and add it as a new dataset."
        ) from error
    if not rows:
        raise JobError(f"{path} has no rows", "Add a dataset that has some.")
    return rows


def changed(path: Path) -> JobError:
    """What is said when data are not those that were added."""
    return JobError(f"{path} changed since the dataset was added", "Add what changed as a new dataset, and use that.")


def _parse(kind: str, text: str) -> list[Row]:
    if kind == DatasetType.project_csv:
        # A document may be longer than the default; the limit is the whole process's, so it is never lowered.
        csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
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


def _directory(dataset: DatasetSource, path: Path, token: str | None) -> Splits:
    """A directory of data files, whatever their formats; what else `datasets` can read it reads."""
    if dataset.sha256 and digest(path) != dataset.sha256:
        raise changed(path)
    if is_saved(path):
        return _loaded(dataset, token)
    try:
        files = files_by_split(path)
    except NoFiles:
        return _loaded(dataset, token)
    return {
        split: [row for each in found for row in _file(each, KINDS[each.suffix.lower()])]
        for split, found in files.items()
    }


def _loaded(dataset: DatasetSource, token: str | None) -> Splits:
    import datasets

    path = Path(dataset.location or "")
    if dataset.location is not None:
        keep_inside(path, f"dataset {dataset.name}")
    try:
        if dataset.hub_name:
            name = dataset.hub_name.partition("@")[0]
            loaded: Any = datasets.load_dataset(
                name, dataset.config_name, revision=dataset.revision, token=token or False
            )
        else:
            loaded = datasets.load_from_disk(str(path)) if is_saved(path) else datasets.load_dataset(str(path))
    except Exception as error:  # whatever a dataset's files cause
        raise JobError(
            f"dataset {dataset.name} can't be loaded: {error}", "Mend it and add it as a new dataset."
        ) from error
    return {TRAIN: loaded} if isinstance(loaded, datasets.Dataset) else dict(loaded)


def sample_and_split(splits: Splits, sampling: Sampling) -> tuple[list[Row], list[Row]]:
    """(training rows, held-out rows): the fraction drawn with the seed, then split with it.

    A split that is named, or that the dataset has for it, is held out whole; else with split 1.0 nothing is. Raises
    JobError when a split that was named is not there, and when there are too few rows.
    """
    train = [row for name in sampling.train_splits for row in _split(splits, name)]
    chosen = list(range(len(train)))
    if sampling.fraction < 1:
        chosen, _ = _parted(chosen, "dataset_fraction", sampling.fraction, sampling.seed)
    held_out = sampling.eval_split or next(
        (name for name in HELD_OUT if name in splits and name not in sampling.train_splits), None
    )
    if held_out is not None:
        return [train[index] for index in chosen], list(_split(splits, held_out))
    if sampling.split >= 1:
        return [train[index] for index in chosen], []
    kept, others = _parted(chosen, "train_test_split", sampling.split, sampling.seed)
    return [train[index] for index in kept], [train[index] for index in others]


def _split(splits: Splits, name: str) -> Sequence[Row]:
    if name not in splits:
        raise JobError(
            f"the dataset has no split {name!r}; its splits: {', '.join(splits)}",
            "Name one of these in train_splits or eval_split.",
        )
    return splits[name]


def _parted(indices: list[int], field: str, share: float, seed: int) -> tuple[list[int], list[int]]:
    """`datasets`' own shuffled split, so that rows are the same as with its train_test_split; `field` names the share."""
    import datasets

    if not drawn(len(indices), share):
        told = f"{field} {share:g} of {counted(len(indices), 'row')} leaves none to train on"
        raise JobError(told, f"Use more rows, or {field} 1, which takes all.")
    table = datasets.Dataset.from_dict({"index": indices})
    parts = table.train_test_split(test_size=rest(share), shuffle=True, seed=seed)
    return list(parts["train"]["index"]), list(parts["test"]["index"])
