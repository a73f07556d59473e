"""What `fts evaluation results` prints: one short table by default, every metric when asked, all of it as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.cells import cell_len

from core.messages.evaluation import EvaluationJobMetadata, EvaluationJobsReply, ListEvaluationJobs
from core.messages.results import EvaluationResultsReply
from core.types import JobStatus
from tests.tui.scored import scored
from tui.cli import output
from tui.cli.watch import state

BASE = "SmolLM2-135M"


def told(*more: str) -> dict[str, Any]:
    """A batch of three; `more` are metrics besides."""
    results = [
        scored(1, f"{BASE} + tickets-r8", baseline=True, stopped_by_eos=0),
        scored(2, f"{BASE} + tickets-r16", exact_match=0.164, loss=-0.2),
        scored(3, f"{BASE} + an adapter with a name that is longer than the room", f1=-0.3),
    ]
    for each in results:
        each.scores["stopped_by_eos"] = each.scores["exact_match"]
        each.scores |= dict.fromkeys(more, each.scores["f1"])
    metrics = list(results[0].scores)
    reply = EvaluationResultsReply(
        parent_job_id="b", status=JobStatus.succeeded, metrics=metrics, results=results, mlflow_experiment=None
    )
    return reply.model_dump(mode="json")


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], room: int | None, **how: Any
) -> list[str]:
    """The lines that a terminal of so many cells gets, or a pipe."""
    monkeypatch.setattr("tui.cli.console.room", lambda: room)
    output.show(told("perplexity", "chrf"), "table", **how)
    return capsys.readouterr().out.splitlines()


def test_eighty_columns_hold_all_that_decides_in_two_lines_a_combination(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head, *lines = shown(monkeypatch, capsys, 80)[:7]
    assert [each in head for each in ("exact %", "F1 %", "rougeL %", "loss", "EOS %")] == [True] * 5
    assert all(cell_len(line) <= 80 for line in [head, *lines])
    assert "56.4 +16.4" in lines[2] and "0.600 −0.200" in lines[2] and lines[2].startswith("tickets-r16")
    assert lines[3].split() == ["better", "can't", "tell", "can't", "tell", "better", "better"]
    assert lines[1].split() == ["baseline"] * 5 and "25.0 −30.0" in lines[4] and lines[5].split().count("worse") == 1


def test_a_pipe_has_a_line_for_each_combination(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(monkeypatch, capsys, None)
    assert "56.4 +16.4 better" in lines[2] and "25.0 −30.0 worse" in lines[3] and "longer than the room" in lines[3]


def test_every_metric_is_told_when_asked_and_json_is_whole_anyway(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "perplexity" not in "\n".join(shown(monkeypatch, capsys, 80))
    every = "\n".join(shown(monkeypatch, capsys, 160, whole=True))
    assert "+16.4 (+12.4 … +20.4)" in every and "perplexity" in every and "chrf" in every
    output.show(told("perplexity"), "json")
    assert json.loads(capsys.readouterr().out) == told("perplexity")


def test_half_a_character_is_written_as_json_writes_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output.show({"text": "Ü \ud800"}, "json")
    written = capfdbinary.readouterr().out
    assert json.loads(written) == {"text": "Ü \ud800"} and "Ü".encode() in written


def test_a_batch_of_many_has_not_ended_when_its_first_hundred_have() -> None:
    jobs = [EvaluationJobMetadata(id=str(number), status=JobStatus.succeeded) for number in range(149)]
    jobs.append(EvaluationJobMetadata(id="last", status=JobStatus.running))

    class Client:
        def call(self, asked: ListEvaluationJobs) -> EvaluationJobsReply:
            return EvaluationJobsReply(evaluation_jobs=jobs[: asked.limit], has_more=asked.limit < len(jobs))

    client: Any = Client()
    assert state(client, "b", "evaluation").id == "last"
