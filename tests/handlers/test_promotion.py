"""The promotion gate (docs/decisions.md, D-203): what a training makes is registered under a name only when it is better than what has the name."""

from __future__ import annotations

import time
from typing import Any

import pytest

from actors import promoting
from actors.answering import answer
from actors.desk import Desk
from actors.ticking import tick
from core.store.tables import EvaluationJob, Job
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, job, say, spooled, start, types

ENGINES = ["legacy", "evaluation", "export"]
PARITY = {"prompts": 8, "max_logit_difference": 1e-6, "same_text": 8}


class Line:
    """A studio with one runner that does at once what it is given."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.runner = desk, Speaker(desk, engines=ENGINES)
        self.versions = 0

    def train(self, name: str, **promote: Any) -> str:
        """Train an adapter; the job's id."""
        id = start(self.desk, name, **{"promote_as": "tickets", **promote})
        self.do(id, self.adapter(name))
        return id

    def adapter(self, name: str) -> dict[str, Any]:
        """What a training tells of its adapter."""
        path = str(self.desk.settings.adapters_root / name)
        return {"type": "artifact", "at": 2.0, "kind": "adapter", "path": path, "files": {}}

    def do(self, id: str, *records: dict[str, Any], ending: dict[str, Any] | None = None) -> None:
        """Let the runner take the job and end it."""
        self.runner.begin(id)
        self.runner.report(
            {"job_id": id, "attempt": job(self.desk, id).attempt, **spooled(*records, ending or SUCCEEDED, begin=10)}
        )

    def tick(self) -> None:
        """A second later."""
        tick(self.desk, time.time())

    def state(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = say(self.desk, "GetPromotion", id=id)["promotion"]
        return found

    def evaluate(self, id: str, **values: float) -> list[str | None]:
        """End the evaluation of champion and candidate with these scores, by the adapters' names; the adapters asked."""
        self.tick()
        parent = self.state(id)["evaluation_id"]
        rows = say(self.desk, "ListEvaluationJobs", parent_job_id=parent)["evaluation_jobs"]
        scored = [
            {"type": "scored", "at": 3.0, "job_id": row["id"], "status": "succeeded", "rows": 9,
             "values": {"exact_match": values[row["adapter_name"]], "loss": values[row["adapter_name"]]}}
            for row in rows
        ]  # fmt: skip
        self.do(parent, *scored)
        return [row["adapter_name"] for row in rows]

    def export(self, id: str) -> None:
        """End the export."""
        self.tick()
        self.versions += 1
        made = {"version": str(self.versions), "uri": f"models:/tickets/{self.versions}", "parity": PARITY}
        self.do(self.state(id)["export_id"], ending={**SUCCEEDED, "summary": {"exported": made}})
        self.tick()


@pytest.fixture
def line(desk: Desk) -> Line:
    add_inputs(desk.store)
    return Line(desk)


def test_the_first_of_a_name_is_registered_and_after_it_only_what_is_better(line: Line, desk: Desk) -> None:
    first = line.train("first")
    assert line.state(first)["state"] == "waiting"
    assert line.evaluate(first, first=0.5) == ["first"]
    line.export(first)
    told = line.state(first)
    assert (told["state"], told["version"], told["value"], told["champion_value"]) == ("promoted", "1", 0.5, None)
    with desk.store.read() as session:
        spec = session.get_one(Job, told["export_id"]).spec
    assert (spec["model_name"], spec["alias"], spec["destination"]) == ("tickets", "champion", "model_registry")

    second = line.train("second")
    assert line.evaluate(second, first=0.6, second=0.6) == ["first", "second"]  # the champion is the baseline
    line.tick()
    told = line.state(second)
    assert (told["state"], told["value"], told["champion_value"], told["export_id"]) == ("kept", 0.6, 0.6, None)

    third = line.train("third")
    assert line.evaluate(third, first=0.6, third=0.7) == ["first", "third"]
    line.export(third)
    assert line.state(third)["version"] == "2"
    fourth = line.train("fourth")
    assert line.evaluate(fourth, third=0.7, fourth=0.9) == ["third", "fourth"]
    steps = [each["data"]["state"] for each in say(desk, "ListEvents", resource_id=third)["events"]
             if each["type"] == "PromotionChanged"]  # fmt: skip
    assert steps == ["waiting", "evaluating", "exporting", "promoted"]
    listed = say(desk, "ListPromotions", name="tickets", limit=3)
    assert [each["id"] for each in listed["promotions"]] == [fourth, third, second] and listed["has_more"]
    assert [each["id"] for each in say(desk, "ListPromotions", after=second)["promotions"]] == [first]
    assert [each["id"] for each in say(desk, "ListPromotions", state="kept")["promotions"]] == [second]


def test_of_a_loss_less_is_better(line: Line) -> None:
    first = line.train("first", promote_metric="loss")
    line.evaluate(first, first=0.5)
    line.export(first)
    worse = line.train("worse", promote_metric="loss")
    line.evaluate(worse, first=0.5, worse=0.6)
    line.tick()
    assert line.state(worse)["state"] == "kept"
    better = line.train("better", promote_metric="loss")
    line.evaluate(better, first=0.5, better=0.4)
    line.export(better)
    assert line.state(better)["state"] == "promoted"


def test_a_studio_that_dies_between_its_steps_asks_for_nothing_twice(
    line: Line, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    id = line.train("first")
    tell = promoting._tell
    monkeypatch.setattr(promoting, "_tell", die)
    with pytest.raises(KeyboardInterrupt):
        line.tick()
    monkeypatch.setattr(promoting, "_tell", tell)
    assert line.state(id)["state"] == "waiting"
    line.evaluate(id, first=0.5)
    with desk.store.read() as session:
        assert session.query(EvaluationJob).count() == 1
    monkeypatch.setattr(promoting, "_tell", die)
    with pytest.raises(KeyboardInterrupt):
        line.tick()
    monkeypatch.setattr(promoting, "_tell", tell)
    line.export(id)
    assert line.state(id)["state"] == "promoted" and len(say(desk, "ListExportJobs")["export_jobs"]) == 1


def test_an_mlflow_that_is_away_only_delays_it(line: Line, desk: Desk) -> None:
    id = line.train("first")
    line.evaluate(id, first=0.5)
    desk.settings.mlflow_tracking_uri = "http://127.0.0.1:9"
    line.tick()
    assert line.state(id)["state"] == "evaluating"
    desk.settings.mlflow_tracking_uri = None
    promoting.advance(desk, time.time() + promoting.LATER)
    line.export(id)
    assert line.state(id)["state"] == "promoted"


def test_what_goes_wrong_ends_it_with_the_reason(line: Line, desk: Desk) -> None:
    failing = {
        "type": "finished",
        "at": 2.0,
        "outcome": "failed",
        "error": {"kind": "user_error", "message": "no rows"},
    }
    id = line.train("first")
    line.tick()
    line.do(line.state(id)["evaluation_id"], ending=failing)
    line.tick()
    assert line.state(id)["state"] == "failed" and "no rows" in line.state(id)["reason"]
    other = line.train("second")
    adapter = say(desk, "GetFineTuningJob", id=other)["fine_tuning_job"]["adapter_id"]
    say(desk, "RemoveAdapter", id=adapter)
    line.tick()
    assert line.state(other)["state"] == "failed" and "PromotionChanged" in types(desk, other)


def test_a_training_that_failed_may_be_tried_again(line: Line, desk: Desk) -> None:
    id = start(desk, "first", promote_as="tickets")
    say(desk, "CancelJob", id=id)
    line.tick()
    assert line.state(id)["state"] == "waiting"
    say(desk, "RetryJob", id=id)
    line.do(id, line.adapter("first"))
    line.evaluate(id, first=0.5)
    line.export(id)
    assert line.state(id)["state"] == "promoted"


def test_a_champion_that_was_removed_is_compared_by_what_it_was_measured_by_only(line: Line, desk: Desk) -> None:
    first = line.train("first", promote_metric="loss")
    line.evaluate(first, first=0.5)
    line.export(first)
    say(desk, "RemoveAdapter", id=line.state(first)["adapter_id"])
    otherwise = line.train("otherwise", promote_metric="exact_match")
    line.tick()
    told = line.state(otherwise)
    assert (told["state"], told["evaluation_id"]) == ("failed", None) and "known by its loss alone" in told["reason"]
    worse = line.train("worse", promote_metric="loss")
    assert line.evaluate(worse, worse=0.6) == ["worse"]
    line.tick()
    assert (line.state(worse)["state"], line.state(worse)["champion_value"]) == ("kept", 0.5)


def test_an_export_that_is_tried_again_has_the_name_when_it_succeeds(line: Line, desk: Desk) -> None:
    id = line.train("first")
    line.evaluate(id, first=0.5)
    line.tick()
    export = line.state(id)["export_id"]
    line.do(export, ending={"type": "finished", "at": 2.0, "outcome": "cancelled"})
    line.tick()
    assert line.state(id)["state"] == "failed"
    say(desk, "RetryJob", id=export)
    line.export(id)
    assert (line.state(id)["state"], line.state(id)["version"]) == ("promoted", "1")
    other = line.train("second")
    assert line.evaluate(other, first=0.5, second=0.4) == ["first", "second"]


def test_two_towards_one_name_go_one_after_the_other_when_two_processes_look_at_once(
    line: Line, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = line.train("first"), line.train("second")

    def meanwhile(*asked: Any) -> Any:
        monkeypatch.setattr(promoting, "answer", answer)
        promoting._advance(desk, first, time.time())
        return answer(*asked)

    monkeypatch.setattr(promoting, "answer", meanwhile)
    promoting._advance(desk, second, time.time())
    assert [line.state(id)["state"] for id in (first, second)] == ["evaluating", "waiting"]
    (vain,) = {each["parent_job_id"] for each in say(desk, "ListEvaluationJobs")["evaluation_jobs"]} - {
        line.state(first)["evaluation_id"]
    }
    say(desk, "CancelJob", id=vain)
    line.evaluate(first, first=0.5)
    line.export(first)
    promoting.advance(desk, time.time() + promoting.LATER)
    assert line.evaluate(second, first=0.5, second=0.6) == ["first", "second"]


def test_one_that_can_not_be_taken_on_keeps_no_other_back(
    line: Line, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, other = line.train("broken"), line.train("other", promote_as="others")
    taken_on = promoting._advance

    def breaks(desk: Desk, id: str, now: float) -> None:
        if id == broken:
            raise RuntimeError("a fault of the studio's")
        taken_on(desk, id, now)

    monkeypatch.setattr(promoting, "_advance", breaks)
    line.tick()
    assert (line.state(broken)["state"], line.state(other)["state"]) == ("waiting", "evaluating")
    monkeypatch.undo()
    line.tick()
    assert line.state(broken)["state"] == "waiting", "it is not tried again each second"
    tick(desk, time.time() + 60)
    assert line.state(broken)["state"] == "evaluating"


def test_what_can_not_be_promoted_is_refused_at_once(line: Line, desk: Desk) -> None:
    asked = {"adapter_name": "x", "base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "promote_as": "a/b"}
    reply = answer(desk, "StartFineTuningJob", {**asked, "promote_metric": "luck", "train_test_split": 1.0}, None)
    assert {"FT-152", "FT-153", "FT-155"} <= {each["rule"] for each in reply["breaches"]}
