"""Names and values, one a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from core.text import plain
from tui.view.planned import Line
from tui.widgets.told import Told


class Facts(Told):
    """Shows (name, value, style) lines; values are made safe here."""

    def show(self, facts: Iterable[tuple[str, object, str]], limit: int = 400) -> None:
        """Show these facts; empty values are left out."""
        kept = [(name, value, style) for name, value, style in facts if value not in (None, "", [], {})]
        wide = max((len(name) for name, _, _ in kept), default=0)
        self.tell(line for fact in kept for line in _lines(*fact, wide, limit))


def _lines(name: str, value: object, style: str, wide: int, limit: int) -> Iterator[Line]:
    """A fact: its name stands before the first line of its value."""
    for number, line in enumerate(plain(value, limit=limit, lines=True).split("\n")):
        yield [(f"{'' if number else plain(name, limit=40):<{wide}}  ", "dim"), (line, style)]
