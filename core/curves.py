"""Curves of many points drawn with few: what sticks out of a stretch stays, and where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

P = TypeVar("P", bound=tuple[float, ...])  # (x, y, and what else is known of the point)


def thinned(points: Sequence[P], most: int) -> list[P]:
    """At most `most` (2 or more) of the points, which are in order of x: the first and last, and of each stretch of x in
    between its lowest and its highest. A spike of one point stays, also when what was thinned is thinned again.
    """
    if len(points) <= most:
        return list(points)
    first, last = points[0], points[-1]
    wide, buckets = (last[0] - first[0]) or 1, stretches(most)
    ends: dict[int, tuple[P, P]] = {}
    for point in points[1:-1]:
        bucket = min(buckets - 1, int((point[0] - first[0]) / wide * buckets))
        low, high = ends.get(bucket, (point, point))
        ends[bucket] = (point if point[1] < low[1] else low, point if point[1] > high[1] else high)
    kept = [first]
    for low, high in ends.values():
        kept += [low] if low is high else [low, high] if low[0] < high[0] else [high, low]
    return [*kept[: most - 1], last]


def stretches(most: int) -> int:
    """How many stretches of a curve are told by `most` points, two for each and one at both ends."""
    return max(1, (most - 2) // 2)
