"""What a difference from the baseline is worth, in a word that needs no statistics."""

from __future__ import annotations

from core.events import Statistic
from core.types import Verdict

LEVEL = 0.05  # of chance, below which a difference counts
# Of these neither more nor less is better: they describe answers.
NEUTRAL = frozenset(
    {"new_tokens", "latency", "seconds", "tokens_per_second", "flesch_reading_ease", "flesch_kincaid_grade"}
)
MEANING = {
    Verdict.better: "the difference is larger than chance explains, and to the good",
    Verdict.worse: "the difference is larger than chance explains, and to the bad",
    Verdict.more: "the difference is larger than chance explains; neither is better",
    Verdict.less: "the difference is larger than chance explains; neither is better",
    Verdict.same: "there is no difference at all on these rows",
    Verdict.unclear: "the difference may well be chance: more rows could tell",
}


def verdict(name: str, figure: Statistic) -> Verdict | None:
    """What can be said of a metric's difference from the baseline; None where there is nothing to compare.

    A difference counts when zero lies outside its 95 % interval and, where there is a test, chance alone would make one as
    large less than once in twenty times: both, so that the word is on the safe side.
    """
    low, high, delta = figure.delta_low, figure.delta_high, figure.delta
    if delta is None:
        return None
    if low is None or high is None:
        return Verdict.unclear
    if low == high == delta == 0:
        return Verdict.same
    if low <= 0 <= high or (figure.p is not None and figure.p > LEVEL):
        return Verdict.unclear
    if name in NEUTRAL:
        return Verdict.more if delta > 0 else Verdict.less
    return Verdict.better if (delta > 0) == figure.higher_is_better else Verdict.worse
