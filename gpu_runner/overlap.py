"""How much of an answer is the expected text: exact match, F1, ROUGE, BLEU and chrF, a row at a time and over many rows.

BLEU and chrF of many rows are no means of the rows' own: they are reckoned from counts that are summed first. The counts
are sacrebleu's, and so are the formulas, here for many sums at once: a bootstrap takes thousands.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
ORDERS, CHARS, BETA = (
    4,
    6,
    2,
)  # sacrebleu's: n-grams of words in BLEU, of characters in chrF, and the weight of recall there
BLEU_PARTS, CHRF_PARTS = 2 * ORDERS + 2, 3 * CHARS
_COUNTED = re.compile(r"[a-z0-9]")  # by rouge_score: all else separates words, also the letters of other scripts
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact(answer: str, expected: str) -> bool:
    """Whether they are the same, whatever blanks are around them."""
    return answer.strip() == expected.strip()


def f1(answer: str, expected: str) -> float:
    """F1 of the words that both have, as SQuAD counts them: in lower case, without punctuation and articles."""
    said, wanted = _words(answer), _words(expected)
    if not said or not wanted:
        return float(said == wanted)
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def rouge(answer: str, expected: str) -> dict[str, float]:
    """F-measures by rouge_score, without stemming: in 0..1. None where nothing is expected that it counts: it knows a to z and digits only."""
    if not _COUNTED.search(expected.lower()):
        return {}
    found = _rouge().score(target=expected, prediction=answer)
    return {name: float(found[name].fmeasure) for name in ROUGE}


@lru_cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(ROUGE, use_stemmer=False)


@lru_cache
def _sacrebleu() -> tuple[Any, Any]:
    from sacrebleu.metrics import BLEU, CHRF

    return BLEU(effective_order=True, force=True), CHRF()


def sentence_bleu(answer: str, expected: str) -> tuple[float, list[float]]:
    """(the row's own BLEU in 0..100, of as many orders as the answer has; its counts for the BLEU of all rows)."""
    score = _sacrebleu()[0].sentence_score(answer, [expected])
    return float(score.score), [*score.counts, *score.totals, score.sys_len, score.ref_len]


def sentence_chrf(answer: str, expected: str) -> tuple[float, list[float]]:
    """(the row's own chrF in 0..100, its counts for the chrF of all rows)."""
    metric = _sacrebleu()[1]
    (counts,) = metric._extract_corpus_statistics([answer], [[expected]])
    return float(metric.sentence_score(answer, [expected]).score), list(counts)


def bleu(sums: Array) -> Array:
    """BLEU in 0..100 of summed counts (…, BLEU_PARTS): sacrebleu's default, exponential smoothing and all four orders."""
    counts, totals, said, wanted = sums[..., :ORDERS], sums[..., ORDERS : 2 * ORDERS], sums[..., -2], sums[..., -1]
    missed = (counts == 0) & (totals > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(counts > 0, counts, 0.5 ** np.cumsum(missed, axis=-1)) / totals
        precisions = np.where(totals > 0, precisions, 0)
        brevity = np.where(said < wanted, np.exp(1 - wanted / said), 1.0)
        scores = 100 * brevity * np.exp(np.log(precisions).mean(axis=-1))
    return np.where((counts.sum(axis=-1) > 0) & (said > 0), scores, 0.0)


def chrf(sums: Array) -> Array:
    """chrF in 0..100 of summed counts (…, CHRF_PARTS): sacrebleu's default, six orders, β 2, no words."""
    said, wanted, common = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    usable = (said > 0) & (wanted > 0)
    orders = np.maximum(1, usable.sum(axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(usable, common / said, 0).sum(axis=-1) / orders
        recall = np.where(usable, common / wanted, 0).sum(axis=-1) / orders
        scores = 100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
    return np.where(precision + recall > 0, scores, 0.0)
