"""Splits of a dataset, by their names: in a directory of data files, a file's name or directory says which it belongs to."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path

TRAIN = "train"
HELD_OUT = ("validation", "eval", "test")  # names of a split that is held out, in the order they are looked for
SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")
SAVED = ("dataset_info.json", "dataset_dict.json")  # a directory that `datasets` saved has one of these
CHUNK = 1 << 20
# Words in a file's name, or its directory's, that are a split; what is called valid or dev elsewhere is validation.
_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "eval",
    "evaluation": "eval",
    "test": "test",
    "testing": "test",
}
_SHARD = re.compile(r"(?P<name>.+)-\d{5}-of-\d{5}")
_NO_DATA = re.compile(r"[._].*|dataset_infos\.json|cache-.*\.arrow|.*\.lock")  # what tools leave beside data


class NoFiles(ValueError):
    """A directory holds no data files, or some that can't be told apart; the message says which."""


def rest(share: float) -> float:
    """1 - share as people reckon it: 1 - 0.7 is a little more than 0.3, and would hold out 4 rows of 10."""
    return round(1 - share, 12)


def drawn(rows: int, share: float) -> int:
    """How many of so many rows a share in (0, 1] takes, as `datasets` splits them: what is left out is rounded up."""
    return rows - math.ceil(rest(share) * rows)


def is_saved(directory: Path) -> bool:
    """Whether `datasets` wrote the directory (save_to_disk): then its own reader reads it."""
    return any((directory / name).is_file() for name in SAVED)


def files_by_split(directory: Path) -> dict[str, list[Path]]:
    """Split -> its data files, in the order of their names; "train" first. Raises NoFiles.

    NAME-00000-of-00002.parquet belongs to NAME; else a word such as train, dev or test in the file's name, or in that of a
    directory it lies in, is the split; a file that says nothing is train, and beside files that do a split of its own.
    """
    files = [path for path in _walk(directory) if path.suffix.lower() in SUFFIXES]
    if not files:
        raise NoFiles(f"{directory} holds no data files ({', '.join(SUFFIXES)})")
    said = {path: _said(path, directory) for path in files}
    told = any(said.values())
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(said[path] or (path.stem if told else TRAIN), []).append(path)
    return dict(sorted(found.items(), key=lambda each: (each[0] != TRAIN, each[0])))


def _walk(directory: Path) -> Iterator[Path]:
    """Files below the directory that are no links and may hold data, in the order of their paths."""
    for path in sorted(directory.rglob("*")):
        inner = path.relative_to(directory).parts
        if path.is_file() and not path.is_symlink() and not any(map(_NO_DATA.fullmatch, inner)):
            yield path


def _said(path: Path, directory: Path) -> str | None:
    if shard := _SHARD.fullmatch(path.stem):
        return shard["name"]
    inner = path.relative_to(directory).parts[:-1]
    return next(filter(None, map(_word, (path.stem, *reversed(inner)))), None)


def _word(name: str) -> str | None:
    return next((_WORDS[word] for word in re.split(r"[^a-z0-9]+", name.lower()) if word in _WORDS), None)


def digest(directory: Path) -> str:
    """SHA-256 over the names and contents of all files below the directory that may be read as data."""
    whole = hashlib.sha256()
    for path in _walk(directory):
        whole.update(f"{path.relative_to(directory).as_posix()}\0{_sha256(path)}\n".encode())
    return whole.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
