"""What came of an evaluation is told from the studio's own store and files: the table, and its rows in every order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors import answers
from actors.answering import answer
from actors.desk import Desk
from core.store.tables import Adapter
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, say

NAN = float("nan")
THREE: list[dict[str, Any]] = [{"base_model_id": "m", "adapter_id": each} for each in (None, "one", "two")]


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)
    with desk.store.write() as unit:
        for id in ("one", "two"):
            unit.session.add(Adapter(id=id, type="project", name=id, model_id="m", location=id))


def line(row: int, score: float, **fields: Any) -> dict[str, Any]:
    """A line of an answers file, as an evaluation writes it."""
    told = {"row": row, "prompt": f"ticket {row}", "expected": "open", "answer": f"said {row}", "correct": score == 1.0}
    return {**told, "features": {"id": row}, "scores": {"f1": score, "loss": 1 - score}, **fields}


class Batch:
    """A batch of the base model and two adapters, scored by hand."""

    def __init__(self, desk: Desk, pairs: list[dict[str, Any]] = THREE) -> None:
        self.desk = desk
        asked = {"dataset_id": "d", "prompt_id": "p", "num_cpu": 1, "num_gpu": 0}
        reply = say(desk, "StartEvaluationJob", model_adapter_combinations=pairs, **asked)
        self.id: str = reply["parent_job_id"]
        self.base, self.one, *more = (each["id"] for each in reply["evaluation_jobs"])
        self.two: str = more[0] if more else ""
        self.records: list[dict[str, Any]] = []

    def score(self, child: str, lines: list[dict[str, Any]] | bytes, **fields: Any) -> None:
        """What a child says at its end, and the file that it leaves."""
        path = f"jobs/{self.id}/1/answers-{child}.jsonl"
        file = self.desk.settings.artifacts_root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(
            lines if isinstance(lines, bytes) else b"".join(json.dumps(each).encode() + b"\n" for each in lines)
        )
        told = {"type": "scored", "at": 1.0, "job_id": child, "status": "succeeded", "rows": 3, "answers": path}
        self.records.append({**told, "values": {"exact_match": 0.5}, **fields})

    def end(self, *records: dict[str, Any]) -> None:
        runner = Speaker(self.desk)
        runner.begin(self.id)
        runner.tell(self.id, *self.records, *records, SUCCEEDED, begin=10)

    def rows(self, **asked: Any) -> dict[str, Any]:
        return say(self.desk, "GetEvaluationAnswers", parent_job_id=self.id, **asked)

    def order(self, **asked: Any) -> list[int]:
        return [row["row"] for row in self.rows(**asked)["rows"]]


@pytest.fixture
def batch(desk: Desk) -> Batch:
    """Three rows; the adapter `two` is right where `one` is wrong."""
    made = Batch(desk)
    made.score(made.one, [line(0, 1.0), line(1, 0.0), line(2, 0.5)])
    made.score(made.two, [line(0, 1.0), line(1, 1.0), line(2, 0.4, answer="Ünverständlich")])
    made.end()
    return made


def test_the_table_compares_every_combination_with_the_first_adapter(desk: Desk) -> None:
    made = Batch(desk)
    figures = {"low": 0.4, "high": 0.6}
    better = {**figures, "delta": 0.2, "delta_low": 0.1, "delta_high": 0.3, "p": 0.01}
    both = {"exact_match": 0.5, "loss": 1.0, "new_tokens": 8.0, "mine": 3.0}
    made.score(made.one, [], values=both, statistics={"exact_match": figures, "mine": figures})
    made.score(
        made.two,
        [],
        values=both,
        statistics={
            "exact_match": better,
            "loss": {**better, "higher_is_better": False},
            "mine": {**better, "delta_low": -0.1, "p": 0.2},
        },
    )
    made.score(made.base, [], status="failed", values={}, answers=None, error="no room")
    made.end({"type": "warning", "at": 1.0, "text": "2 of 5 rows are left out"})
    told = say(desk, "GetEvaluationResults", parent_job_id=made.id)
    assert told["metrics"] == ["exact_match", "loss", "mine", "new_tokens"]
    base, one, two = told["results"]
    assert [each["combination"] for each in told["results"]] == ["tiny", "tiny + one", "tiny + two"]
    assert [each["baseline"] for each in told["results"]] == [False, True, False]
    assert (base["status"], base["error"], base["scores"]) == ("failed", "no room", {})
    assert {name: each["verdict"] for name, each in one["scores"].items()} == dict.fromkeys(both)
    assert two["scores"]["exact_match"].items() >= {"value": 0.5, "delta": 0.2, "p": 0.01, "low": 0.4}.items()
    verdicts = {"exact_match": "better", "loss": "worse", "mine": "can't tell", "new_tokens": None}
    assert {name: each["verdict"] for name, each in two["scores"].items()} == verdicts
    assert (told["status"], told["dataset"], told["notes"]) == ("succeeded", "t", ["2 of 5 rows are left out"])


def test_of_a_model_and_its_adapter_the_table_says_what_the_adapter_gained(desk: Desk) -> None:
    """Compared they were the other way round: the guide's baseline is the first adapter."""
    pairs = [{"base_model_id": "m", "adapter_id": each} for each in (None, "one")]
    made = Batch(desk, pairs)
    own = {"low": 0.5, "high": 0.9}
    lost = {"delta": -0.75, "delta_low": -1.0, "delta_high": -0.25, "p": 0.01, "low": 0.0, "high": 0.1}
    made.score(made.one, [], values={"exact_match": 0.75}, statistics={"exact_match": own})
    made.score(made.base, [], values={"exact_match": 0.0}, statistics={"exact_match": lost})
    made.end()
    base, one = say(desk, "GetEvaluationResults", parent_job_id=made.id)["results"]
    assert (base["baseline"], one["baseline"]) == (True, False)
    assert base["scores"]["exact_match"].items() >= {"value": 0.0, "delta": None, "verdict": None, "low": 0.0}.items()
    gain = {"value": 0.75, "delta": 0.75, "delta_low": 0.25, "delta_high": 1.0, "p": 0.01, "verdict": "better"}
    assert one["scores"]["exact_match"].items() >= {**gain, **own}.items()


