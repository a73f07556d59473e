"""Evaluations whose combinations run apart: what comes of the parts, put together, is what one process makes of all."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.spec import EvaluationSpec
from gpu_runner import child, evaluate
from gpu_runner.child import Context
from gpu_runner.keeping import scored_before
from gpu_runner.spool import Spool, read_records
from gpu_runner.together import Together
from tests.runner.evaluations import ROWS, Attempt, finished
from tests.runner.test_harness import harness  # noqa: F401  # every test has tasks to ask
from tests.runner.test_own_metrics import LENGTH, scripts, sealed  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
TIMES = ("seconds", "latency", "tokens_per_second")


def look() -> None:
    """Nothing stops it."""


class Apart(Attempt):
    """An attempt whose combinations are scored one by one, each as a process of its own would."""

    def part(self, spec: dict[str, Any], number: int) -> int:
        """Score a combination; the exit code."""
        (self.directory / "spec.json").write_text(json.dumps(spec))
        where = self.directory / "parts" / str(number)
        where.mkdir(parents=True, exist_ok=True)
        (where / "part.json").write_text(json.dumps({"alone": spec["combinations"][number]["job_id"]}))
        return child.run(self.directory, None, part=number)

    def together(self, spec: dict[str, Any]) -> Together:
        """Who puts them together, as it is when it begins, or begins anew."""
        context = Context(self.directory, Spool(self.directory / "events.jsonl"))
        made = Together(EvaluationSpec.model_validate(spec), context, scored_before(self.directory, parts=True))
        made.recall(self.records())
        return made

    def put(self, together: Together, numbers: Sequence[int]) -> None:
        """Have what these parts have said taken in, and said what can be said by then."""
        for number in numbers:
            records, _ = read_records(self.directory / "parts" / str(number) / "events.jsonl", 0, 1 << 24)
            for record in records:
                if (told := together.translate(number, record)) is not None:
                    together.context.spool.write(**told)
        together.settle(look)

    def whole(self, spec: dict[str, Any], order: Sequence[int]) -> list[dict[str, Any]]:
        """The parts one by one, each taken in when it is over; the batch's records."""
        together = self.together(spec)
        for number in order:
            self.part(spec, number)
            self.put(together, [number])
        self.finish(together)
        return self.records()

    def finish(self, together: Together) -> None:
        assert together.open == []
        end = together.finish(look)
        together.context.spool.write(**end.model_dump(mode="json"))


def untimed(told: Any) -> Any:
    """The same without what a clock tells."""
    if isinstance(told, dict):
        return {name: untimed(each) for name, each in told.items() if name not in (*TIMES, "at", "offset", "part")}
    return [untimed(each) for each in told] if isinstance(told, list) else told


def results(root: Path, end: dict[str, Any]) -> tuple[Any, list[list[str]]]:
    """The files of results, without what a clock tells."""
    files = {kind: root / path for kind, path in end["summary"]["results"].items()}
    with files["csv"].open(newline="") as file:
        first, *rows = csv.reader(file)
    places = [place for place, name in enumerate(first) if not name.endswith(TIMES)]
    return untimed(json.loads(files["json"].read_text())), [[row[place] for place in places] for row in (first, *rows)]


