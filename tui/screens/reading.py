"""Text to read: descriptions, YAML, help."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content, Span
from textual.style import Style
from textual.widgets import Static

from core.text import plain
from tui.screens.base import StudioScreen
from tui.view.links import addresses, site
from tui.widgets.banner import Banner


class ReadingScreen(StudioScreen):
    """Shows text that scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll(1)", "down", show=False),
        Binding("k", "scroll(-1)", "up", show=False),
        Binding("g", "top", "top", show=False),
        Binding("G", "bottom", "bottom", show=False),
        Binding("y", "copy", "copy all", show=False),
    ]
    keys_shown = "j k scroll  y copy  esc back  ? help"

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.heading, self.text = plain(title, limit=100), text

    def compose(self) -> ComposeResult:
        """The text."""
        yield Banner(self.heading)
        with VerticalScroll():
            yield Static(self._linked(), id="text", markup=False)
        yield from self.bottom()

    def _linked(self) -> Content:
        """The text; addresses of the workbench that the studio runs in lead there."""
        shown = plain(self.text, limit=1_000_000, lines=True)
        root = site((self.dashboard.bench_told or {}).get("project"))
        found = addresses(shown, root) if root else ()
        return Content(shown, [Span(begin, end, Style(link=page)) for begin, end, page in found])

    def on_mount(self) -> None:
        """Keys scroll."""
        self.focus_first()

    def focus_first(self) -> None:
        """The text."""
        self.query_one(VerticalScroll).focus()

    def copies(self) -> list[tuple[str, str]]:
        """All of it."""
        return [(f"{self.heading}", self.text)]

    def action_scroll(self, lines: int) -> None:
        """j and k."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_top(self) -> None:
        """g."""
        self.query_one(VerticalScroll).scroll_home(animate=False)

    def action_bottom(self) -> None:
        """G."""
        self.query_one(VerticalScroll).scroll_end(animate=False)
