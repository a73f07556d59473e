"""A table whose cursor stays on its row while rows change, with vim's keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from core.text import plain
from tui.theme import painted
from tui.view.cells import Cell
from tui.view.fit import cut, widths

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

    def __init__(self, titles: Sequence[str], id: str | None = None, name_column: int = 0) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=1, cursor_foreground_priority="renderable")
        self.titles = titles
        self.name_column = name_column
        self.lines: dict[str, list[Cell]] = {}
        self.fitted: tuple[list[int], bool] = ([], True)

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines, in this order; the cursor stays on its row, or near its place when that is gone."""
        wanted = {key: list(cells) for key, cells in lines}
        if self._fit(wanted) or list(wanted) != list(self.lines):
            self._replace(wanted)
        else:
            self._change(wanted)
        self.lines = wanted

    def show_as(self, titles: Sequence[str], lines: dict[str, list[Cell]]) -> None:
        """Show lines under other titles than before."""
        if list(titles) != list(self.titles):
            self.titles, self.lines, self.fitted = list(titles), {}, ([], True)
        self.show(list(lines.items()))

    def on_resize(self) -> None:
        """Another width fits other columns."""
        if self.lines:
            self.show(list(self.lines.items()))

    def on_mount(self) -> None:
        """Another theme paints other colours."""
        self.app.theme_changed_signal.subscribe(self, lambda theme: self.on_resize())

    def _fit(self, wanted: dict[str, list[Cell]]) -> bool:
        """Choose the columns' widths for the table's own room; whether they, or the colours, are others than before."""
        natural = [
            max(1, cell_len(title), *(cell_len(cells[index][0]) for cells in wanted.values()))
            for index, title in enumerate(self.titles)
        ]
        before, self.fitted = (
            self.fitted,
            (widths(natural, self._room - 1, self.name_column), self.app.current_theme.dark),
        )
        return before != self.fitted

    @property
    def _room(self) -> int:
        """Its width; as long as it is not laid out, all that the sidebar leaves."""
        return self.outer_size.width or int(getattr(self.screen, "room", self.app.size.width))

    def _line(self, cells: Sequence[Cell]) -> list[Text]:
        wide, dark = self.fitted
        return [
            painted(cut(text, width), style, dark=dark)
            for (text, style), width in zip(cells, wide, strict=True)
            if width
        ]

    def _change(self, wanted: dict[str, list[Cell]]) -> None:
        titles = [title for title, width in zip(self.titles, self.fitted[0], strict=True) if width]
        for key, cells in wanted.items():
            if cells != self.lines[key]:
                old = self._line(self.lines[key])
                for title, was, now in zip(titles, old, self._line(cells), strict=True):
                    if was != now or was.style != now.style:
                        self.update_cell(key, title, now)

    def _replace(self, wanted: dict[str, list[Cell]]) -> None:
        key, row, offset = self.cursor_key, self.cursor_row, self.scroll_offset
        with self.app.batch_update():
            self.clear(columns=True)
            for title, width in zip(self.titles, self.fitted[0], strict=True):
                if width:
                    self.add_column(Text(plain(cut(title, width)), style="bold"), key=title, width=width)
            for name, cells in wanted.items():
                self.add_row(*self._line(cells), key=name)
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
