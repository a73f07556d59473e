"""An evaluation's figures reckoned again, by other means, from the files of answers alone: nothing of the studio's is imported.

    python recompute.py ANSWERS.jsonl [BASELINE.jsonl]

prints JSON: rows, exact_match, its 95 % bootstrap interval exactly (the mean of rows drawn with replacement is binomial), the
interval of the F1 by a bootstrap of Python's own random numbers, and against a baseline the difference with McNemar's exact p.
"""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path
from typing import Any

DRAWS = 4_000


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def right(line: dict[str, Any]) -> bool:
    return bool(line["answer"].strip() == line["expected"].strip())


def binomial(share: float, rows: int, chance: float) -> float:
    """The smallest share of `rows` whose cumulative probability reaches `share`."""
    total = 0.0
    for count in range(rows + 1):
        total += math.comb(rows, count) * chance**count * (1 - chance) ** (rows - count)
        if total >= share - 1e-12:
            return count / rows
    return 1.0


def bootstrap(values: list[float]) -> list[float]:
    """The 2.5th and the 97.5th percentile of the means of rows drawn with replacement."""
    drawn = random.Random(7)
    means = sorted(sum(drawn.choices(values, k=len(values))) / len(values) for _ in range(DRAWS))
    return [means[int(DRAWS * 0.025)], means[int(DRAWS * 0.975)]]


def mcnemar(own: list[bool], other: list[bool]) -> float:
    only = [sum(a and not b for a, b in zip(x, y, strict=True)) for x, y in ((own, other), (other, own))]
    tail = sum(math.comb(sum(only), count) for count in range(min(only) + 1)) / 2 ** sum(only)
    return min(1.0, 2 * tail)


def main(own: str, baseline: str | None = None) -> None:
    rows = lines(own)
    correct = [right(line) for line in rows]
    share = sum(correct) / len(rows)
    told: dict[str, Any] = {"rows": len(rows), "exact_match": share}
    told["exact_match_interval"] = [binomial(level, len(rows), share) for level in (0.025, 0.975)]
    told["f1_interval"] = bootstrap([line["scores"]["f1"] for line in rows])
    if baseline is not None:
        there = [right(line) for line in lines(baseline)]
        told |= {"delta": share - sum(there) / len(there), "p": mcnemar(correct, there)}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
