"""A table whose cursor stays on its row while rows change, with vim's keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from tui.view.kinds import Cell

Line = tuple[str, Sequence[Cell]]  # key, cells


class StudioTable(DataTable[Text]):
    """Shows lines; what did not change is not drawn again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "down", show=False),
        Binding("k", "cursor_up", "up", show=False),
        Binding("g", "scroll_top", "first", show=False),
        Binding("G", "scroll_bottom", "last", show=False),
        Binding("ctrl+d", "remove", "delete", show=False, priority=True),
    ]

    def __init__(self, titles: Sequence[str], id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=False, cell_padding=1)
        self.titles = titles
        self.lines: dict[str, list[Cell]] = {}

    def on_mount(self) -> None:
        """Columns by their titles."""
        for title in self.titles:
            self.add_column(Text(title, style="bold"), key=title, width=max(1, cell_len(title)))

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines, in this order; the cursor stays on its row, or near its place when that is gone."""
        wanted = {key: list(cells) for key, cells in lines}
        self._fit(wanted)
        if list(wanted) == list(self.lines):
            self._change(wanted)
        else:
            self._replace(wanted)
        self.lines = wanted

    def _fit(self, wanted: dict[str, list[Cell]]) -> None:
        """Make every column as wide as its widest cell; measuring all cells is left to us, so that rows that come at
        once with the table are not cut to the width of its titles."""
        for index, (title, column) in enumerate(zip(self.titles, self.ordered_columns, strict=True)):
            column.width = max(1, cell_len(title), *(cell_len(cells[index][0]) for cells in wanted.values()))
        self._clear_caches()
        self._require_update_dimensions = True

    def _change(self, wanted: dict[str, list[Cell]]) -> None:
        for key, cells in wanted.items():
            for title, old, new in zip(self.titles, self.lines[key], cells, strict=True):
                if old != new:
                    self.update_cell(key, title, Text(*new))

    def _replace(self, wanted: dict[str, list[Cell]]) -> None:
        key, row, offset = self.cursor_key, self.cursor_row, self.scroll_offset
        with self.app.batch_update():
            self.clear()
            for name, cells in wanted.items():
                self.add_row(*(Text(*cell) for cell in cells), key=name)
            keys = list(wanted)
            if keys:
                self.move_cursor(
                    row=keys.index(key) if key in wanted else min(row, len(keys) - 1), animate=False, scroll=False
                )
                self.scroll_to(*offset, animate=False, force=True)

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor."""
        keys = list(self.lines)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else None

    def action_remove(self) -> None:
        """Left to the screen: ctrl+d deletes, as in k9s."""
        remove = getattr(self.screen, "action_remove", None)
        if remove is not None:
            remove()
