"""What came of an evaluation: a table of its combinations against the baseline, and its rows with the answers side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from core.events import Statistic
from core.messages.base import Query, Value
from core.messages.common import Limit, Name, known, one_of
from core.rules import World, rule
from core.types import JobStatus, RowOrder, Verdict


class Score(Statistic):
    """A metric of a combination, how sure it is, and what its difference from the baseline is worth."""

    value: float
    verdict: Verdict | None = Field(
        None, description="None: this is the baseline, or there is nothing to compare with."
    )


class Result(Value):
    """A combination's line of the table. `id` is that of its evaluation job."""

    id: str
    run_number: int | None = None
    combination: str = Field(description="The base model's name, and the adapter's.")
    baseline: bool = Field(False, description="The others are compared with this one.")
    status: JobStatus
    rows: int | None = None
    error: str | None = None
    scores: dict[str, Score] = {}


class EvaluationResultsReply(Value):
    """The results of a batch as far as there are any; `metrics` in the order in which they are best read."""

    parent_job_id: str
    name: str | None = None
    status: JobStatus
    dataset: str | None = Field(None, description="Its name now; none when it was removed.")
    metrics: list[str] = []
    results: list[Result]
    notes: list[str] = Field([], description="What was done otherwise than asked, such as rows that were left out.")
    files: list[str] = Field([], description="The results as files, on the studio's host.")
    mlflow_experiment: str | None = None
    mlflow_uri: str | None = Field(None, description="Where MLflow keeps its runs, without passwords.")


class GetEvaluationResults(Query[EvaluationResultsReply]):
    """Return what came of a batch: every combination's metrics, each against the baseline, and how sure the difference is."""

    parent_job_id: str


class AnswerRow(Value):
    """One evaluated row, with what each combination answered."""

    row: int
    prompt: str
    expected: str
    features: dict[str, Any] = {}
    answers: dict[str, str] = Field({}, description="evaluation job id -> answer")
    correct: dict[str, bool] = {}
    scores: dict[str, dict[str, float]] = Field({}, description="evaluation job id -> metric -> the row's score")


class EvaluationAnswersReply(Value):
    """A page of rows with all answers side by side. It ends early where texts are very long: go on after the rows that came."""

    parent_job_id: str
    combinations: dict[str, str] = Field(
        {}, description="evaluation job id -> what answered: model, or model + adapter"
    )
    metric: str | None = Field(None, description="The metric that the rows are ordered by.")
    rows: list[AnswerRow]
    total: int
    has_more: bool = False


class GetEvaluationAnswers(Query[EvaluationAnswersReply]):
    """Return the rows of a batch with the answers side by side."""

    QUEUE: ClassVar[str] = "slow"
    SECONDS: ClassVar[float | None] = 120  # the first page of a million answers reads all of their files

    parent_job_id: str
    after: int = Field(0, ge=0, description="Rows to pass over.")
    limit: Limit = 50
    differing: bool = Field(False, description="Only rows that not all combinations got right or wrong alike.")
    order: str = Field(
        RowOrder.row.value,
        description="By number; worst or best first; or those first on which the combinations differ most.",
        json_schema_extra=known(RowOrder),
    )
    metric: str | None = Field(
        None, description="What worst, best and differs go by: a score that rows have. Without: f1, or right and wrong."
    )
    children: list[Name] = Field([], description="Only these evaluation jobs of the batch; none: all.")
    contains: str | None = Field(
        None, description="Only rows whose prompt, expected text or answers hold this text, in upper or lower case."
    )
    row: int | None = Field(None, ge=0, description="Only the row of this number.")


@rule(
    GetEvaluationAnswers,
    "EV-126",
    "order",
    passes=[{"parent_job_id": "1"}, {"parent_job_id": "1", "order": "worst"}],
    fails=[{"parent_job_id": "1", "order": "alphabet"}],
)
def _order(message: GetEvaluationAnswers, world: World) -> Iterator[str]:
    """rows come by number, worst or best first, or those that differ most"""
    yield from one_of(message.order, RowOrder, "order")
