"""What the combinations of a batch are compared with: the first adapter's answers. It asks no model, so any host can do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.events import Statistic
from core.spec import Combination, EvaluationSpec
from gpu_runner import harness
from gpu_runner.answers import Line
from gpu_runner.harness import Tasks
from gpu_runner.metrics import OF_TOKENS, Measured, measure, same_tokens
from gpu_runner.statistics import statistics


@dataclass(frozen=True)
class Marks:
    """What the answers of a combination come to by themselves. `values` hold those of `measured`, of the tasks, and more."""

    measured: dict[str, Measured]
    values: dict[str, float | None]
    tasks: Tasks | None = None

    def told(self) -> dict[str, Any]:
        """What neither the lines of answers nor the values tell, for `marks_of`."""
        lower = [name for name, each in self.measured.items() if not each.higher_is_better]
        return {"lower_is_better": lower, "tasks": vars(self.tasks) if self.tasks else None}


def marks_of(lines: Sequence[Line], values: Mapping[str, float | None], told: Mapping[str, Any]) -> Marks:
    """The marks of a combination that another process graded, from its lines of answers and what it told."""
    tasks = told.get("tasks")
    measured = measure(lines, frozenset(told.get("lower_is_better", ())))
    return Marks(measured, dict(values), Tasks(**tasks) if tasks else None)


class Baseline:
    """Compares combinations with the baseline, which must be the first that is given, or remembered."""

    def __init__(self, spec: EvaluationSpec, warn: Callable[[str], None]) -> None:
        self._spec, self._warn = spec, warn
        self._measured: dict[str, Measured] | None = None
        self._values: Mapping[str, float | None] = {}
        self._known: dict[str, Statistic] = {}

    def statistics(self, combination: Combination, marks: Marks, look: Callable[[], None]) -> dict[str, Statistic]:
        """How sure each figure is, and how it differs from the baseline's. `look` is called now and then, and may raise to stop."""
        first = combination.job_id == self._spec.baseline.job_id
        if first:
            self._measured = marks.measured
        against = None if first else self._for(combination, marks.measured)
        sure = statistics(marks.measured, against, self._spec.seed, look)
        if marks.tasks is not None:
            values = {name: value for name, value in self._values.items() if value is not None}
            sure |= harness.statistics(marks.tasks, values, self._known)
        if first:
            self._values, self._known = marks.values, sure
        return sure

    def remember(self, told: Mapping[str, Any], lines: Sequence[Line]) -> None:
        """The baseline was scored by an earlier attempt, which told of it so."""
        self._measured, self._values = measure(lines), told.get("values", {})
        self._known = {name: Statistic.model_validate(each) for name, each in told.get("statistics", {}).items()}

    def anew(
        self,
        combination: Combination,
        told: Mapping[str, Any],
        lines: Callable[[], Sequence[Line]],
        look: Callable[[], None],
    ) -> dict[str, Any] | None:
        """The statistics of what an earlier attempt scored without a baseline, now that there is one; None: they are as they should be.

        A harness's figures stay as they were: of its tasks only their sums were told.
        """
        before: dict[str, Any] = told.get("statistics") or {}
        compared = any(each.get("delta") is not None for each in before.values())
        if self._measured is None or compared or combination.job_id == self._spec.baseline.job_id:
            return None
        lower = [name for name, each in before.items() if not each.get("higher_is_better", True)]
        sure = self.statistics(combination, marks_of(lines(), told["values"], {"lower_is_better": lower}), look)
        return {**before, **{name: each.model_dump() for name, each in sure.items()}}

    def _for(self, combination: Combination, measured: dict[str, Measured]) -> dict[str, Measured] | None:
        """What a combination is compared with; nothing when the baseline could not be scored."""
        if self._measured is None:
            self._warn("nothing is compared: the baseline, the first adapter of the batch, was not scored")
        if self._measured is None or combination.model.id == self._spec.baseline.model.id:
            return self._measured
        if same_tokens(measured, self._measured):
            return self._measured
        self._warn(
            "loss and perplexity are not compared with the baseline's of another base model: they are of other tokens"
        )
        return {name: each for name, each in self._measured.items() if name not in OF_TOKENS}
