"""Reading a file to import: which tables it has, and what of a row can be stored."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Double, Integer

from core.messages.common import LONGEST_NAME, no_twice
from core.store.tables import EVERY_TABLE, TABLE_TO_MODEL, Base
from core.store.transfer.answerable import check, is_list

READ = (*TABLE_TO_MODEL, "jobs")
YEAR_10000 = 253_402_300_800  # in unix seconds: no calendar shows what is later
_LARGEST = {Integer: 2**31 - 1, BigInteger: 2**63 - 1}
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # in JSON text: a NUL, not a backslash before u0000


def _indexed(model: type[Base]) -> frozenset[str]:
    table: Any = model.__table__
    return frozenset(column.name for each in (*table.indexes, *table.constraints) for column in each.columns)


INDEXED: dict[str, frozenset[str]] = {name: _indexed(model) for name, model in EVERY_TABLE.items()}


class NotAnExport(ValueError):
    """The text is no export: not JSON, or not tables of rows."""


class Unusable(ValueError):
    """A row can't be stored; the reason."""


class Twice(dict[str, Any]):
    """A JSON object that had a key twice, of which one is lost: `key`."""

    key = ""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    try:
        return no_twice(pairs)
    except ValueError:
        made = Twice(pairs)
        names = [name for name, _ in pairs]
        made.key = next(name for name in names if names.count(name) > 1)
        return made


@dataclass(frozen=True)
class Tables:
    """The rows of the tables that are known, as they stand in the file, and the names of the other tables."""

    rows: dict[str, list[Any]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def read_tables(text: str) -> Tables:
    """Return what a file holds, in either form; raise NotAnExport. Its schema texts are not looked at."""
    try:
        content = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise NotAnExport(f"the file is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise NotAnExport(f"the file must hold an object of tables, not {type(content).__name__}")
    if isinstance(content, Twice):
        raise NotAnExport(f"the file has table {content.key!r} twice, and one would be lost")
    rows = {name: _rows(name, content[name]) for name in READ if name in content}
    if not rows:
        names = ", ".join(map(repr, list(content)[:5])) or "nothing"
        raise NotAnExport(f"the file has none of the tables {', '.join(READ)}; it has {names}")
    return Tables(rows, sorted(str(name) for name in content if name not in READ))


def _rows(name: str, table: Any) -> list[Any]:
    rows = table.get("data") if isinstance(table, dict) else table
    if isinstance(table, Twice):
        raise NotAnExport(f"table {name!r} has {table.key!r} twice, and one would be lost")
    if not isinstance(rows, list):
        raise NotAnExport(f"table {name!r} must be a list of rows, or an object with them in data")
    return rows


def values_of(table: str, row: Any) -> tuple[dict[str, Any], list[str], set[str]]:
    """Return (values of the known columns, what was mended, names of unknown columns); raise Unusable."""
    if not isinstance(row, dict):
        raise Unusable(f"a row must be an object of columns, not {type(row).__name__}")
    if isinstance(row, Twice):
        raise Unusable(f"it has the column {row.key!r} twice, and one would be lost")
    columns = EVERY_TABLE[table].__table__.columns
    values: dict[str, Any] = {}
    mended: list[str] = []
    for name, value in row.items():
        if name in columns:
            values[name] = made = _value(table, name, columns[name].type, value)
            if made != value:
                mended.append(f"{name} was read as {_kind(made)}")
    return values, mended, {str(name) for name in row if name not in columns}


def _value(table: str, name: str, kind: Any, value: Any) -> Any:
    if value is None:
        return None
    read: Any = _name if name in INDEXED[table] else _text
    if isinstance(kind, Boolean):
        read = _flag
    elif isinstance(kind, Integer):
        read = _big if isinstance(kind, BigInteger) else _small
    elif isinstance(kind, Double):
        read = _moment if name.endswith("_at") else _number
    elif isinstance(kind, JSON):
        read = partial(_structured, list if is_list(table, name) else dict)
    try:
        made = read(value)
        check(table, name, made)
        return made
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Unusable(f"{name}: {error}") from None


def _kind(value: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "an object"}
    return names.get(type(value), "a list")


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return _checked(json.dumps(value, ensure_ascii=False, allow_nan=False))
    return _checked(value if isinstance(value, str) else json.dumps(value, allow_nan=False))


def _name(value: Any) -> str:
    """A text that an index holds: one of PostgreSQL's is refused when it is longer than the index's page allows."""
    text = _text(value)
    if len(text) > LONGEST_NAME:
        raise ValueError(f"may have {LONGEST_NAME} characters at most, not {len(text)}")
    return text


def _checked(text: str) -> str:
    if "\0" in text:
        raise ValueError("text can't hold a NUL character")
    text.encode()  # a lone surrogate is no text
    return text


def _flag(value: Any) -> bool:
    if value in (0, 1):  # SQLite keeps them as numbers
        return bool(value)
    raise ValueError(f"must be true or false, not {_shown(value)}")


def _whole(value: Any, largest: int) -> int:
    number = float(value)
    if not number.is_integer() or isinstance(value, bool):
        raise ValueError(f"must be a whole number, not {_shown(value)}")
    made = int(value) if isinstance(value, int | str) and "." not in str(value) else int(number)
    if abs(made) > largest:
        raise ValueError(f"{_shown(value)} is too large")
    return made


def _small(value: Any) -> int:
    return _whole(value, _LARGEST[Integer])


def _big(value: Any) -> int:
    return _whole(value, _LARGEST[BigInteger])


def _number(value: Any) -> float:
    made = float(value)
    if not isfinite(made) or isinstance(value, bool):
        raise ValueError(f"must be a finite number, not {_shown(value)}")
    return made


def _moment(value: Any) -> float:
    made = _number(value)
    if not 0 <= made < YEAR_10000:
        raise ValueError(f"must be a time in unix seconds, not {_shown(value)}")
    return made


def _structured(kind: type, value: Any) -> Any:
    made: Any = json.loads(value) if isinstance(value, str) else value
    if not isinstance(made, kind):
        raise ValueError(f"must be {'an object' if kind is dict else 'a list'}, not {_shown(value)}")
    if _NUL.search(json.dumps(made, allow_nan=False)):
        raise ValueError("text can't hold a NUL character")
    json.dumps(made, ensure_ascii=False).encode()  # half a surrogate pair is no text
    return made


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
