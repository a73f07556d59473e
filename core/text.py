"""Hostile text made safe to show: `plain()` is the one gate between the outside world and a terminal."""

from __future__ import annotations

import re
import unicodedata

# Cc control, Cf format (bidi overrides, zero-width), Cs surrogates, Co private use, Cn unassigned, Zl/Zp line separators.
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
PILED = 8  # marks that one letter may carry: no script needs as many
_MARKS = (
    r"\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u06d6-\u06dc\u0e34-\u0e3a\u0e47-\u0e4e"
    r"\u0f71-\u0f7e\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
)
_PILE = re.compile(rf"([{_MARKS}]{{{PILED}}})[{_MARKS}]+")
ADDRESS = re.compile(r"https?://[\w\-.~:/?#\[\]@!$&'()*+,;=%]{1,2000}", re.ASCII)  # of a page: nothing in it is obeyed
_JOINER = "\u200d"  # keeps emoji sequences whole; harmless by itself


def counted(count: int, one: str, many: str = "") -> str:
    """1 row, 2 rows; `many` where an s makes no plural."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {many or one + 's'}"


def plain(value: object, *, limit: int = 2_000, lines: bool = False) -> str:
    """Return `value` as text without control, escape, bidi or invisible characters, at most `limit` characters long.

    Unsafe characters become a visible `\\xNN` or `\\uNNNN`; tabs become spaces. With `lines`, newlines stay. Of marks that
    pile up on one letter the first few stay.
    """
    text = str(value)
    told = text.replace("\n", "") if lines else text
    if told.isprintable() and len(text) <= limit and (text.isascii() or not _PILE.search(text)):
        return text
    shown = "".join(_shown(char, lines) for char in _PILE.sub(r"\1…", text[: limit + 1]))
    return shown if len(text) <= limit and len(shown) <= limit else shown[: limit - 1] + "…"


def _shown(char: str, lines: bool) -> str:
    if char == "\n" and lines:
        return char
    if char in "\t\n\r":
        return " "
    if unicodedata.category(char) in _UNSAFE and char != _JOINER:
        code = ord(char)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return char
