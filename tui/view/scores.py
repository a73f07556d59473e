"""Figures of an evaluation as people read them: per cents, differences with how sure they are, and a word for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.text import plain

Row = Mapping[str, Any]

SHARES = frozenset(
    {"exact_match", "f1", "rouge1", "rouge2", "rougeL", "rougeLsum", "stopped_by_eos"}
)  # told in per cent
UNITS = {"bleu": "of 100", "chrf": "of 100", "new_tokens": "a row", "latency": "seconds a row", "seconds": "in all"}
# Word -> (symbol, meaning of its colour): the word stands beside, so nothing is told by colour alone.
VERDICTS: dict[str, tuple[str, str]] = {
    "better": ("▲", "good"),
    "worse": ("▼", "bad"),
    "more": ("△", ""),
    "less": ("▽", ""),
    "same": ("=", "dim"),
    "can't tell": ("?", "wait"),
}
FEW = "too few rows"
WORDS = "better, worse: more than chance explains. can't tell: it may be chance; more rows would tell. too few rows: so clear a difference comes by chance too on so few."
LEGEND = (
    "The difference is that from the baseline on the same rows, in brackets where it lies with 95 % certainty. " + WORDS
)


def named(metric: str) -> str:
    """What a metric is called."""
    return plain(metric.replace("_", " "), limit=40)


def heading(metric: str, results: Sequence[Row]) -> str:
    """A metric with its unit, and which direction is good, as far as that is known."""
    from core.verdicts import NEUTRAL  # late: it brings pydantic, which the first frame does without

    score = next(each["scores"][metric] for each in results if metric in each["scores"])
    known = is_sure(metric, results) and metric not in NEUTRAL
    good = ("higher is better" if score.get("higher_is_better", True) else "lower is better") if known else ""
    return ", ".join(filter(None, (named(metric), "in %" if metric in SHARES else UNITS.get(metric, ""), good)))


def is_sure(metric: str, results: Sequence[Row]) -> bool:
    """Whether it is known how sure a metric is; of what only describes answers it is not."""
    return any(each["scores"].get(metric, {}).get("low") is not None for each in results)


def figure(metric: str, value: float | None, beside: Sequence[float] = ()) -> str:
    """A value, in per cent where it is a share, with as many digits as the largest of those `beside` it has."""
    if value is None:
        return ""
    places = _places(metric, max(map(abs, [value, *beside])))
    return f"{100 * value if metric in SHARES else value:.{places}f}"


def _places(metric: str, largest: float) -> int:
    """Digits behind the point: three that count, at least, and none of a whole number that is large."""
    if metric in SHARES or metric in ("bleu", "chrf"):
        return 1
    return next((places for places, least in ((0, 1000), (1, 100), (2, 1)) if largest >= least), 3)


def signed(metric: str, value: float, beside: Sequence[float] = ()) -> str:
    """A difference, with its sign also when it is none."""
    return ("+" if value > 0 else "−" if value < 0 else "±") + figure(metric, abs(value), beside)


def interval(metric: str, score: Row) -> str:
    """Where the value lies with 95 % certainty."""
    low, high = score.get("low"), score.get("high")
    if low is None or high is None:
        return ""
    return " … ".join(figure(metric, each, [low, high]).replace("-", "−") for each in (low, high))


def difference(metric: str, score: Row) -> str:
    """The difference from the baseline, and where it lies with 95 % certainty."""
    delta, low, high = (score.get(name) for name in ("delta", "delta_low", "delta_high"))
    if delta is None:
        return ""
    if low is None or high is None:
        return signed(metric, delta)
    if low == high == delta == 0:
        return "none"
    told = [signed(metric, each, [delta, low, high]) for each in (delta, low, high)]
    return f"{told[0]} ({told[1]} … {told[2]})"


def chance(score: Row) -> str:
    """How likely chance alone makes such a difference."""
    p = score.get("p")
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def word(result: Row, metric: str) -> tuple[str, str]:
    """What can be said of a combination by a metric: symbol and word, and the meaning of their colour."""
    if result["baseline"]:
        return "baseline", "dim"
    verdict = str((result["scores"].get(metric) or {}).get("verdict") or "")
    symbol, style = VERDICTS.get(verdict, ("", ""))
    return f"{symbol} {FEW if _apart(result['scores'].get(metric) or {}) else verdict}".strip(), style


def _apart(score: Row) -> bool:
    """Whether the difference lies on one side of zero with 95 % certainty, and chance makes such a one all the same."""
    low, high = score.get("delta_low"), score.get("delta_high")
    return score.get("verdict") == "can't tell" and low is not None and high is not None and (low > 0 or high < 0)


def in_short(result: Row, metric: str) -> tuple[str, str]:
    """(the value and its difference from the baseline, the word for that); both empty where there is no such score."""
    score = result["scores"].get(metric)
    if score is None:
        return "", ""
    delta = score.get("delta")
    shown = "" if delta is None else signed(metric, delta)
    told = "baseline" if result["baseline"] else str(score.get("verdict") or "")
    return f"{figure(metric, score['value'])} {shown}".rstrip(), told


def short_names(results: Sequence[Row]) -> dict[str, str]:
    """Evaluation job id -> its combination, without the base model where all have the same one."""
    names = {str(each["id"]): str(each["combination"]) for each in results}
    bases = {name.split(" + ", 1)[0] for name in names.values()}
    if len(bases) > 1 or len(names) == 1:
        return {id: plain(name, limit=100) for id, name in names.items()}
    return {
        id: plain(name.split(" + ", 1)[1] if " + " in name else f"{name} (base)", limit=100)
        for id, name in names.items()
    }
