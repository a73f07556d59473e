"""A table that stays on its row, and its rows where they are, while rows change; with vim's keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.coordinate import Coordinate
from textual.message import Message
from textual.widgets import DataTable

from core.text import plain
from tui.theme import painted
from tui.view.cells import Cell
from tui.view.fit import cut, widths

Line = tuple[str, Sequence[Cell]]  # key, cells


class Untied(LRUCache[Any, Any]):
    """Textual's cache, whose entries are a ring: what is cleared goes at once, and not when the collector comes by. A list of
    live jobs clears thousands a second.
    """

    def clear(self) -> None:
        """Forget all."""
        for link in self._cache.values():
            link.clear()
        super().clear()


class StudioTable(DataTable[Text]):
    """Shows lines; what did not change is not drawn again.

    `letters` are those of the titles that order by them; with `marks` lines have room for a mark before their first cell.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "down", show=False),
        Binding("k", "cursor_up", "up", show=False),
        Binding("g", "scroll_top", "first", show=False),
        Binding("G", "scroll_bottom", "last", show=False),
        Binding("ctrl+d", "remove", "delete", show=False, priority=True),
    ]

    placing = False  # while lines are put in: nothing is followed, nothing is told

    class Seen(Message):
        """Other lines are in view than before: the first and the last of them."""

        def __init__(self, first: int, last: int) -> None:
            super().__init__()
            self.first, self.last = first, last

    class Ended(Message):
        """g or G: to the first or the last row of all."""

        def __init__(self, last: bool) -> None:
            super().__init__()
            self.last = last

    def __init__(
        self,
        titles: Sequence[str],
        id: str | None = None,
        name_column: int = 0,
        *,
        gives: Sequence[int] = (),
        letters: Mapping[str, str] | None = None,
        marks: bool = False,
    ) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=1, cursor_foreground_priority="renderable")
        # Each change makes all that was drawn before stale: more than a large screen of it is never looked at again.
        self._row_render_cache, self._row_renderable_cache = Untied(200), Untied(200)
        self._cell_render_cache, self._line_cache = Untied(2_000), Untied(200)
        self.titles = titles
        self.name_column = name_column
        self.gives = gives
        self.letters = letters or {}
        self.marks = marks
        self.ordered_by = ("", "")  # the title, and the arrow that it shows
        self.lines: dict[str, list[Cell]] = {}
        self.natural: list[int] = []
        self.fitted: tuple[list[int], bool] = ([], True)

    def show(self, lines: Sequence[Line], at: int | None = None) -> None:
        """Show these lines, in this order; the cursor stays on its row, or near its place when that is gone, unless it is to go to the line `at`."""
        wanted = {key: list(cells) for key, cells in lines}
        if self._fit(wanted) or at is not None or list(wanted) != list(self.lines):
            self._replace(wanted, at)
        else:
            self._change(wanted)
        self.lines = wanted
        self._look()

    def show_as(self, titles: Sequence[str], lines: dict[str, list[Cell]]) -> None:
        """Show lines under other titles than before."""
        if list(titles) != list(self.titles):
            self.titles, self.lines = list(titles), {}
            self._refit()
        self.show(list(lines.items()))

    def show_order(self, title: str, arrow: str) -> None:
        """Show at its title by which column the lines are ordered, and which way."""
        if self.ordered_by != (title, arrow):
            self.ordered_by = (title, arrow)
            self._refit()

    def _refit(self) -> None:
        self.natural, self.fitted = [], ([], True)

    def on_resize(self) -> None:
        """Another width fits other columns."""
        self.natural = []
        if self.lines:
            self.show(list(self.lines.items()))

    def on_mount(self) -> None:
        """Another theme paints other colours."""
        self.app.theme_changed_signal.subscribe(self, lambda theme: self.on_resize())

    def on_unmount(self) -> None:
        """Textual's signals keep what subscribed for good: its callback holds it."""
        self.app.theme_changed_signal.unsubscribe(self)

    # ─── drawing ──────────────────────────────────────────────────────────────────────────────────

    def _fit(self, wanted: dict[str, list[Cell]]) -> bool:
        """Choose the columns' widths for the table's own room; whether they, or the colours, are others than before.

        A column that was wide once stays so while other rows come into view: nothing moves sideways by itself.
        """
        least = self.natural or [
            max(1, cell_len(self._titled(title)) + (title in self.letters)) for title in self.titles
        ]
        self.natural = [
            max(width, *(cell_len(cells[index][0]) for cells in wanted.values())) if wanted else width
            for index, width in enumerate(least)
        ]
        before, self.fitted = (
            self.fitted,
            (widths(self.natural, self._room - 1, self.name_column, self.gives), self.app.current_theme.dark),
        )
        return before != self.fitted

    @property
    def _room(self) -> int:
        """Its width; as long as it is not laid out, all that the sidebar leaves."""
        return self.outer_size.width or int(getattr(self.screen, "room", self.app.size.width))

    def _titled(self, title: str) -> str:
        return f" {title}" if self.marks and title == self.titles[0] else title

    def _head(self, title: str, width: int) -> Text:
        """A title: the letter that orders by it with shift is underlined, the one that does has an arrow."""
        letter, shown = self.letters.get(title, ""), self._titled(title)
        at = shown.lower().find(letter.lower()) if letter else -1
        arrow = self.ordered_by[1] if title == self.ordered_by[0] else ""
        head = Text(plain(cut(shown + arrow, width)), style="bold")
        if at >= 0:
            head.stylize("underline", at, at + 1)
        return head

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

    def _replace(self, wanted: dict[str, list[Cell]], at: int | None) -> None:
        keys = list(wanted)
        row, top = self._places(keys) if at is None else self._shown_at(at, len(keys))
        self.placing = True
        with self.app.batch_update():
            self.set_reactive(DataTable.cursor_coordinate, Coordinate(0, 0))  # nobody is to follow it there
            self.clear(columns=True)
            for title, width in zip(self.titles, self.fitted[0], strict=True):
                if width:
                    self.add_column(self._head(title, width), key=title, width=width)  # clean: a Text
            for name, cells in wanted.items():
                self.add_row(*self._line(cells), key=name)
            # All widths are given and a line is a line: nothing is to be measured.
            self._new_rows.clear()
            self._require_update_dimensions = False
            self._update_dimensions(())
            if keys:
                self.move_cursor(row=row, animate=False, scroll=False)
                self._highlight_row(row)
                self.scroll_to(0, top, animate=False, force=True, immediate=True)
        self.placing = False

    def _scroll_cursor_into_view(self, animate: bool = False) -> None:
        if not self.placing:
            super()._scroll_cursor_into_view(animate)

    def _shown_at(self, row: int, rows: int) -> tuple[int, int]:
        """A line for the cursor, and the one on top when that is to be in view."""
        row = max(0, min(row, rows - 1))
        return row, max(0, row + 1 - max(1, self.lines_shown))

    def _places(self, keys: list[str]) -> tuple[int, int]:
        """The line of the cursor and the one on top when these are the lines: as many as can stay where they are.

        At the very beginning new rows push the others down, or nobody would see them come; unless the cursor would go out
        of sight by it.
        """
        before, top, at = list(self.lines), int(self.scroll_offset.y), self.cursor_row
        found = {key: index for index, key in enumerate(keys)}
        key = self.cursor_key
        row = found.get(key, min(at, len(keys) - 1)) if key is not None else 0
        if top == 0 and row < max(1, self.lines_shown):
            return row, 0
        for index in [*range(top, min(len(before), top + self.lines_shown)), *range(top - 1, -1, -1)]:
            if before[index] in found:
                return row, max(0, found[before[index]] - (index - top))
        return row, top

    @property
    def lines_shown(self) -> int:
        """How many lines there is room for."""
        return max(0, self.scrollable_content_region.height - self.header_height)

    # ─── moving ───────────────────────────────────────────────────────────────────────────────────

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell what is in view."""
        super().watch_scroll_y(old_value, new_value)
        self._look()

    def _look(self) -> None:
        first = int(self.scroll_offset.y)
        if self.lines and not self.placing:
            self.post_message(self.Seen(first, first + self.lines_shown - 1))

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor."""
        keys = list(self.lines)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else None

    def action_scroll_top(self) -> None:
        """g: the first row."""
        super().action_scroll_top()
        self.post_message(self.Ended(False))

    def action_scroll_bottom(self) -> None:
        """G: the last row."""
        super().action_scroll_bottom()
        self.post_message(self.Ended(True))

    async def _on_click(self, event: events.Click) -> None:
        """A click goes to a row, a second one right after it opens it; a title is the screen's."""
        row = event.style.meta.get("row", -1)
        if row < 0:
            return  # Textual calls what the table does by itself, too
        self.cursor_coordinate = Coordinate(row, 0)
        if event.chain > 1:
            self.action_select_cursor()
        event.prevent_default()
        event.stop()

    def action_remove(self) -> None:
        """Left to the screen: ctrl+d deletes, as in k9s."""
        remove = getattr(self.screen, "action_remove", None)
        if remove is not None:
            remove()
