"""A chart of a job's numbers."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text
from textual.widget import Widget

from tui.theme import painted
from tui.view.plot import Series, plot

MEANINGS = {"loss": "bar", "eval_loss": "second", "": "dim"}


class Curve(Widget):
    """Draws series by name; `log` makes the y axis logarithmic. Redrawn at most twice a second."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.series: dict[str, Series] = {}
        self.log_axis = False
        self.pending = False

    def set(self, series: Mapping[str, Series]) -> None:
        """Show these series, soon."""
        self.series = dict(series)
        if not self.pending:
            self.pending = True
            self.set_timer(0.5, self._draw)

    def draw_now(self, series: Mapping[str, Series]) -> None:
        """Show these series at once."""
        self.series = dict(series)
        self.refresh()

    def toggle_log(self) -> None:
        """Switch the y axis between linear and logarithmic."""
        self.log_axis = not self.log_axis
        self.refresh()

    def _draw(self) -> None:
        self.pending = False
        self.refresh()

    def render(self) -> Text:
        """The chart as text."""
        width, height = self.size
        dark = self.app.current_theme.dark
        made = Text(no_wrap=True, end="")
        for index, line in enumerate(plot(self.series, width, height, log=self.log_axis)):
            made.append("\n" if index else "")
            for piece, name in line:
                made.append_text(painted(piece, MEANINGS.get(name, "bar"), dark=dark))
        return made
