"""The line on top: where one is, and calm words when the studio is away."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from core.text import plain


class Banner(Static):
    """Shows the screen's title at the left; an outage takes the whole line until it is over."""

    def __init__(self, title: str) -> None:
        super().__init__(Content(plain(title, limit=120)), id="banner", markup=False)
        self.title, self.note, self.trouble = plain(title, limit=120), "", ""

    def on_mount(self) -> None:
        """The app is known now."""
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
        title = f"{self.title}   [read-only]" if getattr(self.app, "readonly", False) else self.title
        self.update(Content(self.trouble or f"{title}   {self.note}".rstrip()))
