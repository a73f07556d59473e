"""Reading data files: columns, row count, and the line where something is wrong. Files are streamed, never held whole."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from actors.jsonlist import NotAList, items
from actors.looking import PREVIEWED, Look, is_text
from core.messages.common import no_twice

CHUNK = 1 << 20
BATCH = 10_000  # rows of a Parquet file that are read at once
UNSEEN = re.compile(r"[\0\ufeff\ud800-\udfff]")  # a NUL, a byte order mark, half of a surrogate pair
WRONG_SHOWN = 5  # malformed rows that are named; the rest is only counted
LONGEST_LINE = 64 << 20  # characters of a JSONL line or a CSV field: one file without an end must not fill the memory


class BadFile(ValueError):
    """A data file can't be used; the message names the line."""


@dataclass(frozen=True)
class FileFacts:
    """What inspection of a file found; `bytes` and `sha256` are the file's, the last three what actors.looking tells."""

    features: list[str]
    rows: int
    bytes: int
    sha256: str
    column_types: dict[str, str]
    preview: list[dict[str, Any]]
    is_chat: bool


@dataclass
class Wrong:
    """The malformed rows of a file: the first few, and how many there are."""

    path: Path
    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, text: str) -> None:
        """Note one."""
        self.count += 1
        if self.count <= WRONG_SHOWN:
            self.shown.append(text)

    def complain(self) -> None:
        """Raise BadFile when there are any."""
        if self.count:
            more = f"; and {self.count - WRONG_SHOWN} more" if self.count > WRONG_SHOWN else ""
            raise BadFile(f"{self.path.name}: {'; '.join(self.shown)}{more}")


def inspect_file(path: Path) -> FileFacts:
    """Read a .csv, .json, .jsonl or .parquet file through; raise BadFile with what is wrong with it, OSError when it can't be read."""
    if not path.is_file():
        raise BadFile(f"{path} does not exist as a file")
    if path.stat().st_size == 0:
        raise BadFile(f"{path.name} is empty")
    look = Look()
    features, rows = _parquet(path, look) if path.suffix.lower() == ".parquet" else _text(path, look)
    if rows == 0:
        raise BadFile(f"{path.name} has columns but no rows")
    return FileFacts(features, rows, path.stat().st_size, sha256(path), **look.facts())


def _text(path: Path, look: Look) -> tuple[list[str], int]:
    suffix = path.suffix.lower()
    read = {".csv": _csv, ".json": _json, ".jsonl": _jsonl}[suffix]
    try:
        with path.open(encoding="utf-8-sig", newline="" if suffix == ".csv" else "\n") as file:
            return read(path, file, look)
    except UnicodeDecodeError as error:
        told = f"{error.reason}, byte 0x{error.object[error.start]:02x}"
        raise BadFile(f"{path.name}, line {_undecodable(path)}: it is not UTF-8 text ({told})") from None


def _undecodable(path: Path) -> int:
    """The line on which the file is no UTF-8: a reader of text knows only its place in a piece of the file."""
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return line + error.object.count(b"\n", 0, error.start)
            line += chunk.count(b"\n")
    return line


def _parquet(path: Path, look: Look) -> tuple[list[str], int]:
    """Every page is read, so that a file whose end is there and whose middle is not is found out."""
    import pyarrow
    from pyarrow import parquet

    rows = 0
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            features = _columns(schema.names, path)
            for batch in file.iter_batches(BATCH):
                for row in batch.slice(0, max(0, PREVIEWED - rows)).to_pylist():
                    look.see(row)
                rows += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise BadFile(f"{path.name}, after row {rows}: {error}") from None
    look.kinds = {each.name: str(each.type) for each in schema}
    return features, rows


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _csv(path: Path, file: TextIO, look: Look) -> tuple[list[str], int]:
    """A header and rows of as many fields; blank lines are passed over, as every reader of CSV does."""
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(file, strict=True)
    wrong, rows, line = Wrong(path), 0, 1
    try:
        features = _columns(next(reader, []), path)
        line = reader.line_num + 1
        for row in reader:
            rows += bool(row)
            if row and len(row) != len(features):
                wrong.add(f"line {line} has {len(row)} fields, the header has {len(features)}")
            elif any("\0" in each for each in row):
                wrong.add(f"line {line} holds a NUL character: is the file binary, or UTF-16?")
            elif row and rows <= PREVIEWED:
                look.see(dict(zip(features, row, strict=True)))  # every value is text, as it is when it is trained on
            line = reader.line_num + 1
    except csv.Error as error:
        told = "a quote that opens here is never closed" if "end of data" in str(error) else error
        raise BadFile(f"{path.name}, line {line}: {told}") from None
    wrong.complain()
    return features, rows


def _columns(names: Iterable[Any], path: Path) -> list[str]:
    columns = [str(name) for name in names]
    if not columns:
        raise BadFile(f"{path.name} has no columns")
    for number, name in enumerate(columns, 1):
        if not name.strip():
            raise BadFile(f"{path.name}: column {number} of the header has no name")
        if UNSEEN.search(name):
            raise BadFile(f"{path.name}: the name of column {number} holds what is no text: {name!r}")
    if len(set(columns)) < len(columns):
        twice = Counter(columns).most_common(1)[0][0]
        raise BadFile(f"{path.name}: the column {twice!r} is in the header twice")
    return columns


def _jsonl(path: Path, file: TextIO, look: Look) -> tuple[list[str], int]:
    return _objects(path, _lines(path, file), look)


def _lines(path: Path, file: TextIO) -> Iterator[tuple[str, Any]]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise BadFile(f"{path.name}, line {number} is longer than {LONGEST_LINE >> 20} million characters")
        if line.strip():
            yield f"line {number}", parsed(line)


def parsed(line: str) -> Any:
    """What a line of JSON holds; a BadFile, not raised, when it is none."""
    try:
        return json.loads(line, object_pairs_hook=no_twice)
    except (ValueError, RecursionError) as error:
        return BadFile(str(error))


def _json(path: Path, file: TextIO, look: Look) -> tuple[list[str], int]:
    try:
        return _objects(path, ((f"line {line}", each) for line, each in items(file)), look)
    except NotAList as error:
        raise BadFile(f"{path.name}{error}") from None


def _objects(path: Path, found: Iterable[tuple[str, Any]], look: Look) -> tuple[list[str], int]:
    features: list[str] = []
    wrong, rows = Wrong(path), 0
    for where, item in found:
        rows += 1
        if isinstance(item, BadFile):
            wrong.add(f"{where} is not JSON: {item}")
        elif not isinstance(item, dict):
            wrong.add(f"{where} is {type(item).__name__}, not an object")
        elif not item:
            wrong.add(f"{where} is an object without keys")
        elif not features:
            features = _columns(item, path)
        elif item.keys() != set(features):
            wrong.add(f"{where} has the keys {', '.join(item) or 'none'}; the first object has {', '.join(features)}")
            continue
        if isinstance(item, dict):
            if not is_text(item):
                wrong.add(f"{where} holds half of a surrogate pair, which is no text")
            look.see(item)
    wrong.complain()
    if not features:
        raise BadFile(f"{path.name} holds no rows")
    return features, rows
