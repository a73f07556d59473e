"""A collated micro-batch as its rows again, so that it can be computed in pieces."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

Row = dict[str, list[int]]


def rows_of(batch: dict[str, Any]) -> list[Row]:
    """The collator's examples: the rows without their padding, or the documents of sequences that were packed."""
    if "attention_mask" in batch:
        lengths = batch["attention_mask"].sum(1).tolist()
        return [_row(batch, index, 0, length) for index, length in enumerate(lengths)]
    positions = batch["position_ids"][0]
    starts = [*(positions == 0).nonzero().flatten().tolist(), len(positions)]
    return [_row(batch, 0, start, end) for start, end in pairwise(starts)]


def _row(batch: dict[str, Any], index: int, start: int, end: int) -> Row:
    made = {name: batch[name][index, start:end].tolist() for name in ("input_ids", "labels")}
    return made if "attention_mask" in batch else {**made, "seq_lengths": [end - start]}


def shared_out(batch: dict[str, Any], rows: list[Row], whole: int, parts: int) -> list[list[Row]]:
    """The rows in their order, in `parts` parts; of a padded batch that is to have `whole` rows, as many rows in each.

    Documents of packed sequences are shared out by their tokens: the memory they take goes by those.
    """
    if "attention_mask" in batch:
        size = max(1, whole // parts)
        return [rows[start : start + size] for start in range(0, len(rows), size)]
    lengths = [len(each["input_ids"]) for each in rows]
    made: dict[int, list[Row]] = {}
    done = 0
    for row, length in zip(rows, lengths, strict=True):
        made.setdefault((2 * done + length) * parts // (2 * sum(lengths)), []).append(row)  # by its middle
        done += length
    return list(made.values())
