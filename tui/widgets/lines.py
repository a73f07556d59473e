"""Lines of text to read: a log, events, configs. Long ones are wrapped, what is searched for is marked, new ones are followed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from core.text import plain
from tui.theme import look
from tui.view.fit import HANG, wrapped

EVERY = 0.25  # seconds between paints of lines that come by themselves
MOST = 10_000  # lines that are kept while the newest are followed
SIGNS = {
    "── failed": "bad",
    "▲": "wait",
    "✗": "bad",
    "✓": "good",
    "──": "dim",
    "┊": "dim",
    "why ": "dim",
    "next": "bold",
}
WIDEST = 100_000  # characters of a row
CLOCK = 9  # cells of a time of day before a line


class Lines(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows safe text. While it is `following`, the newest line stays in view; who scrolls up stays there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "line down", show=False),
        Binding("k,up", "scroll_up", "line up", show=False),
        Binding("g,home", "first", "beginning", show=False),
        Binding("G,end", "last", "end", show=False),
        Binding("pagedown", "page_down", "page down", show=False),
        Binding("pageup", "page_up", "page up", show=False),
    ]

    class Edge(Message):
        """One came to the top or to the bottom: there may be more beyond."""

        def __init__(self, lines: Lines, *, top: bool) -> None:
            super().__init__()
            self.lines, self.top = lines, top

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[str] = []
        self.rows: list[tuple[int, int, int]] = []  # of the screen: line, and from where to where of it
        self.following = False
        self.wanted = ""  # what is searched for, case folded
        self.current: int | None = None  # the line that the search stands at
        self.wrapped_for = 0
        self.coming: list[str] = []
        self.pending, self.painted_at = False, 0.0

    def on_unmount(self) -> None:
        """Let go of the text: widgets go when the collector comes by, which may be late."""
        self.lines, self.rows, self.coming = [], [], []

    # ─── text ─────────────────────────────────────────────────────────────────────────────────────

    def show(self, lines: Sequence[str], *, end: bool = False) -> None:
        """Other text, from its beginning, or from its end, which is followed then."""
        self.lines, self.current, self.following, self.coming = list(lines), None, end, []
        self._wrap()
        if end:
            self._to_end()
        else:
            self.scroll_to(y=0, animate=False, immediate=True, force=True)

    def change(self, lines: Sequence[str]) -> None:
        """The text changed: who reads it stays where they are."""
        self.coming = []
        known = len(self.lines)
        if known and len(lines) >= known and lines[0] == self.lines[0] and lines[known - 1] == self.lines[-1]:
            self.append(lines[known:])
        elif list(lines) != self.lines:
            self.lines, self.current = list(lines), None
            self._wrap()
            if self.following:
                self._to_end()

    def append(self, lines: Sequence[str]) -> None:
        """More lines at the end."""
        if not lines:
            return
        self.lines += lines
        if self.following and len(self.lines) > MOST + MOST // 10:
            self.lines = self.lines[-MOST:]
            self._wrap()
        else:
            self._add(range(len(self.lines) - len(lines), len(self.lines)))
        if self.following:
            self._to_end()

    def soon(self, lines: Sequence[str]) -> None:
        """More lines at the end, of many that come one after another: all rows move for each, so they are painted together."""
        self.coming += lines
        if self.coming and not self.pending:
            self.pending = True
            left = self.painted_at + EVERY - time.monotonic()
            self.set_timer(left, self._come) if left > 0 else self._come()

    def _come(self) -> None:
        coming, self.coming = self.coming, []
        self.pending, self.painted_at = False, time.monotonic()
        self.append(coming)

    def prepend(self, lines: Sequence[str]) -> None:
        """More lines before the first; what is read stays where it is."""
        below = len(self.rows) - self.scroll_offset.y
        self.lines = [*lines, *self.lines]
        self.current = None if self.current is None else self.current + len(lines)
        self._wrap()
        self.scroll_to(y=len(self.rows) - below, animate=False, immediate=True, force=True)

    def search(self, text: str) -> None:
        """Mark what holds this text, in any case."""
        self.wanted, self.current = text.casefold(), None
        self.refresh()

    def go_to(self, line: int) -> None:
        """Bring a line into view, a third from the top."""
        self.following, self.current = False, line
        row = next((index for index, (each, _, _) in enumerate(self.rows) if each >= line), 0)
        self.scroll_to(y=max(0, row - self.size.height // 3), animate=False, immediate=True, force=True)
        self.refresh()

    def follow(self) -> None:
        """Stay at the newest line."""
        self.following, self.current = True, None
        self._to_end()

    # ─── rows ─────────────────────────────────────────────────────────────────────────────────────

    def _wrap(self) -> None:
        self.wrapped_for, self.rows = self.scrollable_content_region.width, []
        self._add(range(len(self.lines)))

    def _add(self, numbers: Iterable[int]) -> None:
        wide = max(10, self.wrapped_for)
        for number in numbers:
            self.rows += [(number, begin, end) for begin, end in wrapped(self.lines[number], wide)]
        self.set_reactive(Lines.virtual_size, Size(self.wrapped_for, len(self.rows)))
        self._scroll_update(self.virtual_size)  # set as usual, the whole screen would be laid out anew for each line
        self.refresh()

    def _to_end(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True, force=True)

    def on_resize(self) -> None:
        """Another width wraps otherwise; the line at the top stays there."""
        if self.scrollable_content_region.width != self.wrapped_for:
            top = self.rows[self.scroll_offset.y][0] if self.scroll_offset.y < len(self.rows) else 0
            self._wrap()
            row = next((index for index, (line, _, _) in enumerate(self.rows) if line >= top), 0)
            self.scroll_to(y=row, animate=False, immediate=True, force=True)
        if self.following:
            self._to_end()

    def render_line(self, y: int) -> Strip:
        """A row of the screen."""
        place, width, base = self.scroll_offset.y + y, self.scrollable_content_region.width, self.rich_style
        if place >= len(self.rows):
            return Strip.blank(width, base)
        number = self.rows[place][0]
        line, dark = self.lines[number], self.app.current_theme.dark
        style = base + look(meaning(line), dark=dark)
        found = look("reverse" if number == self.current else "underline bold", dark=dark)
        strip = Strip(list(_marked(self._row(place), self.wanted, style, style + found)))
        if self.text_selection is not None and (span := self.text_selection.get_span(place)) is not None:
            first, last = span[0], strip.cell_length if span[1] == -1 else span[1]
            marked = self.screen.get_component_rich_style("screen--selection")
            pieces = list(strip.divide([first, last, strip.cell_length])) if last > first else [strip]
            strip = Strip.join([piece.apply_style(marked) if at == 1 else piece for at, piece in enumerate(pieces)])
        return strip.adjust_cell_length(width, base).apply_offsets(0, place)

    def _row(self, place: int) -> str:
        """The text of a row of the screen."""
        number, begin, end = self.rows[place]
        return " " * HANG * (begin > 0) + self.lines[number][begin:end]

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """What was marked with the mouse."""
        return selection.extract("\n".join(map(self._row, range(len(self.rows))))), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """It is shown marked."""
        self.refresh()

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def watch_scroll_y(self, old: float, new: float) -> None:
        """Scrolling up ends following; the edges may lead on."""
        super().watch_scroll_y(old, new)
        if new < old and new < self.max_scroll_y:
            self.following = False
        if new <= 0 < old:
            self.post_message(self.Edge(self, top=True))
        elif new >= self.max_scroll_y > old:
            self.post_message(self.Edge(self, top=False))

    def action_first(self) -> None:
        """g."""
        self.following = False
        self.scroll_to(y=0, animate=False, immediate=True)
        self.post_message(self.Edge(self, top=True))

    def action_last(self) -> None:
        """G."""
        self._to_end()
        self.post_message(self.Edge(self, top=False))

    def action_scroll_down(self) -> None:
        """j, down: at once."""
        self.scroll_to(y=self.scroll_target_y + 1, animate=False, immediate=True)

    def action_scroll_up(self) -> None:
        """k, up: at once."""
        self.scroll_to(y=self.scroll_target_y - 1, animate=False, immediate=True)

    def action_page_down(self) -> None:
        """A screenful down, less a line."""
        self.scroll_to(y=self.scroll_target_y + self.size.height - 1, animate=False, immediate=True)

    def action_page_up(self) -> None:
        """A screenful up, less a line."""
        self.scroll_to(y=self.scroll_target_y - self.size.height + 1, animate=False, immediate=True)


def meaning(line: str) -> str:
    """What a line means, by the sign that it begins with, behind its time if it has one."""
    text = line[CLOCK:] if line[2:3] == ":" and line[5:6] == ":" else line
    return next((what for sign, what in SIGNS.items() if text.startswith(sign)), "")


def _marked(text: str, wanted: str, style: Style, found: Style) -> Iterable[Segment]:
    """The text as segments, with what is wanted in a style of its own."""
    low = text.casefold()
    if not wanted or len(low) != len(text) or wanted not in low:
        yield Segment(plain(text, limit=WIDEST), style)
        return
    begin = 0
    while (at := low.find(wanted, begin)) >= 0:
        yield Segment(plain(text[begin:at], limit=WIDEST), style)
        yield Segment(plain(text[at : at + len(wanted)], limit=WIDEST), found)
        begin = at + len(wanted)
    yield Segment(plain(text[begin:], limit=WIDEST), style)
