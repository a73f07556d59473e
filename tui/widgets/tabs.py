"""The line of panes: which one is shown, and what each is called by."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from core.text import plain
from tui.view.fit import cut


class Tabs(Static):
    """Shows (name, label) pairs, the open one in brackets; a click opens one. A note stands at the right where it has room."""

    class Chosen(Message):
        """A pane is wanted."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self.tabs: Sequence[tuple[str, str]] = ()
        self.places: list[tuple[int, int, str]] = []

    def show(self, tabs: Sequence[tuple[str, str]], current: str, note: str = "") -> None:
        """Show these."""
        self.tabs = tabs
        self.places, line = [], ""
        room = max(10, self.size.width - 2)
        for name, label in tabs:
            text = f"[{label}]" if name == current else f" {label} "
            self.places.append((cell_len(line), cell_len(line) + cell_len(text), name))
            line += text
        left = room - cell_len(line)
        told = cut(note, left - 1) if left > 8 else ""
        self.update(Content(plain(line + " " * (left - cell_len(told)) + told)), layout=False)

    def on_click(self, event: events.Click) -> None:
        """Open what was clicked."""
        at = event.x - 1  # the padding
        for begin, end, name in self.places:
            if begin <= at < end:
                self.post_message(self.Chosen(name))
