"""An evaluation as a runner's child does it: a real base, real adapters, each combination on its own."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.spec import EvaluationSpec, ModelSource, Sampling
from gpu_runner import child, evaluate, holding, keeping, swapping
from gpu_runner.child import Context
from gpu_runner.data import load_rows, sample_and_split
from gpu_runner.failures import JobError
from gpu_runner.spool import Spool
from tests.runner.evaluations import ROWS, Attempt, finished, texts

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")


def test_base_and_adapters_share_one_load_and_answer_as_each_alone(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Any] = []
    real = swapping.load_model
    monkeypatch.setattr(swapping, "load_model", lambda *args: loads.append(args) or real(*args))
    together = Attempt(tmp_path / "together")
    end = finished(together.run(spec("one", "base", "two", "base")))
    assert end["outcome"] == "succeeded" and end["summary"]["evaluated"] == 4
    assert len(loads) == 1
    for name in ("one", "base", "two"):
        alone = Attempt(tmp_path / name)
        alone.run(spec(name))
        place = {"one": "1-one", "base": "2-base", "two": "3-two"}[name]
        assert texts(together, place) == texts(alone, f"1-{name}")
    assert texts(together, "2-base") == texts(together, "4-base")
    assert texts(together, "1-one") != texts(together, "2-base") != texts(together, "3-two")


def test_an_adapter_whose_weights_changed_since_it_was_added_is_not_asked(
    spec: Any, made: Path, tmp_path: Path
) -> None:
    asked = spec("one", "two", "lacking")
    recorded = hashlib.sha256((made / "one" / "adapter_model.safetensors").read_bytes()).hexdigest()
    for each, name in zip(
        asked["combinations"], ("adapter_model.safetensors",) * 2 + ("more.safetensors",), strict=True
    ):
        each["adapter"]["files"] = {name: recorded}
    attempt = Attempt(tmp_path)
    attempt.run(asked)
    told = attempt.scored()
    assert told["1-one"]["status"] == "succeeded"
    assert "adapter_model.safetensors changed since the adapter was added" in told["2-two"]["error"]
    assert "more.safetensors is gone since the adapter was added" in told["3-lacking"]["error"]


def test_answers_are_kept_whole_with_their_hash_and_told_as_scores(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    records = attempt.run(spec("one"))
    artifact = next(record for record in records if record["type"] == "artifact")
    path = tmp_path / artifact["path"]
    assert artifact["job_id"] == "1-one" and path.name == "answers-1-one.jsonl"
    assert artifact["files"] == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    rows, scored = attempt.answers("1-one"), attempt.scored()["1-one"]
    assert [row["row"] for row in rows] == list(range(ROWS)) and scored["rows"] == ROWS
    assert rows[3]["prompt"] == "w3 a b" and rows[3]["expected"] == "c w3" and rows[3]["features"] == {"answer": "c w3"}
    for name, field in (("exact_match", "correct"), ("stopped_by_eos", "stopped_by_eos"), ("new_tokens", "new_tokens")):
        assert scored["values"][name] == pytest.approx(sum(row[field] for row in rows) / ROWS)
    assert {"seconds", "tokens_per_second"} <= scored["values"].keys()
    steps = [record["step"] for record in records if record["type"] == "progress"]
    assert steps == sorted(steps) and steps[-1] == ROWS


def test_a_right_answer_counts_whatever_blanks_are_around_it(spec: Any, made: Path, tmp_path: Path) -> None:
    first = Attempt(tmp_path / "first")
    first.run(spec("one"))
    rows = [{"question": row["prompt"], "answer": row["answer"] + "\n"} for row in first.answers("1-one")]
    rows[0]["answer"] = "something else"
    (tmp_path / "right.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    right = {"id": "r", "name": "r", "type": "project_jsonl", "location": str(tmp_path / "right.jsonl")}
    second = Attempt(tmp_path / "second")
    second.run(spec("one", dataset=right))
    assert second.scored()["1-one"]["values"]["exact_match"] == pytest.approx((ROWS - 1) / ROWS)


@pytest.mark.parametrize("bad", ["lacking", "torn", "nowhere", "gone"])
def test_a_combination_that_fails_fails_alone(spec: Any, tmp_path: Path, bad: str) -> None:
    attempt, good = Attempt(tmp_path / "bad"), Attempt(tmp_path / "good")
    records = attempt.run(spec("one", bad, "base", "two"))
    good.run(spec("one", "base", "two"))
    assert finished(records)["outcome"] == "succeeded" and finished(records)["summary"]["failed"] == 1
    scored = attempt.scored()
    assert {name: record["status"] for name, record in scored.items()} == {
        "1-one": "succeeded",
        f"2-{bad}": "failed",
        "3-base": "succeeded",
        "4-two": "succeeded",
    }
    assert bad in scored[f"2-{bad}"]["error"]
    assert texts(attempt, "3-base") == texts(good, "2-base") and texts(attempt, "4-two") == texts(good, "3-two")
    assert [record["step"] for record in records if record["type"] == "progress"][-1] == 4 * ROWS


def test_when_all_fail_the_batch_fails_and_says_why(spec: Any, tmp_path: Path) -> None:
    end = finished(Attempt(tmp_path).run(spec("gone")))
    assert end["outcome"] == "failed" and "gone" in end["error"]["message"]


def test_a_prompt_that_no_row_fits_fails_the_batch_as_its_users_fault(spec: Any, tmp_path: Path) -> None:
    whole = spec("base")
    whole["prompt"]["input_template"] = "{nothing}"
    end = finished(Attempt(tmp_path).run(whole))
    assert end["error"]["kind"] == "user_error" and "nothing" in end["error"]["message"]


def test_a_combination_that_was_cancelled_is_left_out(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    attempt.order(cancelled=["1-one"])
    end = finished(attempt.run(spec("one", "base")))
    scored = attempt.scored()
    assert (scored["1-one"]["status"], scored["2-base"]["status"]) == ("cancelled", "succeeded")
    assert end["outcome"] == "succeeded" and not (attempt.directory / "answers-1-one.jsonl").exists()


@pytest.mark.timeout(60)
def test_a_combination_whose_answers_wait_for_room_is_left_out_when_it_is_cancelled_and_the_others_go_on(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, tries, publish = Attempt(tmp_path), list[str](), keeping.publish_file
    monkeypatch.setattr(child, "LOOK", 0.0)
    monkeypatch.setattr(holding, "LONGEST", 0.02)

    def full(path: Path, pieces: Iterable[str]) -> str:
        if path.name != "answers-1-one.jsonl":
            return publish(path, pieces)
        tries.append(path.name)
        if len(tries) == 3:
            attempt.order(cancelled=["1-one"])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keeping, "publish_file", full)
    end = finished(attempt.run(spec("one", "base")))
    assert (attempt.scored()["1-one"]["status"], attempt.scored()["2-base"]["status"]) == ("cancelled", "succeeded")
    assert end["outcome"] == "succeeded" and set(tries) == {"answers-1-one.jsonl"} and len(tries) == 3
    assert [each["type"] for each in attempt.records() if "held" in each["type"]] == ["held", "unheld"]


@pytest.mark.parametrize(("order", "outcome"), [("cancel", "cancelled"), ("pause", "paused")])
def test_an_order_ends_the_batch_between_two_pieces_of_work(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, outcome: str
) -> None:
    attempt = Attempt(tmp_path)
    monkeypatch.setattr(child, "LOOK", 0.0)
    real = evaluate.generate

    def ordered(*args: Any, **others: Any) -> Any:
        if len([record for record in attempt.records() if record["type"] == "scored"]) == 3:
            attempt.order(order=order)
        return real(*args, **others)

    monkeypatch.setattr(evaluate, "generate", ordered)
    end = finished(attempt.run(spec("one", "base", "two")))
    assert end["outcome"] == outcome
    assert attempt.scored()["1-one"]["status"] == "succeeded"
    assert attempt.scored()["2-base"]["status"] == ("cancelled" if order == "cancel" else "running")
    assert "3-two" not in attempt.scored()


def test_the_next_attempt_takes_over_what_is_scored(spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Attempt(tmp_path)
    first.run(spec("one"))
    second = Attempt(tmp_path, 2)
    asked: list[int] = []
    real = evaluate.generate
    monkeypatch.setattr(evaluate, "generate", lambda *args, **others: asked.append(1) or real(*args, **others))
    records = second.run(spec("one", "base"))
    assert len(asked) == 1 and finished(records)["summary"]["evaluated"] == 2
    assert second.scored()["1-one"] | {"at": 0, "offset": 0} == first.scored()["1-one"] | {"at": 0, "offset": 0}
    (tmp_path / first.scored()["1-one"]["answers"]).unlink()
    Attempt(tmp_path, 3).run(spec("one", "base"))
    assert len(asked) == 2
    anew = Attempt(tmp_path, 4)
    (anew.directory / "fresh").touch()
    anew.run(spec("one", "base"))
    assert len(asked) == 4


def rows_of(tmp_path: Path, spec: dict[str, Any]) -> list[int]:
    directory = tmp_path / "jobs" / "batch" / "1"
    directory.mkdir(parents=True, exist_ok=True)
    context = Context(directory, Spool(directory / "events.jsonl"))
    rows = evaluate.choose_rows(EvaluationSpec.model_validate(spec), context)
    return [int(str(row["answer"]).removeprefix("c w")) for row in rows]


def test_the_rows_are_those_that_the_adapters_training_held_out(spec: Any, tmp_path: Path) -> None:
    sampling = {"fraction": 1.0, "split": 0.75, "seed": 42}
    whole = spec("one", sampling=sampling)
    asked = rows_of(tmp_path, whole)
    dataset = EvaluationSpec.model_validate(whole).dataset
    trained, _ = sample_and_split(load_rows(dataset), Sampling(**sampling))
    assert len(asked) == 6 and not {f"c w{number}" for number in asked} & {row["answer"] for row in trained}


def test_a_fraction_of_the_rows_is_drawn_once_and_for_all(spec: Any, tmp_path: Path) -> None:
    drawn = rows_of(tmp_path, spec("one", fraction=0.25))
    assert len(set(drawn)) == 6 and drawn == sorted(drawn)
    assert (
        drawn == rows_of(tmp_path, spec("two", fraction=0.25)) != rows_of(tmp_path, spec("one", fraction=0.25, seed=1))
    )
    assert len(rows_of(tmp_path, spec("one", fraction=0.001))) == 1
    assert rows_of(tmp_path, spec("one")) == list(range(ROWS))


def test_a_training_that_held_nothing_out_has_nothing_to_ask(spec: Any, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no held-out rows"):
        rows_of(tmp_path, spec("one", sampling={"split": 1.0}))


def test_each_is_asked_as_it_was_taught_in_plain_text_or_in_turns(spec: Any, made: Path, tmp_path: Path) -> None:
    talker = shutil.copytree(made / "base", tmp_path / "talker")
    (talker / "chat_template.jinja").write_text(
        "<s> {% for m in messages %}{{ m.role[0] }} {{ m.content }} {% endfor %}"
        "{% if add_generation_prompt %}z {% endif %}"
    )
    attempt, whole = Attempt(tmp_path), spec("base", "one")
    for each in whole["combinations"]:
        each["model"]["location"] = str(talker)
    whole["combinations"][1]["chat_template"] = True
    assert finished(attempt.run(whole))["outcome"] == "succeeded"
    plain, turns = (attempt.answers(name)[3] for name in ("1-base", "2-one"))
    assert (plain["prompt"], plain["expected"]) == ("w3 a b", "c w3")
    assert (turns["prompt"], turns["expected"]) == ("<s> u w3 a b z ", "c w3")
    talks = [[{"role": "user", "content": f"w{n}"}, {"role": "assistant", "content": "c"}] for n in range(5)]
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in talks))
    whole["dataset"] |= {"location": str(tmp_path / "talks.jsonl")}
    whole["combinations"] = [whole["combinations"][1]]
    whole |= {"prompt": dict.fromkeys(whole["prompt"], ""), "selected_features": []}
    other = Attempt(tmp_path / "other")
    assert finished(other.run(whole))["outcome"] == "succeeded"
    assert [each["prompt"] for each in other.answers("2-one")] == [f"<s> u w{n} z " for n in range(5)]


@pytest.mark.parametrize(("stored", "computed"), [(torch.float32, "fp32"), (torch.bfloat16, "bf16")])
def test_on_a_processor_a_model_is_asked_in_its_own_precision(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: torch.dtype, computed: str
) -> None:
    monkeypatch.setattr(evaluate, "cpu_has_bf16", lambda: True)
    monkeypatch.setattr("gpu_runner.device.cpu_has_bf16", lambda: True)
    AutoModelForCausalLM.from_pretrained(made / "base", dtype=stored).save_pretrained(tmp_path / "model")
    told: list[str] = []
    source = ModelSource(id="m", name="m", location=str(tmp_path / "model"))
    assert evaluate.device_for(source, 0, None, told.append).precision == computed
    gone = ModelSource(id="g", name="g", location=str(tmp_path / "gone"))
    assert evaluate.device_for(gone, 0, None, told.append).precision == "fp32" and told == []
