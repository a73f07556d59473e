"""How sure a figure is: as known distributions and other reckonings say, and the same every time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gpu_runner import statistics as module
from gpu_runner.metrics import Measured, exponent, ratio
from gpu_runner.statistics import statistics

ROWS = 120


def shares(values: Any, **more: Any) -> Measured:
    """A metric that is the mean of the values; None is a row without."""
    there = np.array([each is not None for each in values])
    numbers = np.array([0.0 if each is None else float(each) for each in values])
    return Measured(np.stack([numbers, there], axis=1), there, ratio, **more)


def drawn(chance: float, seed: int, rows: int = ROWS) -> list[float]:
    return (np.random.default_rng(seed).random(rows) < chance).astype(float).tolist()


def test_the_interval_of_a_share_is_the_binomial_ones_that_a_bootstrap_comes_to() -> None:
    right = drawn(0.3, 1)
    found = statistics({"exact_match": shares(right)}, None, 420)["exact_match"]
    exact = stats.binom(ROWS, sum(right) / ROWS).ppf([0.025, 0.975]) / ROWS
    assert [found.low, found.high] == pytest.approx(exact.tolist(), abs=1.01 / ROWS)  # a row more or less by chance
    assert found.delta is found.delta_low is found.delta_high is found.p is None


def test_the_interval_of_a_difference_is_that_of_the_rows_differences() -> None:
    rng = np.random.default_rng(2)
    base, own = rng.random(ROWS), rng.random(ROWS) + 0.1
    found = statistics({"f1": shares(own)}, {"f1": shares(base)}, 420)["f1"]
    alone = statistics({"f1": shares(own - base)}, None, 420)["f1"]
    assert found.delta == pytest.approx((own - base).mean())
    assert (found.delta_low, found.delta_high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    reckoned = stats.bootstrap(((own - base),), np.mean, method="percentile", rng=np.random.default_rng(0))
    assert alone.low == pytest.approx(reckoned.confidence_interval.low, abs=0.01)
    assert alone.high == pytest.approx(reckoned.confidence_interval.high, abs=0.01)


def test_yes_or_no_is_tested_by_mcnemars_exact_test() -> None:
    own, base = drawn(0.7, 3), drawn(0.5, 4)
    better = sum(a > b for a, b in zip(own, base, strict=True))
    worse = sum(a < b for a, b in zip(own, base, strict=True))
    found = statistics({"m": shares(own, yes_or_no=True)}, {"m": shares(base)}, 1)["m"]
    assert found.p == pytest.approx(stats.binomtest(better, better + worse).pvalue)
    same = statistics({"m": shares(own, yes_or_no=True)}, {"m": shares(own)}, 1)["m"]
    assert (same.p, same.delta, same.delta_low, same.delta_high) == (1.0, 0.0, 0.0, 0.0)


@pytest.mark.timeout(60)
def test_mcnemars_test_of_many_rows_is_exact_and_takes_no_minutes() -> None:
    own, base = drawn(0.51, 8, 40_000), drawn(0.5, 9, 40_000)
    better = sum(a > b for a, b in zip(own, base, strict=True))
    differing = sum(a != b for a, b in zip(own, base, strict=True))
    parts = shares(own).parts, shares(base).parts
    found = module.mcnemar(module.Pair(shares(own), *parts))
    assert found == pytest.approx(stats.binomtest(better, differing).pvalue, rel=1e-9)


def test_other_figures_are_tested_by_permutations_that_come_to_what_all_of_them_do() -> None:
    rng = np.random.default_rng(5)
    own, base = rng.random(10) + 0.25, rng.random(10)
    found = statistics({"m": shares(own)}, {"m": shares(base)}, 1)["m"]
    seen = abs((own - base).mean())
    means = [abs((np.array(signs) * (own - base)).mean()) for signs in itertools.product((1, -1), repeat=10)]
    assert found.p == pytest.approx(sum(each >= seen - 1e-12 for each in means) / len(means), abs=0.015)


def test_a_perplexity_is_permuted_as_a_whole_not_by_its_rows() -> None:
    tokens, losses = np.array([2.0, 5.0, 1.0, 9.0, 4.0]), np.array([1.0, 0.5, 2.0, 0.2, 0.7])
    own, base = np.stack([losses * tokens, tokens], 1), np.stack([(losses + 0.3) * tokens, tokens], 1)
    there = np.ones(5, bool)
    found = statistics({"p": Measured(own, there, exponent, False)}, {"p": Measured(base, there, exponent)}, 1)["p"]
    mean = float((losses * tokens).sum() / tokens.sum())
    assert found.delta == pytest.approx(np.exp(mean) - np.exp(mean + 0.3)) and found.higher_is_better is False
    assert found.delta_low is not None and found.delta_high is not None
    assert found.delta_low <= found.delta <= found.delta_high < 0
    assert found.p == pytest.approx(2 / 32, abs=0.01)  # all rows are better: only that and its mirror are as far off


def test_rows_that_lack_the_score_on_either_side_are_not_compared() -> None:
    own, base = [1.0, 0.0, None, 1.0], [0.0, None, 1.0, 1.0]
    found = statistics({"m": shares(own)}, {"m": shares(base)}, 1)["m"]
    assert found.delta == pytest.approx(0.5)  # rows 1 and 4
    nothing = statistics({"m": shares([1.0, None])}, {"m": shares([None, 1.0])}, 1)["m"]
    assert nothing.delta is None and nothing.p is None and nothing.low == nothing.high == 1.0
    assert statistics({"m": shares([1.0, None])}, {"m": shares([1.0])}, 1)["m"].delta is None


def test_the_same_seed_gives_the_same_and_few_rows_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own, base = {"m": shares(drawn(0.6, 6))}, {"m": shares(drawn(0.5, 7))}
    first = statistics(own, base, 420)
    assert statistics(own, base, 420) == first != statistics(own, base, 421)
    monkeypatch.setattr(module, "AT_ONCE", 100 * ROWS)
    few = statistics(own, base, 420)
    assert few["m"].low == pytest.approx(first["m"].low) and few["m"].p == pytest.approx(first["m"].p)


def test_an_order_is_looked_for_between_draws_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1_000 * ROWS)
    looks = []
    statistics({"m": shares(drawn(0.6, 6))}, {"m": shares(drawn(0.5, 7))}, 420, lambda: looks.append(1))
    assert len(looks) == 2 * 10  # of 10,000 draws for the interval, and as many for the test


def test_many_rows_are_drawn_less_often_and_one_row_is_no_error() -> None:
    assert (module._times(1), module._times(5_000), module._times(10**6)) == (10_000, 2_000, 1_000)
    assert sum(module._chunks(50_000)) == 1_000 and max(module._chunks(50_000)) * 50_000 <= module.AT_ONCE
    alone = statistics({"m": shares([0.5])}, None, 1)["m"]
    assert alone.low == alone.high == 0.5
