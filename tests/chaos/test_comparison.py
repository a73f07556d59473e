"""A session at a whole studio: asked from the command line, killed in the middle of an answer, ended."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.messages.adapters import AddAdapter
from core.messages.comparing import AskComparison, AskedQuestion, EndComparison, GetComparison, StartComparison
from core.types import JobStatus
from tests.runner.tiny import make_adapter, make_model
from tests.whole import Whole, until

LONG = json.dumps({"max_new_tokens": 2500, "min_new_tokens": 2500, "do_sample": False})


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    model = make_model(tmp_path / "model", decided=30, max_position_embeddings=8192)
    made = Whole(model)
    make_adapter(made.directory / "tuned", model, seed=1)
    made.up()
    yield made
    made.down()


def question(whole: Whole, id: str, number: int) -> AskedQuestion:
    return next(each for each in whole.client.call(GetComparison(id=id)).questions if each.number == number)


def half_said(whole: Whole, id: str, number: int) -> bool:
    told = question(whole, id, number)
    return any(each.text and not each.done for each in told.answers.values())


@pytest.mark.timeout(400)
def test_a_session_answers_and_comes_back_from_whatever_is_killed(whole: Whole) -> None:
    ids = whole.resources()
    model = ids["base_model_id"]
    adapter = whole.client.call(AddAdapter(type="project", name="tuned", model_id=model, location="tuned")).adapter.id
    whole.fts("compare", "start", "tiny", "--adapter", "tuned", "--num-cpu", "1", "--num-memory", "1",
              "--prompt", "act", "--dataset", "rows", "--generation-config", '{"max_new_tokens": 6}')  # fmt: skip
    id = json.loads(whole.fts("compare", "list", "-o", "json").stdout)["comparisons"][0]["id"]

    told = json.loads(whole.fts("compare", "ask", id[:8], "w1 a b", "-o", "json").stdout)
    assert set(told["answers"]) == {"", adapter} and all(each["done"] for each in told["answers"].values())
    shown = whole.fts("compare", "ask", id, "--random", "--voice", "base", "--voice", "tuned").stdout
    assert "expected:" in shown and shown.index("── base") < shown.index("── tuned")

    number = whole.client.call(AskComparison(id=id, prompt="w1", generation_config=LONG)).number
    until(lambda: half_said(whole, id, number), 60, "it answers")
    child = whole.settings.artifacts_root / "jobs" / id / "1" / "child.json"
    psutil.Process(json.loads(child.read_text())["pid"]).kill()
    until(lambda: whole.client.call(GetComparison(id=id)).comparison.attempt == 2, 60, "another attempt")
    until(lambda: half_said(whole, id, number), 60, "it answers anew")
    for name in ("runner", "actors"):
        os.kill(whole.pid(name), signal.SIGKILL)
    whole.pid("actors")
    done = until(lambda: (told := question(whole, id, number)).done and told, 200, "it has answered")
    assert {(each.tokens, each.reason) for each in done.answers.values()} == {(2500, "length")}
    assert whole.client.call(GetComparison(id=id)).comparison.attempt == 2  # a runner's death is none of the session's
    assert whole.client.call(AskComparison(id=id, prompt="w2")).number == number + 1

    whole.client.call(EndComparison(id=id))
    until(lambda: whole.client.call(GetComparison(id=id)).comparison.status.finished, 60, "it ends")
    assert whole.client.call(GetComparison(id=id)).comparison.status is JobStatus.succeeded


@pytest.mark.nightly
@pytest.mark.timeout(200)
def test_a_session_makes_way_for_a_job_when_nobody_asks(tmp_path: Path) -> None:
    made = Whole(
        make_model(tmp_path / "model"), FTS_COMPARISON_QUIET_SECONDS="1", FTS_RUNNER_CPUS="1", FTS_RUNNER_MEMORY="4"
    )
    try:
        made.up()
        ids = made.resources()
        request = StartComparison(base_model_id=ids["base_model_id"], num_cpu=1, num_memory=1)
        id = made.client.call(request).comparison.id
        until(lambda: made.client.call(GetComparison(id=id)).comparison.status.value == "running", 60, "it runs")
        job = made.train("next", ids, json.dumps({"max_steps": 2, "optim": "adamw_torch", "eval_strategy": "no"}))
        assert made.end(job).status is JobStatus.succeeded
        assert made.client.call(GetComparison(id=id)).comparison.status is JobStatus.succeeded
    finally:
        made.down()
