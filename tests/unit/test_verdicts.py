"""Figures of an evaluation in words and digits that mislead nobody."""

from __future__ import annotations

from typing import Any

import pytest

from core.events import Statistic
from core.types import Verdict
from core.verdicts import MEANING, verdict
from tui.view import results, scores
from tui.view.results import shared, table


def statistic(delta: float | None, low: float | None, high: float | None, **fields: Any) -> Statistic:
    return Statistic(delta=delta, delta_low=low, delta_high=high, **fields)


@pytest.mark.parametrize(
    ("metric", "figure", "word"),
    [
        ("f1", statistic(0.2, 0.1, 0.3, p=0.01), Verdict.better),
        ("f1", statistic(-0.2, -0.3, -0.1, p=0.01), Verdict.worse),
        ("loss", statistic(-0.2, -0.3, -0.1, higher_is_better=False), Verdict.better),
        ("loss", statistic(0.2, 0.1, 0.3, higher_is_better=False), Verdict.worse),
        ("f1", statistic(0.2, -0.1, 0.5, p=0.01), Verdict.unclear),
        ("f1", statistic(0.2, 0.1, 0.3, p=0.06), Verdict.unclear),
        ("f1", statistic(0.2, 0.0, 0.3, p=0.01), Verdict.unclear),
        ("f1", statistic(0.2, None, None), Verdict.unclear),
        ("f1", statistic(0.0, 0.0, 0.0, p=1.0), Verdict.same),
        ("flesch_reading_ease", statistic(9.0, 8.0, 10.0), Verdict.more),
        ("new_tokens", statistic(-9.0, -10.0, -8.0), Verdict.less),
        ("f1", statistic(None, None, None), None),
    ],
)
def test_a_difference_counts_only_when_interval_and_test_say_so(
    metric: str, figure: Statistic, word: Verdict | None
) -> None:
    assert verdict(metric, figure) is word


def test_every_word_has_a_symbol_and_a_meaning() -> None:
    assert set(scores.VERDICTS) == {each.value for each in Verdict} == {each.value for each in MEANING}
    symbols = [symbol for symbol, _ in scores.VERDICTS.values()]
    assert len(set(symbols)) == len(symbols)


@pytest.mark.parametrize(
    ("metric", "score", "said"),
    [
        ("f1", {"delta": 0.164, "delta_low": -0.041, "delta_high": 0.288}, "+16.4 (−4.1 … +28.8)"),
        ("loss", {"delta": -0.055, "delta_low": -0.0939, "delta_high": 0.0}, "−0.055 (−0.094 … ±0.000)"),
        ("perplexity", {"delta": -4.9, "delta_low": -8.261, "delta_high": -1.0}, "−4.90 (−8.26 … −1.00)"),
        ("mine", {"delta": 12345.6, "delta_low": 12000.0, "delta_high": 13000.0}, "+12346 (+12000 … +13000)"),
        ("mine", {"delta": 0.5}, "+0.500"),
        ("f1", {"delta": 0.0, "delta_low": 0.0, "delta_high": 0.0}, "none"),
        ("f1", {}, ""),
    ],
)
def test_a_difference_is_told_with_its_interval_in_as_many_digits(metric: str, score: Any, said: str) -> None:
    assert scores.difference(metric, score) == said


def test_values_are_told_in_per_cent_where_they_are_shares() -> None:
    assert [scores.figure("exact_match", 0.4521), scores.figure("bleu", 31.46), scores.figure("loss", 0.5)] == [
        "45.2",
        "31.5",
        "0.500",
    ]
    assert (scores.figure("f1", None), scores.chance({"p": 0.0004}), scores.chance({"p": 0.05})) == (
        "",
        "<0.001",
        "0.050",
    )


def result(id: str, name: str, **score: float) -> dict[str, Any]:
    told = {"f1": {"value": 0.5, "verdict": None, **score}} if score else {}
    return {
        "id": id,
        "combination": name,
        "baseline": id == "1",
        "status": "succeeded" if told else "failed",
        "scores": told,
    }


def test_the_base_model_is_named_where_it_tells_combinations_apart() -> None:
    alike = [result("1", "smol", low=0.4), result("2", "smol + a", low=0.4)]
    assert scores.short_names(alike) == {"1": "smol (base)", "2": "a"}
    assert scores.short_names([*alike, result("3", "big + a")])["2"] == "smol + a"
    assert scores.short_names(alike[1:]) == {"2": "smol + a"}


def test_columns_that_do_not_fit_are_left_out_whole_and_names_give_way() -> None:
    many = [result("1", "x" * 200, low=0.4), result("2", "y")]
    narrow, lines = table(many, ["f1"], "f1", 79)
    assert len(narrow) == 4 and len(lines["1"][0][0]) <= 79 - 40
    assert len(table(many, ["f1"], "f1", 300)[0]) == 6
    assert lines["2"][3][0] == "✗ failed"


def test_what_all_prompts_begin_with_is_left_out_at_a_words_end() -> None:
    assert shared(["Support ticket: one", "Support ticket: two"]) == len("Support ticket: ")
    assert shared(["Support ticket: same", "Support ticket: same"]) == shared(["only one"]) == shared([]) == 0
    assert shared(["short a", "short b"]) == 0


def test_the_answers_of_one_that_is_chosen_stand_beside_the_baselines() -> None:
    told = [result("1", "a"), result("2", "b"), result("3", "c")]
    assert results.compared(told, None) == results.compared(told, "1") == ["1", "2"]
    assert results.compared(told, "3") == ["1", "3"] and results.compared([], None) == []
