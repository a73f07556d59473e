"""A job's numbers as they are kept to be drawn: few points, and what sticks out of the many."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.curves import thinned
from core.types import SYSTEM

POINTS = 600  # of a series; up to twice as many until it is thinned
Point = tuple[float, float, float]  # step, value, unix seconds (0 where they are not known)


@dataclass
class Tracks:
    """Series by name. Of the `coarse` ones points were left out; `fine` are all points of the stretch `fine_of`."""

    points: dict[str, list[Point]] = field(default_factory=dict)
    coarse: set[str] = field(default_factory=set)
    fine: dict[str, list[Point]] = field(default_factory=dict)
    fine_of: tuple[float, float] | None = None
    epoch: float | None = None  # epochs of a step, as far as records told it

    def replace(self, series: Iterable[Mapping[str, Any]]) -> None:
        """All anew (core.messages.jobs.MetricSeries as plain data)."""
        told = list(series)
        self.points = {each["name"]: _points(each) for each in told}
        self.coarse = {each["name"] for each in told if each["total"] > len(each["steps"])}
        self.fine, self.fine_of = {}, None

    def refine(self, series: Iterable[Mapping[str, Any]], first: float, last: float) -> None:
        """What is known of the steps from `first` to `last` by now."""
        self.fine, self.fine_of = {each["name"]: _points(each) for each in series}, (first, last)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in the numbers of a step; of a step that comes again the new ones stay."""
        step, at = float(record["step"]), float(record.get("at") or 0)
        if record.get("epoch") and step > 0:
            self.epoch = record["epoch"] / step
        for name, value in record["values"].items():
            points = self.points.setdefault(name, [])
            while points and points[-1][0] >= step:
                points.pop()
            points.append((step, value, at))
            if len(points) > 2 * POINTS:
                points[:] = thinned(points, POINTS)
                self.coarse.add(name)

    def cut(self, step: float) -> None:
        """Forget what came after a step: it comes again. What the host was asked for by the second stays."""
        self.fine, self.fine_of = {}, None
        for name, points in self.points.items():
            if not name.startswith(SYSTEM):
                points[:] = [point for point in points if point[0] <= step]

    def of(self, name: str) -> Sequence[Point]:
        """A series as finely as it is known."""
        points, fine = self.points.get(name, []), self.fine.get(name)
        if not fine or self.fine_of is None:
            return points
        first, last = bisect_left(points, (fine[0][0],)), bisect_left(points, (fine[-1][0] + 0.5,))
        return [*points[:first], *fine, *points[last:]]

    @property
    def began(self) -> float | None:
        """When the first number came, in unix seconds."""
        return min((points[0][2] for points in self.points.values() if points and points[0][2]), default=None)

    def clock(self) -> Sequence[tuple[float, float]]:
        """(unix seconds, step) of the series that tells most of both, in order; empty where times are not known."""
        longest = max(
            (points for name, points in self.points.items() if not name.startswith(SYSTEM)), key=len, default=[]
        )
        return [(at, step) for step, _, at in longest] if longest and longest[0][2] else []


def _points(series: Mapping[str, Any]) -> list[Point]:
    times = series.get("times") or [0.0] * len(series["steps"])
    return [(float(step), value, at) for step, value, at in zip(series["steps"], series["values"], times, strict=True)]


def between(pairs: Sequence[tuple[float, float]], x: float) -> float | None:
    """What stands beside `x` in pairs in order of x, in between by a straight line; None outside of them."""
    place = bisect_left(pairs, (x,))
    if place == len(pairs) or (place == 0 and pairs[0][0] > x):
        return None
    right, high = pairs[place]
    if place == 0 or right == x:
        return high
    left, low = pairs[place - 1]
    return low + (high - low) * ((x - left) / (right - left) if right > left else 1.0)
