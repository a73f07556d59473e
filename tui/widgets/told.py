"""A text of lines with labels, as wide as it has room: what a long line goes on with stands under its text."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.widgets import Static

from tui.theme import painted
from tui.view.hanging import hung
from tui.view.planned import Line


class Told(Static):
    """Shows lines; their pieces are made safe here."""

    def __init__(self, id: str | None = None, *, fixed: bool = False) -> None:
        """A `fixed` one has the same room whatever it shows: nothing is laid out anew for other numbers."""
        super().__init__("", id=id, markup=False)
        self.fixed = fixed
        self.lines: list[Line] = []
        self.drawn_for = 0

    def tell(self, lines: Iterable[Line]) -> None:
        """Other lines."""
        self.lines = list(lines)
        self._draw()

    def on_resize(self) -> None:
        """Another width wraps otherwise."""
        if self.size.width != self.drawn_for and not self.fixed:
            self._draw()

    def _draw(self) -> None:
        self.drawn_for, dark = self.size.width, self.app.current_theme.dark
        rows = self.lines if self.fixed else hung(self.lines, self.drawn_for)
        self.update(Text("\n").join(drawn(line, dark=dark) for line in rows), layout=not self.fixed)


def drawn(line: Line, *, dark: bool) -> Text:
    """A line in the theme's colours."""
    made = Text()
    for text, meaning in line:
        made.append_text(painted(text, meaning, dark=dark))
    return made
