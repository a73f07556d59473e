"""Evaluations for the stand-in studio: a batch of a base model and adapters, in every state that one sees."""

from __future__ import annotations

from typing import Any

from core.events import Statistic
from core.messages.evaluation import EvaluationJobMetadata
from core.messages.results import AnswerRow, EvaluationResultsReply, Result, Score
from core.types import JobStatus
from core.verdicts import verdict
from tests.tui.fake import FakeStudio
from tests.tui.rows import HOSTILE

BATCH = "0f3c1a52-7777-4000-8000-000000000000"
S = JobStatus


def score(name: str, value: float, delta: float | None = None, reach: float = 0.04, p: float | None = None) -> Score:
    """A metric whose difference lies within `reach`."""
    around = {} if delta is None else {"delta": delta, "delta_low": delta - reach, "delta_high": delta + reach, "p": p}
    told: dict[str, Any] = {"low": value - 0.05, "high": value + 0.05, "higher_is_better": name != "loss", **around}
    return Score(value=value, verdict=verdict(name, Statistic(**told)), **told)


def scored(number: int, name: str, *, baseline: bool = False, **deltas: float) -> Result:
    """A combination with scores; `deltas` are differences from the baseline."""
    values = {"exact_match": 0.4, "f1": 0.55, "rougeL": 0.6, "bleu": 31.5, "loss": 0.8}
    scores = {
        each: score(each, value + deltas.get(each, 0.0), None if baseline else deltas.get(each, 0.0), p=0.01)
        for each, value in values.items()
    }
    known: dict[str, Any] = {"run_number": number, "combination": name, "status": S.succeeded, "rows": 73}
    return Result(id=f"e{number}", baseline=baseline, scores=scores, **known)


def answer_row(number: int, ids: list[str]) -> AnswerRow:
    """A row that some get right."""
    right = {id: (number + at) % 3 == 0 for at, id in enumerate(ids)}
    return AnswerRow(
        row=number,
        prompt=f"Support ticket {number}: my parcel never came,\nwhere is it? I have waited for {number + 3} days.\nAction:",
        expected="track_parcel",
        features={"customer": f"C-{number:04d}"},
        answers={id: "track_parcel" if right[id] else "ask the customer for the number of the order" for id in ids},
        correct=right,
        scores={id: {"exact_match": float(right[id]), "f1": 1.0 if right[id] else 0.1} for id in ids},
    )


def studio(*results: Result, status: JobStatus = S.succeeded, rows: int = 30, **told: Any) -> FakeStudio:
    """A studio with that batch."""
    made = FakeStudio()
    ids = [each.id for each in results]
    states = {each.id: each.status for each in results}
    made.rows["evaluation_jobs"] = [
        EvaluationJobMetadata(
            id=id, parent_job_id=BATCH, run_number=number, status=states[id], step=20, total_steps=60,
            base_model_name="SmolLM2-135M", scores={name: each.value for name, each in results[number - 1].scores.items()},
        )
        for number, id in enumerate(ids, 1)
    ]  # fmt: skip
    metrics = list(dict.fromkeys(name for each in results for name in each.scores))
    known: dict[str, Any] = {"name": "evaluation on tickets", "dataset": "tickets", "metrics": metrics}
    known |= {"mlflow_experiment": f"Run: {BATCH}", "mlflow_uri": "sqlite:////work/.app/mlflow.db"}
    made.results = EvaluationResultsReply(
        parent_job_id=BATCH, status=status, results=list(results), **{**known, **told}
    )
    answered = [each.id for each in results if each.scores]
    made.answers = [answer_row(number, answered) for number in range(rows)] if answered else []
    return made


def filled() -> FakeStudio:
    """Four combinations: the baseline, one that is better, one of which nothing can be said, one that is worse."""
    return studio(
        scored(1, "SmolLM2-135M", exact_match=-0.36, f1=-0.4, rougeL=-0.3, bleu=-20, loss=1.1),
        scored(2, "SmolLM2-135M + tickets-r8", baseline=True),
        scored(3, "SmolLM2-135M + tickets-r16", exact_match=0.164, f1=0.12, rougeL=0.1, bleu=8, loss=-0.2),
        scored(4, "SmolLM2-135M + tickets-short", exact_match=0.01, f1=0.002, bleu=0.01),
        notes=["7 of 80 rows are left out: a model or adapter of this batch learned rows like them"],
    )


def waiting() -> FakeStudio:
    """A batch that has scored nothing yet."""
    known: dict[str, Any] = {"status": S.queued, "scores": {}}
    return studio(
        Result(id="e1", run_number=1, combination="SmolLM2-135M", **known),
        Result(id="e2", run_number=2, combination="SmolLM2-135M + tickets-r8", baseline=True, **known),
        status=S.queued,
    )


def failing() -> FakeStudio:
    """One combination is scored, one failed, one runs."""
    why = "adapter_model.safetensors changed since the adapter was added. Add it again as it is now."
    return studio(
        Result(id="e1", run_number=1, combination="SmolLM2-135M", status=S.running),
        scored(2, "SmolLM2-135M + tickets-r8", baseline=True),
        Result(id="e3", run_number=3, combination="SmolLM2-135M + tickets-r16", status=S.failed, error=why),
        status=S.running,
        rows=12,
    )


def hostile() -> FakeStudio:
    """What a name, a model and an error can be."""
    ids = ["e1", "e2"]
    made = studio(
        scored(1, HOSTILE, baseline=True, exact_match=0.0),
        scored(2, HOSTILE[::-1], exact_match=0.2).model_copy(update={"error": HOSTILE}),
        dataset=HOSTILE, notes=[HOSTILE], mlflow_uri=HOSTILE,
    )  # fmt: skip
    evil = {
        "prompt": HOSTILE,
        "expected": HOSTILE,
        "answers": dict.fromkeys(ids, HOSTILE),
        "features": {HOSTILE: HOSTILE},
    }
    made.answers = [answer_row(number, ids).model_copy(update=evil) for number in range(3)]
    return made
