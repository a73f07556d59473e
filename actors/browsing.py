"""Handlers of looking before one takes: files of the project, rows of datasets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from actors.directories import keep_inside
from actors.handlers import handles
from actors.looking import Look, short
from actors.rowfiles import rows_of, saved_rows
from actors.tables import BadFile
from actors.world import RealWorld, inspects
from core.facts import CONFIGS
from core.messages.browsing import Entry, FilesReply, ListFiles, PreviewDataset, RowsReply
from core.messages.datasets import FILES
from core.paths import PathRefused
from core.rules import Row
from core.splits import TRAIN, NoFiles, files_by_split, is_saved
from core.text import plain
from core.types import DatasetType

LARGEST = 2 << 20  # bytes of a reply's rows
MOST_SEEN = 20_000  # entries of a directory that are looked at
ON_HUB = "the studio keeps only a Hub dataset's first rows"


@inspects("files")
def _files(message: ListFiles, world: RealWorld) -> tuple[list[Entry], bool]:
    """What lies in the directory of the path and begins like its end. Names that can't be typed are left out."""
    above, slash, begun = message.beginning.rpartition("/")
    directory = world.path(f"{above}{slash}" or ".")
    if not directory.is_dir():
        return [], False
    found: list[Entry] = []
    with os.scandir(directory) as entries:
        for each in islice(entries, MOST_SEEN):
            hidden = each.name.startswith(".") and not begun.startswith(".")
            if each.name.startswith(begun) and not hidden and plain(each.name) == each.name:
                found += _entry(world, each, f"{above}{slash}{each.name}")
    found.sort(key=lambda each: (not each.path.endswith("/"), each.path))
    return found[: message.limit], len(found) > message.limit


def _entry(world: RealWorld, each: os.DirEntry[str], path: str) -> Iterator[Entry]:
    try:
        real = world.path(Path(each.path).absolute().as_posix())
        if world.desk.settings.is_own(real) and real != world.desk.settings.scripts_root:
            return
        yield Entry(path=f"{path}/") if each.is_dir() else Entry(path=path, bytes=each.stat().st_size)
    except (OSError, PathRefused):  # it has gone meanwhile, or leads elsewhere
        return


@handles(ListFiles)
def list_files(message: ListFiles, session: Session, world: RealWorld) -> FilesReply:
    """What was found."""
    files, more = world.inspect("files", message)
    return FilesReply(files=files, has_more=more)


@inspects("rows")
def _rows(message: PreviewDataset, world: RealWorld) -> RowsReply:
    """The rows that are asked for, from wherever they lie."""
    row = None if message.dataset_id is None else world.get("datasets", message.dataset_id)
    kind = str(row["type"] if row else message.type)
    if kind == DatasetType.huggingface:
        return _on_hub(message, world, row)
    path = _shipped(row) or world.path(str((row or {}).get("location") or message.location or ""))
    known = dict((row or {}).get("splits") or {})
    if kind == DatasetType.project:
        return _of_directory(message, path, known, row, world)
    suffix = FILES[DatasetType(kind)]
    if not path.is_file():
        raise BadFile(f"{path} does not exist as a file")
    if path.suffix.lower() != suffix:
        raise BadFile(f"{path.name} is no {suffix} file")
    split = _split(message, known or {TRAIN: None})
    return _reply(message, list(_page(rows_of([path], message.after), message)), split, known or {TRAIN: None}, row)


def _shipped(row: Row | None) -> Path | None:
    """Where a dataset lies that came with the studio: in no project."""
    path = Path(str((row or {}).get("location") or "")).resolve()
    return path if row and path.is_relative_to(CONFIGS) else None


def _of_directory(
    message: PreviewDataset, path: Path, known: dict[str, int | None], row: Row | None, world: RealWorld
) -> RowsReply:
    if not path.is_dir():
        raise BadFile(f"{path} does not exist as a directory")
    try:
        files = {} if is_saved(path) else files_by_split(path)
    except NoFiles:
        files = {}
    if files:
        known = {name: known.get(name) for name in files}
        split = _split(message, known)
        return _reply(message, list(_page(rows_of(files[split], message.after), message)), split, known, row)
    keep_inside(path, world.path)
    known, _ = saved_rows(path, "", 0, 0)
    split = _split(message, known)
    _, rows = saved_rows(path, split, message.after, message.limit + 1)
    return _reply(message, rows, split, known, row)


def _split(message: PreviewDataset, known: dict[str, int | None]) -> str:
    if message.split and message.split not in known:
        raise ValueError(f"the dataset has no split {message.split!r}; its splits: {', '.join(known)}")
    return message.split or (TRAIN if TRAIN in known else next(iter(known), TRAIN))


def _page(rows: Iterator[Row], message: PreviewDataset) -> Iterator[Row]:
    """One more than is asked for: it tells that there are more."""
    return islice(rows, message.limit + 1)


def _reply(
    message: PreviewDataset, rows: list[Any], split: str, splits: dict[str, int | None], row: Row | None
) -> RowsReply:
    look = Look()
    for each in rows[: message.limit]:
        look.see(each)
    shown: list[Row] = []
    size = 0
    for each in rows[: message.limit]:
        cut = short(each, longest=message.longest)
        size += len(json.dumps(cut))
        if shown and size > LARGEST:
            break
        shown.append(cut)
    facts = look.facts()
    types = (row or {}).get("column_types") or facts["column_types"]
    columns = json.loads(row["features"] or "[]") if row else list(facts["column_types"])
    return RowsReply(
        name=str((row or {}).get("name") or ""),
        columns=columns,
        column_types=types,
        rows=shown,
        after=message.after,
        has_more=len(rows) > len(shown),
        total=splits.get(split),
        split=split,
        splits=splits,
        is_chat=bool(facts["is_chat"]) if shown else False,
    )


def _on_hub(message: PreviewDataset, world: RealWorld, row: Row | None) -> RowsReply:
    """The first rows of a dataset on the Hub: more of it is not here."""
    if row is None:
        from actors.hub import dataset_facts

        token = world.desk.settings.hub_token
        facts = dataset_facts(message.huggingface_name or "", token, message.config_name.strip() or None)
        row = {**facts, "features": json.dumps(facts["features"])}
    splits = dict(row.get("splits") or {})
    rows = list(row.get("preview") or [])[message.after :]
    made = _reply(message, rows, _split(message, splits) if splits else "", splits, row)
    return made.model_copy(update={"note": ON_HUB, "has_more": False, "is_chat": bool(row.get("is_chat"))})


@handles(PreviewDataset)
def preview_dataset(message: PreviewDataset, session: Session, world: RealWorld) -> RowsReply:
    """What was read."""
    made: RowsReply = world.inspect("rows", message)
    return made