def test_mlflow_and_the_files_are_named_and_no_password_with_them(desk: Desk, batch: Batch) -> None:
    desk.settings.mlflow_tracking_uri = "https://me:secret@mlflow.example:5000/path"
    directory = desk.settings.artifacts_root / "jobs" / batch.id / "1"
    (directory / "results.csv").write_text("")
    told = say(desk, "GetEvaluationResults", parent_job_id=batch.id)
    assert (told["mlflow_experiment"], told["mlflow_uri"]) == (f"Run: {batch.id}", "https://mlflow.example:5000/path")
    assert told["files"] == [str(directory / "results.csv")]
    desk.settings.tracking = False
    assert say(desk, "GetEvaluationResults", parent_job_id=batch.id)["mlflow_uri"] is None


def test_a_batch_that_is_not_there_is_told_and_one_that_waits_has_an_empty_table(desk: Desk) -> None:
    for name in ("GetEvaluationResults", "GetEvaluationAnswers"):
        assert answer(desk, name, {"parent_job_id": "gone"}, None)["code"] == "not_found"
    told = say(desk, "GetEvaluationResults", parent_job_id=Batch(desk).id)
    assert (told["status"], told["metrics"]) == ("queued", []) and len(told["results"]) == 3


def test_rows_come_by_number_worst_best_or_most_unlike_first(batch: Batch) -> None:
    assert batch.order() == [0, 1, 2]
    assert batch.order(order="worst") == [2, 1, 0]
    assert batch.order(order="best") == [0, 1, 2]
    assert batch.order(order="differs") == [1, 2, 0]
    assert batch.order(order="worst", metric="loss") == [2, 1, 0]
    assert batch.order(order="worst", children=[batch.one]) == [1, 2, 0]
    told = batch.rows(order="worst", children=[batch.one])
    assert told["metric"] == "f1" and list(told["combinations"]) == [batch.one]
    assert told["rows"][0]["scores"] == {batch.one: {"exact_match": 0.0, "f1": 0.0, "loss": 1.0}}


