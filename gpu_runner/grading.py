"""What the answers of a combination are worth: a score for each row, and a figure for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.settings import read
from core.spec import Combination, EvaluationSpec
from gpu_runner import harness, own_metrics
from gpu_runner.answers import Line
from gpu_runner.baseline import Marks
from gpu_runner.child import Context
from gpu_runner.data import Row
from gpu_runner.device import Device
from gpu_runner.failures import JobError
from gpu_runner.harness import STOPS, Tasks
from gpu_runner.metrics import described, measure, row_scores
from gpu_runner.readability import NoWords, readability
from gpu_runner.toxicity import Toxicity

OFTEN = 50  # rows between two looks at orders


@dataclass
class Grader:
    """Grades the combinations of a batch, each by itself."""

    spec: EvaluationSpec
    context: Context
    warn: Callable[[str], None]
    _toxicity: Toxicity | None = None
    _told: bool = False

    def grade(
        self,
        combination: Combination,
        lines: Sequence[Line],
        rows: Sequence[Row],
        seconds: float,
        tasks: Tasks | None,
        device: Device,
        look: Callable[[], None],
    ) -> Marks:
        """Put scores into the lines, and reckon what they come to. `look` is called now and then, and may raise to stop."""
        for number, line in enumerate(lines):
            if number % OFTEN == 0:
                look()
            line["scores"] |= row_scores(line["answer"], line["expected"]) | self._readability(line["answer"])
        self._put_toxicity(lines, device, look)
        lower = self._put_own(combination, lines, rows, look)
        measured = measure(lines, lower)
        values = {name: each.value for name, each in measured.items()} | described(lines, seconds)
        return Marks(measured, {**values, **(tasks.values if tasks else {})}, tasks)

    def tasks(self, combination: Combination, model: Any, tokenizer: Any, look: Callable[[], None]) -> Tasks | None:
        """What the model comes to on the harness's tasks, if any were asked for."""
        if not self.spec.tasks:
            return None
        try:
            templated = combination.chat_template
            return harness.evaluate(
                self.spec.tasks, model, tokenizer, seed=self.spec.seed, templated=templated, look=look
            )
        except (harness.NoTasks, ImportError) as error:
            self.warn(f"the tasks {', '.join(self.spec.tasks)} are left out: {error}")
            return None

    def _readability(self, text: str) -> dict[str, float]:
        try:
            return readability(text)
        except NoWords as error:
            self.warn(f"readability is left out: {error}")
            return {}

    def _put_toxicity(self, lines: Sequence[Line], device: Device, look: Callable[[], None]) -> None:
        where = read().toxicity_model
        try:
            if where and self._toxicity is None and not self._told:
                self._toxicity = Toxicity(where, device, self.context.token)
        except JobError as error:
            self.warn(f"toxicity is left out: {error}")
        if not where and not self._told:
            self.context.spool.log("toxicity is not scored: no model of it is configured (FTS_TOXICITY_MODEL)")
        self._told = True
        if self._toxicity is None:
            return
        try:
            found = self._toxicity([line["answer"] for line in lines], look)
        except STOPS:
            raise
        except Exception as error:  # whatever a classifier that was loaded raises at its first text
            self._toxicity = None
            self.warn(f"toxicity is left out: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
            return
        for line, value in zip(lines, found, strict=True):
            line["scores"]["toxicity"] = value

    def _put_own(
        self, combination: Combination, lines: Sequence[Line], rows: Sequence[Row], look: Callable[[], None]
    ) -> frozenset[str]:
        """Scores by the user's own metrics; which of them are better when lower."""
        lower: frozenset[str] = frozenset()
        directory = self.context.directory / "metrics" / combination.job_id
        for script in self.spec.metrics:
            try:
                own = own_metrics.score(script, lines, rows, directory, look)
            except own_metrics.NoFigure as error:
                self.warn(f"metric {script.name} is left out: {error}")
                continue
            if twice := sorted(
                {name for line in lines for name in line["scores"]} & {n for each in own.scores for n in each}
            ):
                self.warn(f"metric {script.name} is left out: {', '.join(twice)} is another metric's figure already")
                continue
            for line, scores in zip(lines, own.scores, strict=True):
                line["scores"] |= scores
            if own.errors:
                self.warn(
                    f"metric {script.name} came to no score for {len(own.errors)} of {len(lines)} rows: {own.errors[0]}"
                )
            lower |= own.lower_is_better
        return lower
