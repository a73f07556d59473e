"""Sections of lines with a cursor that goes from one line that leads somewhere to the next. One widget draws all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from core.text import plain
from tui.theme import look
from tui.view.overview import Drawn, Section, Target, drawn


class Glance(ScrollView, can_focus=True):
    """The cursor stays on its line while lines come, go and change around it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"glance--title", "glance--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "next line", show=False),
        Binding("k,up", "move(-1)", "line before", show=False),
        Binding("g,home", "end(0)", "first line", show=False),
        Binding("G,end", "end(-1)", "last line", show=False),
        Binding("pagedown,ctrl+f", "move(10)", "further down", show=False),
        Binding("pageup", "move(-10)", "further up", show=False),
        Binding("enter", "open", "go there", show=False),
    ]

    class Opened(Message):
        """Enter, or a second click, on a line that leads somewhere."""

        def __init__(self, target: Target) -> None:
            super().__init__()
            self.target = target

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.sections: Sequence[Section] = ()
        self.lines: list[Drawn] = []
        self.cursor = ""  # the key of the line that it is on

    def show(self, found: Sequence[Section]) -> None:
        """Show these sections; only lines that changed are drawn again."""
        self.sections = found
        before, places, was_at = self.lines, self._places, self.cursor
        self.lines = self._fitting(found)
        self.virtual_size = Size(self.size.width, len(self.lines))
        keys = [line.key for line in self.lines if line.key]
        if self.cursor not in keys:
            near = places.index(self.cursor) if self.cursor in places else 0
            self.cursor = keys[min(near, len(keys) - 1)] if keys else ""
        if len(before) != len(self.lines) or self.cursor != was_at:
            self.refresh()
            return
        for y, (was, now) in enumerate(zip(before, self.lines, strict=True)):
            if was != now:
                self._redraw(y)

    def _fitting(self, found: Sequence[Section]) -> list[Drawn]:
        """The lines as wide as they are seen: more of them than there is room for leave a cell to the scrollbar."""
        lines = list(drawn(found, max(20, self.size.width)))
        return lines if len(lines) <= self.size.height else list(drawn(found, max(20, self.size.width - 1)))

    def on_resize(self) -> None:
        """Another width fits other columns."""
        self.lines = []
        self.show(self.sections)

    def on_focus(self) -> None:
        """The cursor shows where the keys go."""
        self.refresh()

    def on_blur(self) -> None:
        """It is dim while they go elsewhere."""
        self.refresh()

    # ─── drawing ──────────────────────────────────────────────────────────────────────────────────

    def render_line(self, y: int) -> Strip:
        """A line, as far as it is scrolled."""
        place = y + int(self.scroll_offset.y)
        width, plain_style = self.size.width, self.rich_style
        if place >= len(self.lines):
            return Strip.blank(width, plain_style)
        line = self.lines[place]
        on_it = bool(line.key) and line.key == self.cursor and self.has_focus
        under = self.get_component_rich_style("glance--cursor") if on_it else plain_style
        segments = [Segment(plain(text), under + self._style(meaning)) for text, meaning in line.spans]
        if on_it:
            segments[0] = Segment("›", under + Style(bold=True))
        return Strip(segments).adjust_cell_length(width, under)

    def _style(self, meaning: str) -> Style:
        if meaning == "title":
            return self.get_component_rich_style("glance--title", partial=True)
        return look(meaning, dark=self.app.current_theme.dark)

    def _redraw(self, y: int) -> None:
        at = y - int(self.scroll_offset.y)
        if 0 <= at < self.size.height:
            self.refresh(Region(0, at, self.size.width, 1))

    # ─── moving ───────────────────────────────────────────────────────────────────────────────────

    @property
    def _places(self) -> list[str]:
        return [line.key for line in self.lines if line.key]

    def action_move(self, step: int) -> None:
        """j, k: the next line that leads somewhere."""
        places = self._places
        if not places:
            return
        at = places.index(self.cursor) if self.cursor in places else 0
        self._to(places[max(0, min(len(places) - 1, at + step))])

    def action_end(self, index: int) -> None:
        """g, G."""
        if places := self._places:
            self._to(places[index])

    def _to(self, key: str) -> None:
        before, self.cursor = self._line_of(self.cursor), key
        at = self._line_of(key)
        for y in (before, at):
            self._redraw(y)
        top = 0 if key == self._places[0] else at
        self.scroll_to_region(Region(0, top, 1, at - top + 1), animate=False, force=True)

    def _line_of(self, key: str) -> int:
        return next((y for y, line in enumerate(self.lines) if line.key == key), 0)

    def action_open(self) -> None:
        """Enter."""
        line = next((line for line in self.lines if line.key and line.key == self.cursor), None)
        if line is not None and line.target is not None:
            self.post_message(self.Opened(line.target))

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor there; on the line that has it already, it opens."""
        place = event.y + int(self.scroll_offset.y)
        key = self.lines[place].key if place < len(self.lines) else ""
        if key and (key == self.cursor and event.chain > 1):
            self.action_open()
        elif key:
            self._to(key)
