"""How sure a figure is, and whether it differs from the baseline's: a bootstrap over the rows, and a paired test.

Deterministic by the seed: all combinations of a batch are drawn the same rows, so that differences are those of the same
rows. Both draw as often as ten million rows allow, 1,000 times at least and 10,000 at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from core.events import Statistic
from gpu_runner.metrics import Measured
from gpu_runner.overlap import Array

LEAST, MOST, ROWS = 1_000, 10_000, 10_000_000
AT_ONCE = 4_000_000  # drawn rows that are held in memory
LEVELS = (2.5, 97.5)  # percentiles


@dataclass(frozen=True)
class Pair:
    """A metric, and on the rows that the baseline has too (parts that are zero elsewhere) this one and the baseline's."""

    own: Measured
    common: Array | None = None
    baseline: Array | None = None

    @property
    def delta(self) -> float | None:
        """By how much the figure is above the baseline's."""
        if self.common is None or self.baseline is None:
            return None
        return float(self.own.figure(self.common.sum(axis=0)) - self.own.figure(self.baseline.sum(axis=0)))


def statistics(
    own: Mapping[str, Measured],
    baseline: Mapping[str, Measured] | None,
    seed: int,
    look: Callable[[], None] = lambda: None,
) -> dict[str, Statistic]:
    """Of every metric its interval, and when there is a `baseline` on the same rows the difference from it.

    `look` is called now and then, and may raise to stop: of 100,000 rows it takes a minute.
    """
    pairs = {name: _pair(each, (baseline or {}).get(name)) for name, each in own.items()}
    if not pairs:
        return {}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        figures, deltas = _bootstrap(pairs, seed, look)
        chances = _permutations(pairs, seed, look)
        return {
            name: Statistic(
                **_interval(figures[name], "low", "high"),
                delta=_finite(pair.delta),
                **_interval(deltas.get(name), "delta_low", "delta_high"),
                p=mcnemar(pair) if pair.own.yes_or_no else chances.get(name),
                higher_is_better=pair.own.higher_is_better,
            )
            for name, pair in pairs.items()
        }


def _pair(own: Measured, baseline: Measured | None) -> Pair:
    if baseline is None or len(baseline.parts) != len(own.parts):
        return Pair(own)
    both = own.there & baseline.there
    if not both.any():
        return Pair(own)
    return Pair(own, own.parts * both[:, None], baseline.parts * both[:, None])


def mcnemar(pair: Pair) -> float | None:
    """The exact two-sided p of McNemar's test: how often of the rows where they differ one is right by chance alone."""
    if pair.common is None or pair.baseline is None:
        return None
    better = int((pair.common[:, 0] > pair.baseline[:, 0]).sum())
    worse = int((pair.common[:, 0] < pair.baseline[:, 0]).sum())
    differing = better + worse
    ways = tail = 1  # in which so many of the rows, and in which at most so many, go to the one that has fewer
    for count in range(min(better, worse)):  # each from the one before: reckoned anew, many rows took minutes
        ways = ways * (differing - count) // (count + 1)
        tail += ways
    return min(1.0, float(2 * tail / 2**differing))


def _times(rows: int) -> int:
    return max(LEAST, min(MOST, ROWS // max(1, rows)))


def _chunks(rows: int) -> Iterator[int]:
    left, size = _times(rows), max(1, AT_ONCE // max(1, rows))
    while left > 0:
        yield min(size, left)
        left -= size


def _bootstrap(
    pairs: Mapping[str, Pair], seed: int, look: Callable[[], None]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Each figure, and each difference, of as many selections of rows."""
    rng, rows = np.random.default_rng(seed), len(next(iter(pairs.values())).own.parts)
    figures: dict[str, list[Array]] = {name: [] for name in pairs}
    deltas: dict[str, list[Array]] = {name: [] for name, pair in pairs.items() if pair.common is not None}
    for size in _chunks(rows):
        look()
        drawn = rng.multinomial(rows, np.full(rows, 1 / rows), size=size).astype(float)
        for name, pair in pairs.items():
            figures[name].append(pair.own.figure(drawn @ pair.own.parts))
            if pair.common is not None and pair.baseline is not None:
                there = pair.own.figure(drawn @ pair.baseline)
                deltas[name].append(pair.own.figure(drawn @ pair.common) - there)
    return (
        {name: np.concatenate(each) for name, each in figures.items()},
        {name: np.concatenate(each) for name, each in deltas.items()},
    )


def _permutations(pairs: Mapping[str, Pair], seed: int, look: Callable[[], None]) -> dict[str, float]:
    """Two-sided p: how often a difference is as large when it is chance which of the two a row's answer is whose."""
    rng, rows = np.random.default_rng(seed), len(next(iter(pairs.values())).own.parts)
    seen = {name: pair.delta for name, pair in pairs.items()}
    beyond = {name: 0 for name, delta in seen.items() if _finite(delta) is not None}
    for size in _chunks(rows):
        look()
        swapped = rng.integers(0, 2, size=(size, rows)).astype(float)
        for name in beyond:
            pair, delta = pairs[name], seen[name] or 0.0
            assert pair.common is not None and pair.baseline is not None
            shift = swapped @ (pair.baseline - pair.common)
            one, other = pair.common.sum(axis=0) + shift, pair.baseline.sum(axis=0) - shift
            found = np.abs(pair.own.figure(one) - pair.own.figure(other))
            beyond[name] += int((found >= abs(delta) - 1e-9).sum())
    return {name: (1 + count) / (1 + _times(rows)) for name, count in beyond.items()}


def _interval(values: Array | None, low: str, high: str) -> dict[str, float | None]:
    usable = values[np.isfinite(values)] if values is not None else np.array([])
    if not len(usable):
        return {low: None, high: None}
    return dict(zip((low, high), map(float, np.percentile(usable, LEVELS)), strict=True))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
