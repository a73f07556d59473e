"""What the answers of a combination are worth: a score for each row, a figure for all, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.events import Statistic
from core.spec import Combination, EvaluationSpec
from gpu_runner.metrics import Measured, described, measure, row_scores
from gpu_runner.readability import NoWords, readability
from gpu_runner.statistics import statistics

OFTEN = 50  # rows between two looks at orders


@dataclass(frozen=True)
class Graded:
    """The figures of a combination, as a `scored` record tells them."""

    values: dict[str, float]
    statistics: dict[str, Statistic]


@dataclass
class Grader:
    """Grades the combinations of a batch; all are compared with the baseline, which comes first."""

    spec: EvaluationSpec
    warn: Callable[[str], None]
    baseline: dict[str, Measured] | None = None
    _told: set[str] = field(default_factory=set)

    def grade(
        self, combination: Combination, lines: Sequence[dict[str, Any]], seconds: float, look: Callable[[], None]
    ) -> Graded:
        """Put scores into the lines, and reckon what they come to. `look` is called now and then, and may raise to stop."""
        for number, line in enumerate(lines):
            if number % OFTEN == 0:
                look()
            line["scores"] |= row_scores(line["answer"], line["expected"]) | self._readability(line["answer"])
        measured = measure(lines)
        values = {name: each.value for name, each in measured.items()} | described(lines, seconds)
        return Graded(values, statistics(measured, self._compared(combination, measured), self.spec.seed))

    def remember(self, lines: Sequence[dict[str, Any]]) -> None:
        """The baseline was scored by an earlier attempt."""
        self.baseline = measure(lines)

    def _compared(self, combination: Combination, measured: dict[str, Measured]) -> dict[str, Measured] | None:
        """What this combination is compared with; nothing when it is the baseline, or that could not be scored."""
        if combination.job_id == self.spec.baseline.job_id:
            self.baseline = measured
            return None
        if self.baseline is None:
            self.warn("nothing is compared: the baseline, the first adapter of the batch, was not scored")
        return self.baseline

    def _readability(self, text: str) -> dict[str, float]:
        try:
            return readability(text)
        except NoWords as error:
            self.warn(f"readability is left out: {error}")
            return {}
