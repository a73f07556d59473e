"""A document with the place of every value, built from a reader's tokens without recursion and within bounds.

`fts validate` reads files that others wrote: what a reader of YAML or JSON would take for ever over, or lose in silence,
is a breach with a line here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

MAX_BYTES = 8 * 2**20  # a file of requests; libyaml reads as much in about two seconds
MAX_DEPTH = 64
MAX_VALUES = 500_000  # with every alias counted as what it stands for

SYNTAX, TWICE, NO_MESSAGE, BOUNDS = "FL-101", "FL-102", "FL-103", "FL-104"
TEXTS = {
    SYNTAX: "the file must be UTF-8 text that is valid YAML or JSON of plain values",
    TWICE: "a mapping may have a key only once: of two, one would be lost",
    NO_MESSAGE: "the file must hold messages, each {name: …, payload: {…}}, or one config",
    BOUNDS: f"a file may have {MAX_BYTES // 2**20} MiB, {MAX_DEPTH} levels and {MAX_VALUES} values at most",
}


class Malformed(ValueError):
    """The text can't be read on from `line` and `column` (both from 1); `rule` is one of TEXTS."""

    def __init__(self, rule: str, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.rule, self.message, self.line, self.column = rule, message, line, column


@dataclass(frozen=True, slots=True)
class Token:
    """What a reader saw: the begin or end of something, a scalar, or an alias. `offset` counts characters of the text."""

    kind: Literal["document", "map", "list", "end", "scalar", "alias", "close"]
    line: int
    column: int
    value: Any = None
    text: str = ""
    anchor: str | None = None
    offset: int = 0


@dataclass(slots=True)
class Place:
    """A value and where it stands; `parts` are the places of what it holds, `keys` of its keys."""

    value: Any
    line: int
    column: int
    size: int = 1
    parts: dict[str | int, Place] = field(default_factory=dict)
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Twice:
    """A key that was there before."""

    key: str
    line: int
    column: int
    first: int


@dataclass(slots=True)
class Document:
    """One document of a file; `begin` and `end` bound its text."""

    root: Place
    twice: list[Twice]
    begin: int = 0
    end: int = 0


def build(tokens: Iterable[Token]) -> Iterator[Document]:
    """Yield each document that the tokens make; raise Malformed."""
    builder = _Builder()
    for token in tokens:
        if token.kind == "document":
            builder = _Builder(token.offset)
        elif token.kind == "close":
            yield builder.done(token)
        else:
            builder.take(token)


class _Builder:
    """One document in the making: the containers that are open, each with the key whose value is awaited."""

    def __init__(self, begin: int = 0) -> None:
        self.begin = begin
        self.root: Place | None = None
        self.open: list[tuple[Place, str | None]] = []
        self.awaited: list[Token | None] = []
        self.anchors: dict[str, Place] = {}
        self.twice: list[Twice] = []
        self.count = 0

    def done(self, token: Token) -> Document:
        root = self.root or Place(None, token.line, token.column)
        return Document(root, self.twice, self.begin, token.offset)

    def take(self, token: Token) -> None:
        if token.kind == "end":
            self._close()
        elif self._wants_key():
            self._key(token)
        elif token.kind in ("map", "list"):
            self._begin(token)
        elif token.kind == "alias":
            self._add(self._anchored(token), token)
        else:
            value = token.text if token.value is MERGE else token.value
            self._add(self._named(Place(value, token.line, token.column), token.anchor), token)

    def _wants_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1][0].value, dict) and self.awaited[-1] is None

    def _key(self, token: Token) -> None:
        if token.kind != "scalar":
            raise Malformed(SYNTAX, "a key must be text", token.line, token.column)
        self.awaited[-1] = token

    def _begin(self, token: Token) -> None:
        if len(self.open) >= MAX_DEPTH:
            raise Malformed(BOUNDS, f"nested deeper than {MAX_DEPTH} levels", token.line, token.column)
        place = Place({} if token.kind == "map" else [], token.line, token.column)
        self.open.append((place, token.anchor))
        self.awaited.append(None)

    def _close(self) -> None:
        place, anchor = self.open.pop()
        self.awaited.pop()
        self._add(self._named(place, anchor), None)

    def _named(self, place: Place, anchor: str | None) -> Place:
        if anchor is not None:
            self.anchors[anchor] = place
        return place

    def _anchored(self, token: Token) -> Place:
        found = self.anchors.get(token.value)
        if found is None:
            raise Malformed(SYNTAX, f"alias *{token.value} names nothing before it", token.line, token.column)
        return Place(found.value, token.line, token.column, found.size, found.parts, found.keys)

    def _add(self, place: Place, token: Token | None) -> None:
        if token is not None:
            self.count += place.size  # what a container holds was counted when it was added
            if self.count > MAX_VALUES:
                raise Malformed(BOUNDS, f"more than {MAX_VALUES} values", place.line, place.column)
        if not self.open:
            self.root = place
            return
        into = self.open[-1][0]
        into.size += place.size
        if isinstance(into.value, list):
            into.parts[len(into.value)] = place
            into.value.append(place.value)
            return
        key = self.awaited[-1]
        assert key is not None
        self.awaited[-1] = None
        self._put(into, key, place)

    def _put(self, into: Place, key: Token, place: Place) -> None:
        if key.value is MERGE:
            _merge(into, place)
            return
        if key.text in into.keys:
            self.twice.append(Twice(key.text, key.line, key.column, into.keys[key.text][0]))
        into.keys[key.text] = (key.line, key.column)
        into.parts[key.text] = place
        into.value[key.text] = place.value


MERGE = object()  # the value of YAML's key <<


def _merge(into: Place, place: Place) -> None:
    """Lay what `place` holds under what `into` has, as YAML's << asks; earlier ones of a list win."""
    many = list(place.parts.values()) if isinstance(place.value, list) else [place]
    for each in many:
        if not isinstance(each.value, dict):
            raise Malformed(SYNTAX, "<< takes a mapping or a list of mappings", each.line, each.column)
        for key, part in each.parts.items():
            into.parts.setdefault(key, part)
            into.value.setdefault(key, part.value)
