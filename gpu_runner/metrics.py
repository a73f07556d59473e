"""The figures of an evaluation: scores of each row, and what they come to over any selection of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_runner import overlap
from gpu_runner.overlap import Array

Line = Mapping[str, Any]  # of a file of answers
Figure = Callable[[Array], Array]

LOWER_IS_BETTER = {"loss", "perplexity", "toxicity", "flesch_kincaid_grade"}
YES_OR_NO = {"exact_match", "stopped_by_eos"}
OF_TOKENS = ("loss", "perplexity")  # a token of one model may be two of another's
DESCRIBING = ("new_tokens", "latency")  # means that are told without a test: none of them is better


@dataclass(frozen=True)
class Measured:
    """A metric of one combination. `parts` (rows, k) add up to what `figure` (…, k) -> (…) is reckoned from.

    A row that has no such score has zeros for parts, and False in `there` (rows,).
    """

    parts: Array
    there: Any
    figure: Figure
    higher_is_better: bool = True
    yes_or_no: bool = False

    @property
    def value(self) -> float:
        """The figure of all rows."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return float(self.figure(self.parts.sum(axis=0)))


def ratio(sums: Array) -> Array:
    """What is counted over how many."""
    quotient: Array = sums[..., 0] / sums[..., 1]
    return quotient


def exponent(sums: Array) -> Array:
    """e to the ratio."""
    power: Array = np.exp(ratio(sums))
    return power


def row_scores(answer: str, expected: str) -> dict[str, float]:
    """What a row's texts alone come to: F1 and ROUGE in 0..1, BLEU and chrF of the row in 0..100, exact_match 0 or 1."""
    return {
        "exact_match": float(overlap.exact(answer, expected)),
        "f1": overlap.f1(answer, expected),
        **overlap.rouge(answer, expected),
        "bleu": overlap.sentence_bleu(answer, expected)[0],
        "chrf": overlap.sentence_chrf(answer, expected)[0],
    }


def measure(lines: Sequence[Line], lower_is_better: frozenset[str] = frozenset()) -> dict[str, Measured]:
    """The metrics of a combination, by name, from its lines of answers; `lower_is_better` names those of users' own that are."""
    names = list(dict.fromkeys(name for line in lines for name in line.get("scores", {})))
    lower = LOWER_IS_BETTER | lower_is_better
    scores = [line.get("scores", {}) for line in lines]
    made = {name: _mean(scores, name, name not in lower) for name in names if name not in ("bleu", "chrf", "loss")}
    made["stopped_by_eos"] = _mean(lines, "stopped_by_eos")
    if "bleu" in names:
        counts = [overlap.sentence_bleu(line["answer"], line["expected"])[1] for line in lines]
        made["bleu"] = Measured(np.array(counts, dtype=float), np.ones(len(lines), bool), overlap.bleu)
    if "chrf" in names:
        counts = [overlap.sentence_chrf(line["answer"], line["expected"])[1] for line in lines]
        made["chrf"] = Measured(np.array(counts, dtype=float), np.ones(len(lines), bool), overlap.chrf)
    if "loss" in names:
        tokens = np.array([line.get("expected_tokens") or 0 for line in lines], dtype=float)
        losses = np.array([line["scores"].get("loss") or 0.0 for line in lines])
        parts = np.stack([losses * tokens, tokens], axis=1)
        made["loss"] = Measured(parts, tokens > 0, ratio, higher_is_better=False)
        made["perplexity"] = Measured(parts, tokens > 0, exponent, higher_is_better=False)
    return {name: each for name, each in made.items() if each.there.any()}


def same_tokens(one: Mapping[str, Measured], other: Mapping[str, Measured]) -> bool:
    """Whether the expected texts of all rows have as many tokens in both: only then losses of two base models can be compared."""
    if "loss" not in one or "loss" not in other:
        return True
    return np.array_equal(one["loss"].parts[:, 1], other["loss"].parts[:, 1])


def _mean(scores: Sequence[Line], name: str, higher_is_better: bool = True) -> Measured:
    given = [each.get(name) for each in scores]
    there = np.array([each is not None for each in given])
    values = np.array([float(each) if each is not None else 0.0 for each in given])
    return Measured(np.stack([values, there], axis=1), there, ratio, higher_is_better, name in YES_OR_NO)


def described(lines: Sequence[Line], seconds: float) -> dict[str, float]:
    """What the answers took: new tokens and seconds (latency) of a row on average, seconds of all, tokens a second."""
    count, tokens = max(1, len(lines)), sum(line["new_tokens"] for line in lines)
    return {
        "new_tokens": tokens / count,
        "latency": round(sum(line["seconds"] for line in lines) / count, 4),
        "seconds": round(seconds, 2),
        "tokens_per_second": round(tokens / max(1e-9, seconds), 2),
    }
