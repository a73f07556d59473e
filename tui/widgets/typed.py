"""Inputs whose text can be shown as it is: what is pasted or given into them holds no control characters."""

from __future__ import annotations

from textual.widgets import Input, TextArea
from textual.widgets.text_area import Edit, EditResult

from core.text import plain

LONGEST = 1_000_000  # characters


def safe(text: str) -> str:
    """The text with what a terminal would obey made visible; line ends and tabs stay."""
    lines = (plain(line, limit=LONGEST, lines=True) for line in text.replace("\r\n", "\n").split("\t"))
    return "\t".join(lines)


class SafeInput(Input):
    """A line."""

    def validate_value(self, value: str) -> str:
        """Whatever it comes from."""
        return plain(value, limit=LONGEST)


class SafeArea(TextArea):
    """Several lines."""

    def edit(self, edit: Edit) -> EditResult:
        """Typed and pasted text."""
        edit.text = safe(edit.text)
        return super().edit(edit)
