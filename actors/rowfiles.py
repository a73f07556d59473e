"""Some rows of a data file, from anywhere in it: read on from its beginning, and no further than they are wanted."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from actors.jsonlist import NotAList, items
from actors.tables import BATCH, LONGEST_LINE, BadFile, parsed
from core.text import counted

Row = dict[str, Any]


def rows_of(files: Iterable[Path], after: int) -> Iterator[Row]:
    """The rows of these files in their order, without the first `after`; raises BadFile with the line that is wrong."""
    for path in files:
        for row in _READ[path.suffix.lower()](path, after):
            if isinstance(row, int):  # so many were passed over at once
                after -= row
            elif after:
                after -= 1
            else:
                yield row


def _csv(path: Path, after: int) -> Iterator[Row | int]:
    csv.field_size_limit(LONGEST_LINE)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, [])
            for row in filter(None, reader):
                if len(row) != len(names):
                    fields = counted(len(row), "field")
                    raise BadFile(f"{path.name}, line {reader.line_num} has {fields}, the header has {len(names)}")
                yield dict(zip(names, row, strict=True))
        except csv.Error as error:
            raise BadFile(f"{path.name}, line {reader.line_num}: {error}") from None
        except UnicodeDecodeError as error:
            raise BadFile(f"{path.name} is not UTF-8 text: {error.reason}") from None


def _jsonl(path: Path, after: int) -> Iterator[Row | int]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        number = 0
        try:
            while line := file.readline(LONGEST_LINE):
                number += 1
                if line.strip():
                    if after > 0:  # what is passed over is not parsed
                        after -= 1
                        yield 1
                    else:
                        yield _object(parsed(line), f"{path.name}, line {number}")
        except UnicodeDecodeError as error:
            raise BadFile(f"{path.name} is not UTF-8 text: {error.reason}") from None


def _json(path: Path, after: int) -> Iterator[Row | int]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        try:
            for line, item in items(file):
                yield _object(item, f"{path.name}, line {line}")
        except NotAList as error:
            raise BadFile(f"{path.name}{error}") from None
        except UnicodeDecodeError as error:
            raise BadFile(f"{path.name} is not UTF-8 text: {error.reason}") from None


def _object(item: Any, where: str) -> Row:
    if isinstance(item, BadFile):
        raise BadFile(f"{where} is not JSON: {item}")
    if not isinstance(item, dict):
        raise BadFile(f"{where} is {type(item).__name__}, not an object")
    return item


def _parquet(path: Path, after: int) -> Iterator[Row | int]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if after >= rows:
                    after -= rows
                    yield rows
                    continue
                for batch in file.iter_batches(BATCH, row_groups=[group]):
                    skipped = min(after, batch.num_rows)
                    after -= skipped
                    if skipped:
                        yield skipped
                    for at in range(skipped, batch.num_rows, 100):
                        yield from batch.slice(at, 100).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise BadFile(f"{path.name}: {error}") from None


_READ = {".csv": _csv, ".jsonl": _jsonl, ".json": _json, ".parquet": _parquet}


def saved_rows(path: Path, split: str, after: int, limit: int) -> tuple[dict[str, int | None], list[Row]]:
    """(rows by split, some of one split's) of a directory that `datasets` saved, or reads by a way of its own."""
    from actors.hub import loaded

    splits = loaded(path)
    chosen = splits.get(split)
    rows: list[Row] = []
    if chosen is not None:
        rows = list(islice((dict(row) for row in chosen.select(range(min(after, len(chosen)), len(chosen)))), limit))
    return {name: len(each) for name, each in splits.items()}, rows
