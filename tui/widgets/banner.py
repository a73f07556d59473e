"""The line on top: where one is, and calm words when the studio is away."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from core.text import plain
from tui.view.fit import cut

LEAST = 20  # cells of the title that a note leaves


class Banner(Static):
    """Shows the screen's title at the left, cut where the note needs the room; an outage takes the whole line until it is over."""

    def __init__(self, title: str) -> None:
        super().__init__(Content(plain(title, limit=120)), id="banner", markup=False)
        self.title, self.note, self.trouble = plain(title, limit=120), "", ""

    def on_mount(self) -> None:
        """The app is known now."""
        self._draw()

    def on_resize(self) -> None:
        """Another width has room for more of the title."""
        self._draw()

    def name_it(self, title: str) -> None:
        """Change the title."""
        self.title = plain(title, limit=120)
        self._draw()

    def tell(self, note: str) -> None:
        """Show a note beside the title."""
        self.note = plain(note, limit=200)
        self._draw()

    def outage(self, reason: str) -> None:
        """Say what is wrong; with empty text, that all is well again."""
        self.trouble = f"▲ {plain(reason, limit=200)}" if reason else ""
        self.set_class(bool(reason), "away")
        self._draw()

    def _draw(self) -> None:
        note = ("   [read-only]" if getattr(self.app, "readonly", False) else "") + (
            f"   {self.note}" if self.note else ""
        )
        title = (
            cut(self.title, max(LEAST, self.content_size.width - cell_len(note))) if self.content_size else self.title
        )
        self.update(Content(self.trouble or f"{title}{note}"))
