"""Reading data files: columns, row count, and the line where something is wrong. Files are streamed, never held whole."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHUNK = 1 << 20
WRONG_SHOWN = 5  # malformed rows that are named before the rest is only counted
LARGEST_JSON = 2 << 30  # bytes; a JSON array can't be streamed, JSONL can


class BadFile(ValueError):
    """A data file can't be used; the message names the line."""


@dataclass(frozen=True)
class FileFacts:
    """What inspection of a file found."""

    features: list[str]
    rows: int
    bytes: int
    sha256: str


def inspect_file(path: Path) -> FileFacts:
    """Read a .csv, .json or .jsonl file through; raise BadFile with everything that is wrong with it."""
    if not path.is_file():
        raise BadFile(f"{path} does not exist as a file")
    if path.stat().st_size == 0:
        raise BadFile(f"{path.name} is empty")
    read = {".csv": _csv, ".json": _json, ".jsonl": _jsonl}[path.suffix.lower()]
    try:
        features, rows = read(path)
    except UnicodeDecodeError as error:
        raise BadFile(f"{path.name} is not UTF-8 text (byte {error.start}: {error.reason})") from None
    except OSError as error:
        raise BadFile(f"{path.name} can't be read: {error.strerror}") from None
    if rows == 0:
        raise BadFile(f"{path.name} has columns but no rows")
    return FileFacts(features, rows, path.stat().st_size, sha256(path))


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _csv(path: Path) -> tuple[list[str], int]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            features = _columns(next(reader, []), path)
            wrong, rows = [], 0
            for row in reader:
                rows += 1
                if len(row) != len(features):
                    wrong.append(f"line {reader.line_num} has {len(row)} fields, the header has {len(features)}")
        except csv.Error as error:
            raise BadFile(f"{path.name}, line {reader.line_num}: {error}") from None
    _complain(path, wrong)
    return features, rows


def _columns(names: Iterable[Any], path: Path) -> list[str]:
    columns = [str(name) for name in names]
    if not columns:
        raise BadFile(f"{path.name} has no header")
    blank = [index + 1 for index, name in enumerate(columns) if not name.strip()]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if blank:
        raise BadFile(f"{path.name}: column {blank[0]} of the header has no name")
    if twice:
        raise BadFile(f"{path.name}: the column {twice[0]!r} is in the header twice")
    return columns


def _jsonl(path: Path) -> tuple[list[str], int]:
    def lines() -> Iterator[tuple[str, Any]]:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"line {number}", _parsed(line)

    return _objects(path, lines())


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadFile(str(error))


def _json(path: Path) -> tuple[list[str], int]:
    if path.stat().st_size > LARGEST_JSON:
        raise BadFile(f"{path.name} is larger than {LARGEST_JSON >> 30} GiB; use JSONL, which can be streamed")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path.name} is not valid JSON: {error}") from None
    if not isinstance(content, list):
        raise BadFile(f"{path.name} must hold a list of objects, not {type(content).__name__}")
    return _objects(path, ((f"item {index}", each) for index, each in enumerate(content, 1)))


def _objects(path: Path, items: Iterable[tuple[str, Any]]) -> tuple[list[str], int]:
    features: list[str] = []
    wrong: list[str] = []
    rows = 0
    for where, item in items:
        rows += 1
        if isinstance(item, BadFile):
            wrong.append(f"{where} is not JSON: {item}")
        elif not isinstance(item, dict):
            wrong.append(f"{where} is {type(item).__name__}, not an object")
        elif not features:
            features = _columns(item, path)
        elif set(item) != set(features):
            wrong.append(f"{where} has the keys {', '.join(map(str, item)) or 'none'}, the first one has {', '.join(features)}")
    _complain(path, wrong)
    if not features:
        raise BadFile(f"{path.name} holds no rows")
    return features, rows


def _complain(path: Path, wrong: list[str]) -> None:
    if wrong:
        more = f"; and {len(wrong) - WRONG_SHOWN} more" if len(wrong) > WRONG_SHOWN else ""
        raise BadFile(f"{path.name}: {'; '.join(wrong[:WRONG_SHOWN])}{more}")
