"""What a directory of data files holds: its files may differ in format, not in columns; their names tell the splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.looking import PREVIEWED
from actors.tables import BadFile, FileFacts, inspect_file
from core.splits import TRAIN, NoFiles, digest, files_by_split, is_saved


def directory_facts(path: Path, inside: Callable[[str], Path]) -> dict[str, Any]:
    """Columns, rows of each split, first rows, and a SHA-256 over all files; raises ValueError with what is wrong.

    `inside` raises it for a path that may not be read.
    """
    if not path.is_dir():
        raise ValueError(f"{path} does not exist as a directory")
    try:
        facts = None if is_saved(path) else _of_files(path, files_by_split(path))
    except NoFiles:
        facts = None
    if facts is None:
        from actors.hub import loaded_facts

        keep_inside(path, inside)
        facts = loaded_facts(path)
    return {**facts, "location": str(path), "sha256": digest(path)}


def keep_inside(path: Path, inside: Callable[[str], Path]) -> None:
    """Let `inside` refuse every link below the directory that leads to where nobody may read: `datasets` follows links."""
    for each in path.rglob("*"):
        if each.is_symlink():
            inside(each.as_posix())


def _of_files(path: Path, splits: dict[str, list[Path]]) -> dict[str, Any]:
    inspected = {each: inspect_file(each) for files in splits.values() for each in files}
    first_file, first = next(iter(inspected.items()))
    for other, facts in inspected.items():
        if set(facts.features) != set(first.features):
            raise BadFile(
                f"{_below(path, other)} has the columns {', '.join(facts.features)}; "
                f"{_below(path, first_file)} has {', '.join(first.features)}"
            )
    rows = {split: sum(inspected[each].rows for each in files) for split, files in splits.items()}
    return {
        "features": first.features,
        "rows": rows.get(TRAIN, sum(rows.values())),
        "splits": rows,
        "bytes": sum(each.bytes for each in inspected.values()),
        "column_types": first.column_types,
        "preview": _preview([inspected[each] for files in splits.values() for each in files]),
        "is_chat": all(each.is_chat for each in inspected.values()),
    }


def _preview(inspected: list[FileFacts]) -> list[dict[str, Any]]:
    return [row for each in inspected for row in each.preview][:PREVIEWED]


def _below(path: Path, file: Path) -> str:
    return file.relative_to(path).as_posix()
