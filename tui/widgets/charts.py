"""A job's curves: as many side by side as there is room for, looked at closely with keys or the mouse."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from core.text import plain
from tui.theme import look
from tui.view import words
from tui.view.chart import MARKS, SMOOTH, Look, Panel, Run
from tui.view.fit import cut
from tui.view.plot import MARGIN, Piece, plot
from tui.view.tracks import Tracks

EVERY = 0.5  # seconds between redraws of what comes by itself
NARROWEST, LOWEST = 40, 7  # cells of a chart
MEANINGS = {
    "0": "bar",
    "1": "second",
    "2": "right",
    "3": "wait",
    "4": "bold",
    "": "dim",
    "raw": "dim",
    "cursor": "bold",
}
SHORTEST = 6  # cells of a name that tell anything
FINER = 0.2  # seconds after which a stretch that is still looked at is asked for


class Charts(Widget):
    """Draws the curves of a job (and of others beside it) in panels. A click chooses one and reads it there, the wheel zooms."""

    class Closer(Message):
        """A stretch of steps is looked at closely: there may be more to see of it."""

        def __init__(self, first: float, last: float) -> None:
            super().__init__()
            self.first, self.last = first, last

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.look = Look()
        self.run = Run("this job", Tracks())
        self.end = 0.0  # the newest x that was drawn
        self.pending = self.asking = False
        self.strips: list[Strip] = []
        self.places: list[tuple[str, int, int, int, int]] = []  # panel, left, top, width, height

    # ─── what is drawn ────────────────────────────────────────────────────────────────────────────

    def show(self, run: Run) -> None:
        """Draw these numbers at once."""
        self.run = run
        self.redraw()

    def soon(self, run: Run) -> None:
        """The numbers changed: draw them before long."""
        self.run = run
        if not self.pending:
            self.pending = True
            self.set_timer(EVERY, self.redraw)

    def redraw(self) -> None:
        """Draw anew, when it comes to it."""
        self.pending = False
        self.strips = []
        window, end = self.look.window, self.look.span(self.run)[1]
        if window is not None and window[1] >= self.end and end > self.end:  # who looks at the newest goes on with it
            self.look.window = (window[0] + end - self.end, end)
        self.end = end
        self.refresh()

    def on_resize(self) -> None:
        """Other room for other panels."""
        self.redraw()

    def on_mount(self) -> None:
        """Another theme paints other colours."""
        self.app.theme_changed_signal.subscribe(self, lambda theme: self.redraw())

    def on_unmount(self) -> None:
        """Textual's signals keep what subscribed for good: its callback holds it."""
        self.app.theme_changed_signal.unsubscribe(self)

    def render_line(self, y: int) -> Strip:
        """A line of the charts; all are made when the first is asked for."""
        if not self.strips:
            self.strips = self._strips()
        return self.strips[y] if y < len(self.strips) else Strip.blank(self.size.width)

    def _strips(self) -> list[Strip]:
        width, height = self.size
        names = self.look.names(self.run.tracks)
        self.look.settle(names)
        across, down = grid(width, height, 1 if self.look.alone else len(names))
        page = names.index(self.look.chosen) // (across * down) * across * down if names else 0
        shown = [self.look.chosen] if self.look.alone else names[page : page + across * down]
        self.places = _places(shown, width, height, across, down)
        dark, base = self.app.current_theme.dark, self.rich_style
        lines: list[list[Segment]] = [[] for _ in range(height)]
        for name, _, top, wide, high in self.places:
            note = self._note(names) if name == self.look.chosen else ""
            for row, pieces in enumerate(self._panel(name, wide - 1, high, note, len(shown) > 1)):
                used = sum(cell_len(text) for text, _ in pieces)
                lines[top + row] += [
                    Segment(plain(text), base + look(MEANINGS.get(what, what), dark=dark)) for text, what in pieces
                ]
                lines[top + row].append(Segment(" " * max(0, wide - used), base))
        return [Strip(line).adjust_cell_length(width, base) for line in lines]

    def _panel(self, name: str, width: int, height: int, note: str, marked: bool) -> list[list[Piece]]:
        look = self.look
        panel = look.panel(name, self.run) if name else Panel("", [], [])
        loose = panel.loose
        chart = plot(
            panel.lines,
            width,
            height - 1,
            log=look.log,
            window=None if loose else look.window,
            cursor=None if loose else look.cursor,
            note=note,
            unit="seconds" if loose else look.axis * (look.axis != "time"),
            told="{:g}".format if loose else look.told,
        )
        marked_by = ("▸ " if name == look.chosen else "  ") if marked else ""
        return [_title(panel, width, marked_by), *chart]

    def _note(self, names: Sequence[str]) -> str:
        """How the curves are drawn, where it is not as it is at first."""
        look = self.look
        left, right = look.span(self.run)
        closer = (right - left) / max(1e-9, look.window[1] - look.window[0]) if look.window else 1
        told = [
            f"at {look.told(look.cursor)}" if look.cursor is not None else "",
            f"×{closer:.0f}" if look.window else "",
            "log" if look.log else "",
            f"~{look.smooth:g}" if look.smooth else "",
        ]
        more = len(names) > len(self.places)
        return "  ".join(filter(None, told)) or (
            f"curve {names.index(look.chosen) + 1}/{len(names)}  m next" if more else ""
        )

    def legend(self) -> list[tuple[str, object, str]]:
        """Which mark is whose, while other jobs stand beside, as facts (widgets/facts.py)."""
        names = [self.run.name, *(run.name for run in self.look.others)] if self.look.others else []
        return [("" if at else "curves", f"{MARKS[at]} {name}", MEANINGS[str(at)]) for at, name in enumerate(names)]

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def choose(self, step: int) -> None:
        """The next chart, or the one before."""
        self.look.choose(step, self.look.names(self.run.tracks))
        self.redraw()

    def zoom(self, factor: float) -> None:
        """Closer (below 1), or farther away; 0 shows all."""
        if factor:
            self.look.zoom(factor, self.run)
        else:
            self.look.window = None
        self._looked()

    def pan(self, share: float) -> None:
        """Further along, by a share of what is seen."""
        self.look.pan(share, self.run)
        self._looked()

    def move(self, step: int) -> None:
        """The cursor, a column or a point further."""
        wide = next((wide for name, _, _, wide, _ in self.places if name == self.look.chosen), self.size.width)
        before = self.look.window
        for _ in range(abs(step)):
            self.look.move(1 if step > 0 else -1, self.run, wide - 1 - MARGIN)
        if self.look.window != before:
            self._looked()
        self.redraw()

    def away(self) -> bool:
        """Take the cursor away; whether there was one."""
        there, self.look.cursor = self.look.cursor is not None, None
        self.redraw()
        return there

    def log_axis(self) -> None:
        """A logarithmic y axis, or a linear one again."""
        self.look.log = not self.look.log
        self.redraw()

    def smooth(self) -> None:
        """Smoother, and after the smoothest as it is."""
        self.look.smooth = SMOOTH[(SMOOTH.index(self.look.smooth) + 1) % len(SMOOTH)]
        self.redraw()

    def next_axis(self) -> None:
        """Over steps, time or epochs, as far as they are known."""
        axes = self.look.axes(self.run)
        here = axes.index(self.look.axis) if self.look.axis in axes else -1
        self.look.over(axes[(here + 1) % len(axes)], self.run)
        self.redraw()

    def alone(self) -> None:
        """The chosen chart alone, or all of them again."""
        self.look.alone = not self.look.alone
        self.redraw()

    def beside(self, others: list[Run]) -> None:
        """The curves of these jobs beside this one's."""
        self.look.others = others
        self.redraw()

    def _looked(self) -> None:
        self.redraw()
        if self.look.window is not None and self.run.tracks.coarse and not self.asking:
            self.asking = True
            self.set_timer(FINER, self._ask)

    def _ask(self) -> None:
        self.asking = False
        if (steps := self.look.steps(self.run)) is not None:
            self.post_message(self.Closer(*steps))

    # ─── mouse ────────────────────────────────────────────────────────────────────────────────────

    def on_click(self, event: events.Click) -> None:
        """Choose the chart and read it there; twice: it alone."""
        for name, left, top, wide, high in self.places:
            if left <= event.x < left + wide and top <= event.y < top + high:
                self.look.chosen, self.look.picked = name, True
                low, up = self.look.window or self.look.span(self.run)
                share = (event.x - left - MARGIN) / max(1, wide - 2 - MARGIN)
                if 0 <= share <= 1 and up > low:
                    self.look.cursor = low + share * (up - low)
        if event.chain == 2:
            self.look.alone = not self.look.alone
        self.redraw()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Closer."""
        event.stop()
        self.zoom(0.5)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Farther away."""
        event.stop()
        self.zoom(2)


