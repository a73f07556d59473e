"""A session answers what is asked, piece by piece and side by side, draws rows, stops, and ends when nobody asks."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.messages.runners import Question
from core.spec import AdapterSource, ModelSource
from gpu_runner import child, talk
from gpu_runner.asking import Asking, asked
from gpu_runner.device import Device
from gpu_runner.speaking import Speaker
from gpu_runner.spool import Spool
from tests.runner.attempts import Attempt
from tests.runner.tiny import make_adapter, make_model, make_rows

CPU = Device("cpu", "fp32")
GREEDY = {"do_sample": False, "max_new_tokens": 8}
WAIT = 120.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    root = tmp_path_factory.mktemp("compare")
    model = make_model(root / "model", decided=30, max_position_embeddings=4096)
    return model, make_adapter(root / "adapter", model, seed=1), make_rows(root / "rows.jsonl")


def spec(made: tuple[Path, Path, Path], **extra: Any) -> dict[str, Any]:
    model, adapter, rows = made
    prompt = {"id": "p", "name": "p", "prompt_template": "{question} {answer}"}
    prompt |= {"input_template": "{question}", "completion_template": "{answer}"}
    asked = {
        "kind": "comparison",
        "job_id": "job",
        "name": "c",
        "model": {"id": "m", "name": "m", "location": str(model)},
        "voices": [{}, {"adapter": {"id": "a", "name": "tuned", "location": str(adapter)}}],
        "dataset": {"id": "d", "name": "d", "type": "project_jsonl", "location": str(rows)},
        "prompt": prompt,
        "generation": GREEDY,
        "idle_seconds": 600,
        "resources": {"cpus": 1, "gpus": 0, "memory": 1},
    }
    return {**asked, **extra}


class Session:
    """A child that runs in a thread, asked as the daemon asks it."""

    def __init__(self, root: Path, spec: dict[str, Any]) -> None:
        self.attempt = Attempt(root)
        directory = self.attempt.prepare(spec)
        self.asking, self.open = Asking(directory / "asked.json"), list[Question]()
        self.thread = threading.Thread(target=child.run, args=(directory, None))
        self.thread.start()

    def ask(self, number: int, prompt: str | None, **fields: Any) -> None:
        self.open.append(Question(number=number, prompt=prompt, **{"voices": ["", "a"], "seed": number, **fields}))
        self.asking.hand_on(self.open)

    def stop(self, number: int) -> None:
        self.open = [each.model_copy(update={"stopped": each.stopped or each.number == number}) for each in self.open]
        self.asking.hand_on(self.open)

    def until(self, found: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WAIT
        while not (value := found()):
            assert time.monotonic() < deadline and self.thread.is_alive(), self.attempt.records()[-3:]
            time.sleep(0.005)
        return value

    def answers(self, number: int) -> dict[str, dict[str, Any]]:
        """By voice: the text as the pieces make it, and the last piece."""
        made: dict[str, dict[str, Any]] = {}
        for each in self.attempt.records("said"):
            if each["question"] == number:
                before = made.get(each["voice"], {"text": ""})["text"]
                assert each["start"] <= len(before)
                made[each["voice"]] = {**each, "text": before[: each["start"]] + each["text"]}
        return made

    def done(self, number: int, voices: int = 2) -> dict[str, dict[str, Any]]:
        return self.until(
            lambda: sum(each["done"] for each in self.finished(number)) == voices and self.answers(number)
        )

    def finished(self, number: int) -> list[dict[str, Any]]:
        return [{"done": each.get("done", False)} for each in self.answers(number).values()]

    def order(self, order: str) -> dict[str, Any]:
        (self.attempt.directory / "control.json").write_text(json.dumps({"order": order}))
        self.thread.join(WAIT)
        return self.attempt.finished()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Session]]:
    started: list[Session] = []

    def run(spec: dict[str, Any]) -> Session:
        started.append(Session(tmp_path, spec))
        return started[-1]

    yield run
    for each in started:
        if each.thread.is_alive():
            each.order("cancel")


def test_base_and_adapter_answer_side_by_side_what_each_says_alone(made: Any, begin: Any) -> None:
    model, adapter, _ = made
    source = ModelSource(id="m", name="m", location=str(model))
    alone = Speaker(source, {"a": AdapterSource(id="a", name="a", location=str(adapter))}, CPU)
    session = begin(spec(made))
    session.ask(1, "w1 w2")
    session.ask(2, "w3", generation={"max_new_tokens": 3}, voices=["a"])
    told = session.done(1)
    for voice in ("", "a"):
        last = list(alone.speak("w1 w2", voice or None, GREEDY))[-1]
        assert told[voice]["text"] == last.whole and told[voice]["reason"] == last.reason
        assert (told[voice]["tokens"], told[voice]["prompt_tokens"]) == (last.new_tokens, 2)
        assert 0 < told[voice]["first_seconds"] <= told[voice]["seconds"]
    assert told[""]["text"] != told["a"]["text"]
    assert session.done(2, voices=1)["a"]["tokens"] <= 3
    finished = session.order("cancel")
    assert finished["outcome"] == "cancelled"


def test_a_row_is_drawn_that_no_voice_learned(made: Any, begin: Any) -> None:
    dataset = spec(made)["dataset"]
    sampling = {"split": 0.5, "seed": 42}
    training = {"job_id": "j", "dataset": dataset, "sampling": sampling}
    session = begin(spec(made, sampling=sampling, learned=[training]))
    for number in range(1, 5):
        session.ask(number, None)
        session.done(number)
    drawn = session.attempt.records("drawn")
    assert [each["question"] for each in drawn] == [1, 2, 3, 4] and len({each["row"] for each in drawn}) > 1
    assert all(each["held_out"] and each["row"] < 12 for each in drawn)
    number = drawn[0]["prompt"].split()[0]
    assert (drawn[0]["prompt"], drawn[0]["expected"]) == (f"{number} a b", f"c {number}")


def test_what_is_stopped_says_no_more_and_the_other_goes_on(made: Any, begin: Any) -> None:
    session = begin(spec(made, generation={"max_new_tokens": 60, "min_new_tokens": 60}))
    session.ask(1, "w1", generation={"max_new_tokens": 4000, "min_new_tokens": 4000})
    session.ask(2, "w2")
    session.until(lambda: any(each["text"] for each in session.answers(1).values()))
    session.stop(1)
    stopped = session.done(1)
    assert {each["reason"] for each in stopped.values()} == {"stopped"}
    assert all(each["tokens"] < 4000 for each in stopped.values())
    assert {(each["reason"], each["tokens"]) for each in session.done(2).values()} == {("length", 60)}


def test_one_that_can_not_answer_says_why_and_the_others_answer(made: Any, begin: Any, tmp_path: Path) -> None:
    broken = {"adapter": {"id": "x", "name": "gone", "location": str(tmp_path / "nowhere")}}
    chatty = {**spec(made)["voices"][1], "chat_template": True}
    session = begin(spec(made, voices=[{}, chatty, broken], dataset=None))
    session.ask(1, "w1", voices=["", "a", "x"])
    told = session.done(1, voices=3)
    assert told[""]["reason"] in ("eos", "length")
    assert told["a"]["reason"] == told["x"]["reason"] == "failed"
    assert "no chat template" in told["a"]["error"] and "gone" in told["x"]["error"]
    assert any("gone can't answer" in each["text"] for each in session.attempt.records("warning"))
    session.ask(2, None, voices=[""])
    assert "no dataset" in session.done(2, voices=1)[""]["error"]
    session.ask(3, "w1", voices=[""], generation={"do_sample": True, "temperature": -1.0})
    assert session.done(3, voices=1)[""]["reason"] == "failed"
    session.ask(4, "w1", voices=[""])
    assert session.done(4, voices=1)[""]["reason"] in ("eos", "length")


def test_a_session_whose_gpu_is_lost_ends_and_one_that_ran_out_of_memory_goes_on(
    made: Any, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Speaker.speak

    def speak(self: Speaker, prompt: Any, *given: Any, **more: Any) -> Any:
        if prompt in ("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", "device-side assert triggered"):
            raise RuntimeError(f"CUDA error: {prompt}")
        return real(self, prompt, *given, **more)

    monkeypatch.setattr(Speaker, "speak", speak)
    session = begin(spec(made))
    session.ask(1, "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", voices=[""])
    assert "memory ran out" in session.done(1, voices=1)[""]["error"]
    session.ask(2, "w1", voices=[""])
    assert session.done(2, voices=1)[""]["reason"] in ("eos", "length")
    session.ask(3, "device-side assert triggered", voices=[""])
    session.thread.join(WAIT)
    finished = session.attempt.finished()
    assert finished["outcome"] == "failed" and "device-side assert" in finished["error"]["message"]


def test_what_is_not_done_as_asked_is_told_once(made: Any, begin: Any) -> None:
    session = begin(spec(made))
    session.ask(1, " ".join(["w1"] * 5000))
    assert session.done(1)["a"]["prompt_tokens"] == 4088
    told = [each["text"] for each in session.attempt.records("warning")]
    assert len(told) == 1 and told[0].startswith("question 1:") and "were cut in front" in told[0]


def test_questions_are_handed_on_when_they_changed_and_again_when_that_failed(tmp_path: Path) -> None:
    path, question = tmp_path / "there" / "asked.json", Question(number=1, prompt="x", voices=[""])
    asking = Asking(path)
    asking.hand_on([])
    asking.hand_on([question])  # there is no such directory
    path.parent.mkdir()
    asking.hand_on([question])
    assert asked(path) == [question]
    before = path.stat().st_ino
    asking.hand_on([question])
    assert path.stat().st_ino == before
    asking.hand_on([])
    assert asked(path) == []
    path.write_text("{")
    assert asked(path) is None


def test_what_the_runner_holds_comes_again_without_its_text(tmp_path: Path) -> None:
    path = tmp_path / "asked.json"
    whole = [Question(number=number, prompt=f"text {number}", voices=[""], generation={"a": 1}) for number in (1, 2)]
    asking = Asking(path)
    asking.hand_on(whole)
    assert asking.held == [1, 2]
    asking.hand_on([Question(number=2, held=True, voices=[""], stopped=True)])
    assert asked(path) == [whole[1].model_copy(update={"stopped": True})] and asking.held == [2]
    again = Asking(path)  # of a daemon that was started again
    again.hand_on([Question(number=2, held=True, voices=[""]), whole[0]])
    assert asked(path) == [whole[0]] and again.held == [1]


def test_questions_that_can_not_be_read_for_a_moment_are_answered_all_the_same(
    made: Any, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, real = iter([True] * 3), talk.asked
    monkeypatch.setattr(talk, "asked", lambda path: None if next(away, False) else real(path))
    session = begin(spec(made))
    session.ask(1, "w1")
    assert len(session.done(1)) == 2


def test_an_answer_that_a_full_disk_did_not_take_is_told_when_there_is_room(
    made: Any, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, refused, real = threading.Event(), list[bytes](), Spool._append

    def append(self: Spool, line: bytes) -> None:
        if b'"done": true' in line and not refused:
            full.set()
        if full.is_set():
            refused.append(line)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, line)

    monkeypatch.setattr(Spool, "_append", append)
    session = begin(spec(made))
    session.ask(1, "w1", voices=[""])
    session.until(lambda: len(refused) > 1)  # the end of the answer, and that questions are waited for again
    full.clear()
    assert session.done(1, voices=1)[""]["reason"] in ("eos", "length")


def test_it_ends_when_nobody_asks_and_not_while_it_answers(made: Any, begin: Any) -> None:
    session = begin(spec(made, idle_seconds=0.5))
    session.ask(1, "w1", generation={"max_new_tokens": 100, "min_new_tokens": 100})
    session.thread.join(WAIT)
    finished = session.attempt.finished()
    assert finished["outcome"] == "succeeded" and finished["summary"]["questions"] == 1
    assert finished["summary"]["tokens"] == 200
    assert {each["tokens"] for each in session.answers(1).values()} == {100}


def test_what_was_asked_in_the_last_moment_is_answered(made: Any, begin: Any) -> None:
    session = begin(spec(made, idle_seconds=1e-9))
    session.ask(1, "w1")  # while the model is loaded
    session.thread.join(WAIT)
    assert session.attempt.finished()["summary"]["questions"] == 1
    assert {each["reason"] for each in session.answers(1).values()} <= {"eos", "length"} and session.answers(1)


def test_it_lets_go_when_its_runner_drains(made: Any, begin: Any) -> None:
    session = begin(spec(made))
    session.until(lambda: session.attempt.records("started"))
    assert session.order("pause")["outcome"] == "paused"


def test_a_model_that_can_not_be_loaded_fails_the_session(made: Any, begin: Any, tmp_path: Path) -> None:
    session = begin(spec(made, model={"id": "m", "name": "m", "location": str(tmp_path / "none")}))
    session.thread.join(WAIT)
    assert session.attempt.finished()["outcome"] == "failed"
