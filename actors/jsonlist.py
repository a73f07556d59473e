"""A JSON list read item by item: a file larger than the memory must not fill it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from core.messages.common import no_twice

CHUNK = 1 << 20  # characters read at once
LARGEST_ITEM = 64 << 20  # characters of one item
LONGEST_TOKEN = 16  # characters that an error's place may lie before the end when a literal or an escape was cut
_DECODER = json.JSONDecoder(object_pairs_hook=no_twice)
_SPACE = re.compile(r"[ \t\n\r]*")


class NotAList(ValueError):
    """The text is no JSON list; the message begins with the place: ", line 3: …"."""


def items(file: TextIO) -> Iterator[tuple[int, Any]]:
    """Yield (line, item) of the list that `file` holds, line being where the item begins; raise NotAList."""
    text = _Text(file)
    if text.next() != "[":
        raise text.wrong("must hold a list of objects: it has to begin with [")
    text.at += 1
    if text.next() == "]":
        text.at += 1
    else:
        yield from _items(text)
    if text.next():
        raise text.wrong("there is more after the list's end")


def _items(text: _Text) -> Iterator[tuple[int, Any]]:
    while True:
        text.next()
        yield text.line, text.item()
        mark = text.next()
        text.at += 1
        if mark == "]":
            return
        if mark != ",":
            raise text.wrong(f"expected , or ] and not {mark or 'the end of the file'}")


class _Text:
    """A window on the file: `at` is the place in it, `line` the line of that place."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.window, self.at, self.line = file, "", 0, 1

    def next(self) -> str:
        """The next character that is no white space, without taking it; empty at the end."""
        while True:
            end = _SPACE.match(self.window, self.at).end()  # type: ignore[union-attr]  # it matches nothing too
            self._pass(end)
            if end < len(self.window) or not self._more():
                return self.window[self.at : self.at + 1]

    def item(self) -> Any:
        """Take one JSON value. A number at the window's end may go on, so that more is read first."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.window, self.at)
                if end < len(self.window) or not self._more():
                    self._pass(end)
                    return value
            except RecursionError:
                raise self.wrong("is nested too deeply") from None
            except json.JSONDecodeError as error:
                place = error.pos - self.at
                if not self._may_go_on(error) or len(self.window) > LARGEST_ITEM or not self._more():
                    raise self.wrong(f"not valid JSON: {error.msg}", self.at + place) from None
            except ValueError as error:  # a key that is there twice, a number that is too long
                raise self.wrong(f"not valid JSON: {error}") from None

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Whether the value may only have been cut by the window's end: in a string, or in the last token."""
        return error.msg.startswith("Unterminated string") or error.pos > len(self.window) - LONGEST_TOKEN

    def wrong(self, text: str, at: int | None = None) -> NotAList:
        """The complaint, with its line."""
        line = self.line + self.window.count("\n", self.at, self.at if at is None else at)
        return NotAList(f", line {line}: {text}")

    def _pass(self, end: int) -> None:
        self.line += self.window.count("\n", self.at, end)
        self.at = end

    def _more(self) -> bool:
        """Read on: at least as much as is held, so that a large item is not parsed once a chunk."""
        self.window, self.at = self.window[self.at :], 0
        more = self.file.read(max(CHUNK, len(self.window)))
        self.window += more
        return bool(more)