def grid(width: int, height: int, count: int) -> tuple[int, int]:
    """(charts side by side, charts one above the other) for `count` of them in the room that there is."""
    across, down = max(1, width // NARROWEST), max(1, height // LOWEST)
    while across > 1 and (across - 1) * min(down, -(-count // (across - 1))) >= min(count, across * down):
        across -= 1
    return across, max(1, min(down, -(-count // across)))


def _places(
    names: Sequence[str], width: int, height: int, across: int, down: int
) -> list[tuple[str, int, int, int, int]]:
    """(panel, left, top, width, height) of each: all the room is given away."""
    lefts = [width * column // across for column in range(across + 1)]
    tops = [height * row // down for row in range(down + 1)]
    made = []
    for index, name in enumerate(names or [""]):
        row, column = divmod(index, across)
        made.append((name, lefts[column], tops[row], lefts[column + 1] - lefts[column], tops[row + 1] - tops[row]))
    return made


def shares(names: Sequence[str], room: int) -> list[str]:
    """The names in so much room, a fair share of it each; of one that is too long the end stays, by which they differ."""
    given: dict[int, str] = {}
    for left, at in enumerate(sorted(range(len(names)), key=lambda index: cell_len(names[index]))):
        share = max(1, room // (len(names) - left))
        name = names[at]
        given[at] = name if cell_len(name) <= share else f"…{set_cell_size(name[::-1], share - 1)[::-1]}"
        room -= cell_len(given[at])
    return [given[at] for at in range(len(names))]


def _title(panel: Panel, width: int, before: str) -> list[Piece]:
    """What is drawn, with its numbers; where all names have no room each gets a share of it, since a mark tells nothing alone."""
    pieces: list[Piece] = [(text, "bold") for text in (before, f"{panel.title}  " if panel.title else "") if text]
    told = [(f"{value.mark} " if value.mark else "", f" {words.number(value.y) or '–'}") for value in panel.values]
    gaps = 2 * max(0, len(told) - 1)
    room = width - gaps - sum(cell_len(text) for text, _ in pieces) - sum(cell_len(a + b) for a, b in told)
    names = shares([value.name for value in panel.values], room)
    if panel.title and room < SHORTEST * len(names):  # a legend tells them beside the charts
        names = [""] * len(names)
    for at, (value, (mark, number)) in enumerate(zip(panel.values, told, strict=True)):
        pieces += [(f"{'  ' if at else ''}{mark}{names[at]}".rstrip(), value.what), (number, "bold")]
    kept: list[Piece] = []
    for text, what in pieces:
        left = width - sum(cell_len(each) for each, _ in kept)
        if left > 0:
            kept.append((cut(text, left), what))
    return kept
