"""What of a job's numbers is drawn: which curves, over what, how smooth, which stretch, and what stands at the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.text import plain
from core.types import SYSTEM
from tui.view import words
from tui.view.plot import Line, Series, nearest
from tui.view.tracks import Tracks, between

AXES = ("steps", "time", "epochs")
SMOOTH = (0.0, 0.6, 0.9, 0.97)
MARKS = ("●", "▲", "■", "◆", "×")
MOST = 4  # other jobs beside this one
TOGETHER = ("loss", "eval_loss")  # in one panel, as long as there is one job
FIRST = (*TOGETHER, "learning_rate", "grad_norm", "tokens_per_second")
CLOSEST = 4.0  # steps, or seconds, that are the shortest stretch


@dataclass
class Run:
    """A job whose numbers are drawn."""

    name: str
    tracks: Tracks
    epoch: float | None = None  # epochs of a step
    id: str = ""
    live: bool = False  # whether more numbers may come


@dataclass(frozen=True)
class Value:
    """What a curve tells: its newest number, or the one at the cursor."""

    name: str
    y: float | None
    mark: str
    what: str


@dataclass(frozen=True)
class Panel:
    """One chart: what stands above it, and its lines. A `loose` one has an x axis of its own, in seconds of the run."""

    title: str
    values: list[Value]
    lines: list[Line]
    loose: bool = False


@dataclass
class Look:
    """How the curves are looked at; windows and the cursor are in units of the axis."""

    axis: str = "steps"
    log: bool = False
    smooth: float = 0.0
    window: tuple[float, float] | None = None  # None: all of it
    cursor: float | None = None
    chosen: str = ""  # the name of a panel
    picked: bool = False  # whether a person chose it
    alone: bool = False  # whether only that one is shown
    others: list[Run] = field(default_factory=list)

    def names(self, tracks: Tracks) -> list[str]:
        """The panels that there are, the training's own first; the losses are one while no other job stands beside."""
        there = {name for run in (tracks, *(each.tracks for each in self.others)) for name in run.points}
        own = [name for name in FIRST if name in there]
        if not self.others and "loss" in own and "eval_loss" in own:
            own.remove("eval_loss")
        rest = sorted(there - set(FIRST), key=lambda name: (name.startswith(SYSTEM), "gpu" not in name, name))
        return [*own, *rest]

    def panel(self, name: str, run: Run) -> Panel:
        """The chart of a metric, of all jobs that are looked at."""
        runs = [run, *self.others]
        wanted = [(name, each, each.name) for each in runs]
        if not self.others:
            together = [each for each in TOGETHER if run.tracks.points.get(each)] if name in TOGETHER else [name]
            wanted = [(each, run, words.metric(each)) for each in together]
        lines, values = [list[Line](), list[Line]()], list[Value]()
        loose = False
        for index, (metric, each, label) in enumerate(wanted):
            series, own = self.series(metric, each)
            loose = loose or own
            mark = MARKS[index % len(MARKS)] if len(wanted) > 1 else ""
            drawn = smoothed(series, self.smooth)
            lines[1].append(Line(drawn, str(index), mark))
            if self.smooth:
                lines[0].append(Line(series, "raw"))
            values.append(Value(plain(label, limit=40), self._value(drawn, own), mark, str(index)))
        return Panel(words.metric(name) if self.others else "", values, [*lines[0], *lines[1]], loose)

    def _value(self, series: Series, loose: bool) -> float | None:
        at = None if self.cursor is None or loose else nearest(series, self.cursor)
        return at[1] if at is not None else series[-1][1] if series else None

    def series(self, name: str, run: Run) -> tuple[Series, bool]:
        """(x, y) of a metric over the axis; whether they are over seconds of the run because nothing better is known.

        The host's numbers come by the second: over steps they stand where the training was at that time.
        """
        points = run.tracks.of(name)
        began = run.tracks.began or 0.0
        if self.axis == "time":
            timed = [(at - began, value) for _, value, at in points if at]
            return (timed, False) if timed or not points else ([(x, y) for x, y, _ in points], True)
        scale = (run.epoch or 1.0) if self.axis == "epochs" else 1.0
        if not name.startswith(SYSTEM):
            return [(step * scale, value) for step, value, _ in points], False
        clock = run.tracks.clock()
        placed = [(step * scale, y) for _, y, at in points if at and (step := between(clock, at)) is not None]
        return (placed, False) if placed else ([(x, y) for x, y, _ in points], True)

    def span(self, run: Run) -> tuple[float, float]:
        """From where to where there is something to see, of all jobs."""
        xs = [
            x
            for each in (run, *self.others)
            for name, points in each.tracks.points.items()
            if points and not name.startswith(SYSTEM)
            for x, _ in self._ends(name, each)
        ]
        return (min(xs), max(xs)) if xs else (0.0, 0.0)

    def _ends(self, name: str, run: Run) -> Series:
        points = run.tracks.points[name]
        ends = Tracks({name: [points[0], points[-1]]})
        if self.axis == "time":
            began = run.tracks.began or 0.0
            return [(at - began, 0.0) for _, _, at in ends.points[name] if at]
        return self.series(name, Run("", ends, run.epoch))[0]

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def choose(self, step: int, names: Sequence[str]) -> None:
        """The next panel, or the one before."""
        if names:
            place = names.index(self.chosen) if self.chosen in names else 0
            self.chosen, self.picked = names[(place + step) % len(names)], True

    def settle(self, names: Sequence[str]) -> None:
        """The first panel until someone chose another: the host's curves are there before a training's own."""
        if self.chosen not in names or not (self.picked or self.alone):
            self.chosen = names[0] if names else ""

    def zoom(self, factor: float, run: Run) -> None:
        """Look closer (a factor below 1) or from farther away, around the cursor, or towards the newest."""
        left, right = self.span(run)
        low, high = self.window or (left, right)
        least = CLOSEST * ((run.epoch or 1.0) if self.axis == "epochs" else 1.0)
        wide = max(least, (high - low) * factor)
        if wide >= right - left:
            self.window = None
            return
        share = 1.0 if self.cursor is None else 0.5
        about = high if self.cursor is None else self.cursor
        self._place(about - wide * share, wide, (left, right))

    def pan(self, share: float, run: Run) -> None:
        """Look further along, by a share of what is seen."""
        if self.window is not None:
            wide = self.window[1] - self.window[0]
            self._place(self.window[0] + wide * share, wide, self.span(run))

    def _place(self, low: float, wide: float, span: tuple[float, float]) -> None:
        low = max(span[0], min(span[1] - wide, low))
        self.window = (low, low + wide)

    def move(self, step: int, run: Run, columns: int) -> None:
        """The cursor to the next point that is at least a column away; what is seen follows it."""
        points = self._pointed(run)
        if not points:
            return
        low, high = self.window or self.span(run)
        column = (high - low) / max(1, columns - 1)
        if self.cursor is None:
            inside = [x for x, _ in points if low <= x <= high]
            self.cursor = (inside or [points[-1][0]])[-1 if step < 0 else 0]
        else:
            aim = self.cursor + step * column
            xs = [x for x, _ in (points if step > 0 else reversed(points)) if (x - aim) * step >= -column / 1000]
            self.cursor = xs[0] if xs else points[-1 if step > 0 else 0][0]
        if self.window is not None and not low <= self.cursor <= high:
            self._place(self.cursor - (high - low) / 2, high - low, self.span(run))

    def _pointed(self, run: Run) -> Series:
        """The points that the cursor goes along: the chosen panel's, or of any when that has an axis of its own."""
        for name in (self.chosen, *self.names(run.tracks)):
            points, loose = self.series(name, run)
            if points and not loose:
                return points
        return []

    def over(self, axis: str, run: Run) -> None:
        """Another axis: what was looked at closely on the old one is of no use there."""
        self.axis, self.window, self.cursor = axis, None, None

    def axes(self, run: Run) -> list[str]:
        """The axes that what is known of the job allows."""
        known = {"steps": True, "time": bool(run.tracks.began), "epochs": run.epoch is not None}
        return [axis for axis in AXES if known[axis]]

    def steps(self, run: Run) -> tuple[float, float] | None:
        """The steps that are looked at; None when it is all of them, or when they are not known."""
        if self.window is None:
            return None
        if self.axis == "time":
            clock, began = run.tracks.clock(), run.tracks.began or 0.0
            ends = [between(clock, began + x) for x in self.window]
            low, high = (ends[0] if ends[0] is not None else 0.0), ends[1]
            return None if high is None else (low, high)
        scale = (run.epoch or 1.0) if self.axis == "epochs" else 1.0
        return self.window[0] / scale, self.window[1] / scale

    def told(self, x: float) -> str:
        """A place on the axis, for people."""
        if self.axis == "time":
            return words.duration(x)
        return f"{x:.2f}" if self.axis == "epochs" else f"{round(x):,}"


def smoothed(series: Series, share: float) -> Series:
    """The running mean: `share` of the one before and the rest of the new number, without leaning to its beginning at 0."""
    if not share:
        return series
    made, mean, weight = list[tuple[float, float]](), 0.0, 0.0
    for x, y in series:
        mean, weight = share * mean + (1 - share) * y, share * weight + (1 - share)
        made.append((x, mean / weight))
    return made
