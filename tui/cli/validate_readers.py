"""Readers of YAML and JSON that tell the place of every token. YAML's comes from libyaml, event by event; JSON's is our own."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from tui.cli.validate_places import MERGE, SYNTAX, Malformed, Token

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_PLAIN = {f"{_PREFIX}{name}" for name in ("int", "float", "bool", "null")}
_TEXT = {f"{_PREFIX}{name}" for name in ("str", "timestamp", "value", "binary")}
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # 2e-5 is a number in JSON and YAML 1.2, but text in YAML 1.1
_resolver: Any = Resolver()
_constructor: Any = SafeConstructor()


def yaml_tokens(text: str) -> Iterator[Token]:
    """The tokens of every document of `text`; raises Malformed."""
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            token = _token(event)
            if token is not None:
                yield token
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = " ".join(str(each) for each in (error.problem, error.context) if each)
        raise Malformed(SYNTAX, told, *((mark.line + 1, mark.column + 1) if mark else ())) from None
    except yaml.YAMLError as error:  # a character that YAML does not allow; the reader knows only its position
        at = getattr(error, "position", 0)
        line = text.count("\n", 0, at) + 1
        raise Malformed(SYNTAX, str(error).splitlines()[0], line, at - text.rfind("\n", 0, at)) from None


def _token(event: Any) -> Token | None:
    line, column, offset = event.start_mark.line + 1, event.start_mark.column + 1, event.start_mark.index
    match type(event).__name__:
        case "DocumentStartEvent":
            return Token("document", line, column, offset=event.end_mark.index)
        case "DocumentEndEvent":
            return Token("close", line, column, offset=offset)
        case "MappingStartEvent" | "SequenceStartEvent" as name:
            _known(event.tag, {f"{_PREFIX}map", f"{_PREFIX}seq"}, line, column)
            return Token("map" if name.startswith("Map") else "list", line, column, anchor=event.anchor)
        case "MappingEndEvent" | "SequenceEndEvent":
            return Token("end", line, column)
        case "AliasEvent":
            return Token("alias", line, column, event.anchor)
        case "ScalarEvent":
            return Token("scalar", line, column, _scalar(event, line, column), event.value, event.anchor)
    return None


def _known(tag: str | None, known: set[str], line: int, column: int) -> None:
    if tag not in (None, "!") and tag not in known:
        raise Malformed(SYNTAX, f"tag {tag} is not one of plain values", line, column)


def _scalar(event: Any, line: int, column: int) -> Any:
    _known(event.tag, _PLAIN | _TEXT, line, column)
    plain = event.implicit[0] and event.tag is None
    tag = _resolver.resolve(yaml.ScalarNode, event.value, event.implicit) if event.tag in (None, "!") else event.tag
    if tag == f"{_PREFIX}merge":
        return MERGE
    if plain and _EXPONENT.fullmatch(event.value):
        return float(event.value)
    if tag not in _PLAIN:
        return event.value
    try:
        return _constructor.construct_object(yaml.ScalarNode(tag, event.value))
    except (ValueError, KeyError, yaml.YAMLError):
        raise Malformed(SYNTAX, "a value that is not of its tag, or too long a number", line, column) from None


_JSON = re.compile(
    r"""[ \t\r\n]*+(?:(?P<text>"(?:[^"\\\x00-\x1f]|\\.)*+")|(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)"""
    r"""|(?P<word>true|false|null)|(?P<mark>[\[\]{},:]))""",
    re.ASCII,
)
_SPACE = re.compile(r"[ \t\r\n]*+")


def json_tokens(text: str, first_line: int = 1) -> Iterator[Token]:
    """The tokens of the one JSON value that `text` is; raises Malformed. `first_line` is the line of its file it begins on."""
    yield Token("document", first_line, 1)
    yield from _Json(text, first_line).tokens()
    yield Token("close", first_line, 1, offset=len(text))


class _Json:
    """JSON's grammar as a loop: what is open, and what may come next."""

    def __init__(self, text: str, first_line: int) -> None:
        self.text, self.first_line = text, first_line
        self.lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self.open: list[str] = []
        self.wants = "value"

    def tokens(self) -> Iterator[Token]:
        at = 0
        while self.wants != "nothing":
            found = _JSON.match(self.text, at)
            if found is None:
                raise self._wrong(at)
            kind = str(found.lastgroup)
            token = self._mark(found["mark"], found.start("mark")) if kind == "mark" else self._value(kind, found)
            if token is not None:
                yield token
            at = found.end()
        if (end := _space(self.text, at)) != len(self.text):
            raise Malformed(SYNTAX, "there is more after the end of the JSON value", *self._place(end))

    def _value(self, kind: str, found: re.Match[str]) -> Token:
        start, raw = found.start(kind), found[kind]
        if self.wants in ("value", "value or end"):
            self._after()
        elif self.wants in ("key", "key or end") and kind == "text":
            self.wants = "colon"
        else:
            raise self._wrong(start)
        try:
            value = json.loads(raw)
        except ValueError as error:
            raise Malformed(SYNTAX, f"not valid JSON: {error}", *self._place(start)) from None
        return Token("scalar", *self._place(start), value, value if isinstance(value, str) else "")

    def _mark(self, mark: str, start: int) -> Token | None:
        place = self._place(start)
        if mark in "[{" and self.wants in ("value", "value or end"):
            self.open.append(mark)
            self.wants = "value or end" if mark == "[" else "key or end"
            return Token("list" if mark == "[" else "map", *place)
        if mark in "]}" and self.open and self.open[-1] == {"]": "[", "}": "{"}[mark] and self.wants.endswith("end"):
            self.open.pop()
            self._after()
            return Token("end", *place)
        if mark == ":" and self.wants == "colon":
            self.wants = "value"
        elif mark == "," and self.wants == "comma or end":
            self.wants = "value" if self.open[-1] == "[" else "key"
        else:
            raise self._wrong(start)
        return None

    def _after(self) -> None:
        self.wants = "comma or end" if self.open else "nothing"

    def _wrong(self, at: int) -> Malformed:
        at = _space(self.text, at)
        seen = repr(self.text[at]) if at < len(self.text) else "the end"
        return Malformed(SYNTAX, f"not valid JSON: {self.wants} expected, not {seen}", *self._place(at))

    def _place(self, at: int) -> tuple[int, int]:
        index = bisect_right(self.lines, at) - 1
        return self.first_line + index, at - self.lines[index] + 1


def _space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
