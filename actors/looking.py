"""What the rows of a dataset hold: types of the columns, the first rows, and whether they are conversations."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from core.messages.common import LONGEST_NAME

PREVIEWED = 5  # rows
LONGEST_TEXT = 500  # characters of a previewed text
WIDEST = 20  # items of a previewed list
DEEPEST = 6  # levels of a type that are told apart
CHAT_COLUMNS = ("messages", "conversations")
TURNS = ({"role", "content"}, {"from", "value"})  # what a message has: OpenAI's names, ShareGPT's names

Kind = str | dict[str, Any]  # "string", {"list": Kind}, {"struct": {name: Kind}}


@dataclass
class Look:
    """Gathers what rows hold, one at a time; memory does not grow with their number."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    preview: list[dict[str, Any]] = field(default_factory=list)
    chat: bool | None = None

    def see(self, row: dict[str, Any]) -> None:
        """Take one row into account."""
        for name, value in row.items():
            self.kinds[name] = merged(self.kinds.get(name, "null"), kind_of(value))
        if len(self.preview) < PREVIEWED:
            self.preview.append(short(row))
        self.chat = self.chat is not False and is_chat(row)

    def facts(self) -> dict[str, Any]:
        """The findings, as they are stored with the dataset."""
        return {
            "column_types": {name: text_of(kind) for name, kind in self.kinds.items()},
            "preview": self.preview,
            "is_chat": bool(self.chat),
        }


def is_text(value: Any) -> bool:
    """Whether all texts of a JSON value can be written: half of a surrogate pair can't, and no tokenizer takes it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def name_of(value: Any) -> str | None:
    """A name that a file or the Hub tells, as a column holds it; None when it is none."""
    known = isinstance(value, str) and len(value) <= LONGEST_NAME and "\0" not in value and is_text(value)
    return value.strip() or None if known else None


def is_chat(row: dict[str, Any]) -> bool:
    """Whether a row is a conversation: a list of turns with role and content, or from and value."""
    return any(_turns(row.get(name)) for name in CHAT_COLUMNS)


def _turns(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and any(keys <= each.keys() for keys in TURNS) for each in value)
    )


def short(value: Any, depth: int = DEEPEST, longest: int = LONGEST_TEXT) -> Any:
    """A value as a preview shows it: long texts and lists are cut, what is no JSON becomes text."""
    if isinstance(value, str):
        cut = value if len(value) <= longest else f"{value[: longest - 1]}…"
        return (
            cut.replace("\0", "\ufffd").encode(errors="replace").decode()
        )  # no database keeps a NUL or half a character
    if isinstance(value, dict | list) and not depth:
        return "…"
    if isinstance(value, dict):
        return {str(key): short(each, depth - 1, longest) for key, each in list(value.items())[:WIDEST]}
    if isinstance(value, list):
        return [short(each, depth - 1, longest) for each in value[:WIDEST]]
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else short(str(value), depth, longest)


def kind_of(value: Any, depth: int = DEEPEST) -> Kind:
    """The type of a JSON value, by Arrow's names."""
    if isinstance(value, dict):
        return {"struct": {str(key): kind_of(each, depth - 1) for key, each in value.items()}} if depth else "struct"
    if isinstance(value, list):
        if not depth:
            return "list"
        inner: Kind = "null"
        for each in value:
            inner = merged(inner, kind_of(each, depth - 1))
        return {"list": inner}
    names: dict[type, str] = {str: "string", bool: "bool", int: "int64", float: "double", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def merged(one: Kind, other: Kind) -> Kind:
    """The type of a column that holds both."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        if "list" in one:
            return {"list": merged(one["list"], other["list"])}
        names = [*one["struct"], *(name for name in other["struct"] if name not in one["struct"])]
        return {
            "struct": {
                name: merged(one["struct"].get(name, "null"), other["struct"].get(name, "null")) for name in names
            }
        }
    return "double" if {_name(one), _name(other)} == {"int64", "double"} else "mixed"


def _name(kind: Kind) -> str:
    return kind if isinstance(kind, str) else ""


def text_of(kind: Kind) -> str:
    """The type as text, as Arrow writes it."""
    if isinstance(kind, str):
        return kind
    if "list" in kind:
        return f"list<{text_of(kind['list'])}>"
    return f"struct<{', '.join(f'{name}: {text_of(each)}' for name, each in kind['struct'].items())}>"