def test_rows_are_found_by_number_by_text_and_where_right_and_wrong_differ(desk: Desk, batch: Batch) -> None:
    assert batch.order(row=2) == [2]
    missing = answer(desk, "GetEvaluationAnswers", {"parent_job_id": batch.id, "row": 9}, None)
    assert missing["code"] == "not_found" and "from 0 to 2" in missing["message"]
    assert batch.order(contains="üNVER") == [2] and batch.order(contains="TICKET 1") == [1]
    assert batch.order(differing=True) == [1]
    row = batch.rows(row=1)["rows"][0]
    assert (row["prompt"], row["expected"], row["features"]) == ("ticket 1", "open", {"id": 1})
    assert (row["answers"], row["correct"]) == (
        {batch.one: "said 1", batch.two: "said 1"},
        {batch.one: False, batch.two: True},
    )


def test_pages_go_on_after_the_rows_that_came_also_where_texts_are_long(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert batch.order(order="best", limit=2) == [0, 1] and batch.order(order="best", limit=2, after=2) == [2]
    assert (batch.rows(limit=2)["has_more"], batch.rows(limit=3)["has_more"]) == (True, False)
    monkeypatch.setattr(answers, "MOST_BYTES", 100)
    first = batch.rows()
    assert ([row["row"] for row in first["rows"]], first["total"], first["has_more"]) == ([0], 3, True)


def test_what_nobody_scored_or_asked_for_is_told_by_its_field(desk: Desk, batch: Batch) -> None:
    for field, value, rule in (("metric", "rougeX", "EV-127"), ("children", ["x"], "EV-128"), ("order", "x", "EV-126")):
        reply = answer(desk, "GetEvaluationAnswers", {"parent_job_id": batch.id, field: value}, None)
        assert [(each["rule"], each["field"]) for each in reply["breaches"]] == [(rule, field)]


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"row": true, "prompt": "p", "expected": "e", "answer": "a", "correct": true}\n',
        b'{"row": 7, "prompt": 1, "expected": "e", "answer": "a", "correct": true}\n',
        b"null\n",
        b'{"row": 1',
    ],
)
def test_lines_that_are_no_answers_are_passed_over(desk: Desk, broken: bytes) -> None:
    made = Batch(desk)
    odd = json.dumps(line(0, 0.5, scores={"f1": NAN, "x": "y", "good": 1}, features=[])).encode() + b"\n"
    made.score(made.one, broken + odd if broken.endswith(b"\n") else odd + broken)
    made.end()
    (row,) = made.rows(order="worst")["rows"]
    assert (row["row"], row["scores"], row["features"]) == (0, {made.one: {"exact_match": 0.0, "good": 1.0}}, {})


def test_scores_that_are_no_numbers_and_half_characters_keep_no_row_back(desk: Desk) -> None:
    made = Batch(desk)
    odd = {"f1": 10**400, "loss": NAN, "mine": float("inf"), "rouge1": 0.5}
    made.score(made.one, [line(0, 1.0, scores=odd, features={"note": "\ud800", "x": NAN}), line(1, 0.5)])
    made.end()
    first, _ = made.rows()["rows"]
    assert first["scores"][made.one] == {"exact_match": 1.0, "rouge1": 0.5} and first["features"]["note"] == "\ud800"
    assert made.order(order="worst", metric="f1") == [1, 0]


def test_answers_outside_the_artifacts_are_not_read(desk: Desk) -> None:
    made = Batch(desk)
    (desk.settings.project / "secret.jsonl").write_text(json.dumps(line(0, 1.0)))
    made.score(made.one, [], answers="../../secret.jsonl")
    made.score(made.two, [], answers="jobs/gone.jsonl")
    made.end()
    assert made.rows()["rows"] == []


def test_answers_of_a_version_without_scores_are_ordered_by_right_and_wrong(desk: Desk) -> None:
    made = Batch(desk)
    made.score(made.one, [{name: each for name, each in line(row, score).items() if name != "scores"} for row, score in ((0, 1.0), (1, 0.0))])  # fmt: skip
    made.end()
    told = made.rows(order="worst")
    assert (told["metric"], [row["row"] for row in told["rows"]]) == ("exact_match", [1, 0])
