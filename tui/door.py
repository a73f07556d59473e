"""The last door: whatever a widget draws, no character that a terminal would obey goes out.

Text is made safe where it is handed to a widget (core.text.plain, which keeps such characters visible). An editor must
hold what its user typed or pasted as it is, so what it draws is looked at here.
"""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_HARMLESS = ("\u200d", "\u200c")  # the joiners that emoji and some scripts are written with


class LastDoor(LineFilter):
    """Leaves out of what is drawn what is not printable; what took room leaves a dot in it, so that nothing moves."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments as they may go out: hardly ever others than came."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [Segment(shut(text), style, control) for text, style, control in segments]


def shut(text: str) -> str:
    """The text, as wide as before, without what is not printable."""
    return text if text.isprintable() else "".join(map(_shut, text))


def _shut(char: str) -> str:
    if char.isprintable() or char in _HARMLESS or unicodedata.category(char) == "Zs":
        return char
    return "·" * cell_len(char)
