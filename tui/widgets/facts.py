"""Names and values, one a line."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.widgets import Static

from core.text import plain
from tui.theme import painted


class Facts(Static):
    """Shows (name, value, style) lines; values are made safe here."""

    def __init__(self, id: str | None = None, *, fixed: bool = False) -> None:
        """A `fixed` one has the same room whatever it shows: nothing is laid out anew for other numbers."""
        super().__init__("", id=id, markup=False)
        self.fixed = fixed

    def show(self, facts: Iterable[tuple[str, object, str]], limit: int = 400) -> None:
        """Show these facts; empty values are left out."""
        kept = [(name, value, style) for name, value, style in facts if value not in (None, "", [], {})]
        wide = max((len(name) for name, _, _ in kept), default=0)
        made = Text()
        for index, (name, value, style) in enumerate(kept):
            made.append("\n" if index else "")
            made.append(f"{plain(name, limit=40):<{wide}}  ", style="dim")
            made.append_text(painted(plain(value, limit=limit, lines=True), style, dark=self.app.current_theme.dark))
        self.update(made, layout=not self.fixed)