def test_combinations_that_run_apart_come_to_what_one_process_makes_of_all(
    spec: Any,
    scripts: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    asked = spec("base", "one", "torn", "two", tasks=["quiz"], metrics=[sealed(scripts, "mine.py", LENGTH)])
    one, apart = Attempt(tmp_path / "one"), Apart(tmp_path / "apart")
    expected, told = one.run(asked), apart.whole(asked, (3, 0, 2, 1))
    assert untimed(finished(told)) == untimed(finished(expected))
    assert finished(told)["summary"]["evaluated"] == 3 and finished(told)["summary"]["failed"] == 1
    assert results(apart.root, finished(told)) == results(one.root, finished(expected))
    assert untimed(apart.scored()) == untimed(one.scored())
    sure = {id: each["statistics"] for id, each in apart.scored().items() if each["status"] == "succeeded"}
    for name in ("f1", "loss", "mine_words", "quiz.acc"):
        assert [id for id in sure if sure[id][name]["delta"] is None] == ["2-one"]
        assert sure["4-two"][name]["p"] is not None
    assert (
        sure["4-two"]["mine_words"]["higher_is_better"] is sure["4-two"]["quiz.wer.strict"]["higher_is_better"] is False
    )
    assert warnings(told) == warnings(expected) and len(warnings(told)) == 1
    assert logged(told) == logged(expected) and len(logged(told)) > 3
    own = [line.partition(" exact match")[0] for line in logged(told) if "exact match" in line]
    assert own == ["evaluation 1: base (base):", "evaluation 2: one:", "evaluation 4: two:"]
    (torn,) = [each["text"] for each in told if each["type"] == "log" and each["level"] == "error"]
    assert torn.startswith("evaluation 3: ")
    started = [each for each in told if each["type"] == "started"]
    assert len(started) == 1 and started[0]["total_steps"] == 4 * ROWS
    steps = [each["step"] for each in told if each["type"] == "progress"]
    assert steps == sorted(steps) and steps[-1] == 4 * ROWS


def logged(records: list[dict[str, Any]]) -> list[str]:
    return sorted(each["text"] for each in records if each["type"] == "log" and each["level"] == "info")


def warnings(records: list[dict[str, Any]]) -> list[str]:
    return [each["text"] for each in records if each["type"] == "warning"]


def test_the_next_attempt_asks_only_what_no_part_before_has_answered(spec: Any, tmp_path: Path) -> None:
    asked = spec("one", "base", "two")
    whole = Attempt(tmp_path / "whole")
    whole.run(asked)
    first = Apart(tmp_path / "apart")
    first.part(asked, 1)
    first.part(asked, 2)
    first.put(first.together(asked), [2])  # the other was answered, and nobody heard of it
    second = Apart(tmp_path / "apart", 2)
    together = second.together(asked)
    assert together.open == [0]
    together.settle(look)
    assert second.scored() == {}  # how many rows this attempt asks is not known yet
    second.part(asked, 0)
    second.put(together, [0])
    second.finish(together)
    assert untimed(second.scored()) == untimed({**whole.scored(), **{
        id: {**each, "answers": each["answers"].replace("batch/1", "batch/2")}
        for id, each in whole.scored().items() if id == "1-one"
    }})  # fmt: skip
    third = Apart(tmp_path / "apart", 3)
    together = third.together(asked)
    together.settle(look)
    third.finish(together)
    assert finished(third.records())["summary"]["rows"] == ROWS
    assert results(third.root, finished(third.records())) == results(whole.root, finished(whole.records()))


def test_parts_that_were_scored_before_their_baseline_are_compared_when_a_later_attempt_has_scored_that(
    spec: Any, tmp_path: Path
) -> None:
    asked, whole = spec("one", "base", "two"), Attempt(tmp_path / "whole")
    whole.run(asked)
    first = Apart(tmp_path / "apart")
    for number in (1, 2):
        first.part(asked, number)
    together = first.together(asked)
    first.put(together, [1, 2])
    together.end(0, "failed", "its run was lost")
    together.settle(look)
    assert first.scored()["3-two"]["statistics"]["f1"]["delta"] is None
    second = Apart(tmp_path / "apart", 2)
    together = second.together(asked)
    assert together.open == [0]
    second.part(asked, 0)
    second.put(together, [0])
    second.finish(together)
    for name in ("1-one", "2-base", "3-two"):
        assert second.scored()[name]["statistics"] == whole.scored()[name]["statistics"]


def test_what_an_earlier_attempt_asked_of_other_rows_is_asked_again(spec: Any, tmp_path: Path) -> None:
    Apart(tmp_path).whole(spec("one", "base"), (0, 1))
    second, fewer = Apart(tmp_path, 2), spec("one", "base", "two", fraction=0.5)
    together = second.together(fewer)
    assert together.open == [2]
    second.part(fewer, 2)
    second.put(together, [2])
    assert together.open == [0, 1]
    second.part(fewer, 0)
    second.part(fewer, 1)
    second.put(together, [0, 1])
    second.finish(together)
    assert [each["rows"] for each in second.scored().values()] == [ROWS // 2] * 3


def test_what_no_part_can_begin_with_fails_the_batch_as_it_fails_one_process(spec: Any, tmp_path: Path) -> None:
    asked = spec("one", "base")
    asked["prompt"]["input_template"] = "{nothing}"
    expected, apart = finished(Attempt(tmp_path / "one").run(asked)), Apart(tmp_path / "apart")
    told = finished(apart.whole(asked, (0, 1)))
    assert told["outcome"] == "failed"
    assert {**told["error"], "traceback": ""} == {**expected["error"], "traceback": ""}
    assert {each["status"] for each in apart.scored().values()} == {"failed"}


def test_when_each_part_fails_of_its_own_the_batch_says_of_what_the_first_did(spec: Any, tmp_path: Path) -> None:
    end = finished(Apart(tmp_path).whole(spec("torn", "gone"), (0, 1)))
    assert (
        end["error"]["message"].startswith("no combination could be evaluated: ") and "torn" in end["error"]["message"]
    )


def test_a_part_that_was_cancelled_is_left_out_and_without_any_the_batch_is_cancelled(
    spec: Any, tmp_path: Path
) -> None:
    some, none = Apart(tmp_path / "some"), Apart(tmp_path / "none")
    some.order(cancelled=["1-one"])
    end = finished(some.whole(spec("one", "base"), (0, 1)))
    assert end["outcome"] == "succeeded" and end["summary"]["evaluated"] == 1
    assert [each["status"] for each in some.scored().values()] == ["cancelled", "succeeded"]
    assert warnings(some.records()) == [
        "nothing is compared: the baseline, the first adapter of the batch, was not scored"
    ]
    none.order(cancelled=["1-one"])
    assert finished(none.whole(spec("one"), (0,)))["outcome"] == "cancelled"


def test_a_pod_that_is_started_anew_asks_nothing_again(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, asked = Apart(tmp_path), spec("one", "base")
    attempt.part(asked, 1)
    monkeypatch.setattr(evaluate, "generate", None)
    assert attempt.part(asked, 1) == 0
    attempt.put(together := attempt.together(asked), [1])
    assert together.open == [0]


def test_answers_that_are_seen_late_are_waited_for_and_those_that_never_come_fail_their_combination_alone(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, asked = Apart(tmp_path), spec("one", "base", "two")
    for number in range(3):
        attempt.part(asked, number)
    late = attempt.directory / "answers-1-one.jsonl"
    late.rename(tmp_path / "elsewhere")
    (attempt.directory / "answers-3-two.jsonl").unlink()
    attempt.put(together := attempt.together(asked), range(3))
    assert {each["status"] for each in attempt.scored().values()} == {"running"}
    (tmp_path / "elsewhere").rename(late)
    together.settle(look)
    assert [each["status"] for each in attempt.scored().values()] == ["succeeded", "succeeded", "running"]
    monkeypatch.setattr("gpu_runner.together.LATE", 0.0)
    together.settle(look)
    attempt.finish(together)
    assert finished(attempt.records())["summary"]["failed"] == 1
    assert "answers-3-two.jsonl" in attempt.scored()["3-two"]["error"]
