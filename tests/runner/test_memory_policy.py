"""Memory runs out in the middle of a training: it goes on with less at once, on the same rows, to the same adapter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from trl import SFTTrainer

from core.types import FailureClass
from gpu_runner.pieces import rows_of, shared_out
from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, tiny_spec

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
ARGUMENTS = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 8,
    "learning_rate": 0.01,
    "save_steps": 3,
    "eval_strategy": "no",
}
LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def spec(base: Path, tmp_path: Path) -> Any:
    """A job of rows of all lengths; `arguments` go over its training arguments."""
    rows = tmp_path / "rows.jsonl"
    lines = [{"question": "a b " * (1 + n % 5) + f"w{n}", "answer": f"c w{n}"} for n in range(44)]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def of(arguments: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
        given = {"training_arguments": ARGUMENTS | (arguments or {}), "lora": LORA, **extra}
        return tiny_spec("job", tmp_path, base, rows, **given)

    return of


class Room:
    """Memory for so many rows (or packed documents) at once, from a step on; what was computed, step by step."""

    def __init__(self, rows: int, from_step: int = 0, nth: int = 0) -> None:
        self.rows, self.from_step, self.nth = rows, from_step, nth
        self.steps: dict[int, list[tuple[int, ...]]] = {}
        self.sizes: dict[int, list[int]] = {}

    @contextmanager
    def of(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
        real, seen, room = SFTTrainer.training_step, dict[int, int](), self

        def step(trainer: Any, model: Any, inputs: Any, items: Any = None) -> Any:
            at, rows = trainer.state.global_step, rows_of(inputs)
            loss = real(trainer, model, dict(inputs), items)  # its gradients are there when memory runs out
            seen[at] = seen.get(at, 0) + 1
            if len(rows) > room.rows and at >= room.from_step and seen[at] > room.nth:
                room.steps[at], room.sizes[at] = [], []
                raise torch.OutOfMemoryError(FULL)
            room.steps.setdefault(at, []).extend(tuple(row["input_ids"]) for row in rows)
            room.sizes.setdefault(at, []).append(len(rows))
            return loss

        with monkeypatch.context() as patched:
            patched.setattr(SFTTrainer, "training_step", step)
            yield self


@pytest.mark.decision("D-161")
def test_a_job_short_of_memory_ends_as_one_that_was_told_to_take_less_at_once_to_the_bit(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough, short = Room(100), Room(2)
    with enough.of(monkeypatch):
        told = Attempt(tmp_path / "told")
        told.run(spec({"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}, length_grouped=True))
    with short.of(monkeypatch):
        attempt = Attempt(tmp_path / "short")
        end = attempt.run(spec(length_grouped=True, out_dir=str(tmp_path / "other")))
    assert end["outcome"] == "succeeded", end["error"]
    oom = [(each["step"], each["batch"], each["accumulation"]) for each in attempt.records("oom")]
    assert oom == [(1, 4, 2), (1, 2, 4)]
    assert short.steps == enough.steps and set(short.sizes[0]) == {2}
    assert attempt.adapter().read_bytes() == told.adapter().read_bytes()
    losses = [[each["values"]["loss"] for each in made.records("metrics")] for made in (told, attempt)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    tokens = [[each["values"]["num_tokens"] for each in made.records("metrics")] for made in (told, attempt)]
    assert tokens[0] == tokens[1]


@pytest.mark.parametrize("nth", [0, 1])
def test_memory_that_runs_out_later_changes_neither_the_order_of_rows_nor_the_steps(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    arguments = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    enough, short = Room(100), Room(2, from_step=4, nth=nth)
    with enough.of(monkeypatch):
        Attempt(tmp_path / "told").run(spec(arguments))
    with short.of(monkeypatch):
        attempt = Attempt(tmp_path / "short")
        end = attempt.run(spec(arguments, out_dir=str(tmp_path / "other")))
    assert end["outcome"] == "succeeded", end["error"]
    assert [each["step"] for each in attempt.records("oom")] == [5]
    assert short.steps == enough.steps
    assert [max(short.sizes[step]) for step in (3, 4)] == [4, 2]


def test_a_job_that_was_short_of_memory_is_resumed_with_less_at_once_and_ends_with_the_same_adapter(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Room(4).of(monkeypatch):
        whole = Attempt(tmp_path / "whole")
        whole.run(spec(out_dir=str(tmp_path / "other")))
        first = Attempt(tmp_path, 1)
        assert first.run(spec(), order="pause")["outcome"] == "paused"
    assert first.checkpoints() == ["checkpoint-1"] and first.records("oom")
    second, there = Attempt(tmp_path, 2), Room(100)
    with there.of(monkeypatch):
        assert second.run(spec())["outcome"] == "succeeded"
    assert second.records("oom") == [] and {size for sizes in there.sizes.values() for size in sizes} == {4, 3}
    assert second.adapter().read_bytes() == whole.adapter().read_bytes()


@pytest.mark.parametrize("documents", [8, 3])
def test_packed_rows_are_cut_between_documents_even_where_the_loader_gives_one_sequence(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documents: int
) -> None:
    arguments = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    enough, short = Room(100), Room(documents)
    with enough.of(monkeypatch):
        Attempt(tmp_path / "told").run(spec(arguments, packing=True, max_length=128))
    with short.of(monkeypatch):
        attempt = Attempt(tmp_path / "short")
        end = attempt.run(spec(arguments, packing=True, max_length=128, out_dir=str(tmp_path / "other")))
    assert end["outcome"] == "succeeded" and attempt.records("oom")
    assert short.steps == enough.steps


def test_shares_of_packed_documents_are_alike_in_tokens_and_keep_their_order() -> None:
    lengths = [5, 1, 1, 1, 8, 2, 2, 4]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    batch = {"input_ids": torch.arange(24)[None], "labels": torch.arange(24)[None], "position_ids": positions}
    rows = rows_of(batch)
    assert [len(row["input_ids"]) for row in rows] == lengths
    for parts in (2, 4, 16):
        shares = shared_out(batch, rows, 1, parts)
        assert [row for share in shares for row in share] == rows
        tokens = [sum(len(row["input_ids"]) for row in share) for share in shares]
        assert max(tokens) <= max(24 / parts + max(lengths), max(lengths))
    assert len(shared_out(batch, rows, 1, 2)) == 2


def test_a_single_row_that_is_too_much_fails_with_the_arithmetic_and_what_helps(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Room(0, from_step=2).of(monkeypatch):
        attempt = Attempt(tmp_path)
        error = attempt.run(spec())["error"]
    assert error["kind"] == FailureClass.out_of_memory
    for part in ("step 3", "weights", "gradients", "optimiser", "2.00 GiB more were asked for", "of the host"):
        assert part in error["message"]
    assert "max_length" in error["hint"] and error["cause"]
    assert [each["batch"] for each in attempt.records("oom")] == [4, 2, 1]


def test_a_job_whose_policy_is_off_fails_at_once_and_other_errors_are_never_taken_for_want_of_memory(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Room(2).of(monkeypatch):
        attempt = Attempt(tmp_path, 1)
        error = attempt.run(spec(oom_retry=False))["error"]
        assert error["kind"] == FailureClass.out_of_memory and "weights" in error["message"]
        assert attempt.records("oom") == []
    monkeypatch.setattr(SFTTrainer, "training_step", lambda *of: 1 / 0)
    assert Attempt(tmp_path, 2).run(spec())["error"]["kind"] == FailureClass.bug


def test_an_evaluation_short_of_memory_is_begun_again_with_fewer_rows_and_tells_the_same_loss(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SFTTrainer.prediction_step

    def step(trainer: Any, model: Any, inputs: Any, *others: Any, **more: Any) -> Any:
        if inputs["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError(FULL)
        return real(trainer, model, inputs, *others, **more)

    arguments = {"eval_strategy": "steps", "eval_steps": 4, "per_device_eval_batch_size": 4, "max_steps": 8}
    told, short = Attempt(tmp_path / "told"), Attempt(tmp_path / "short")
    told.run(spec(arguments | {"per_device_eval_batch_size": 2}))
    monkeypatch.setattr(SFTTrainer, "prediction_step", step)
    assert short.run(spec(arguments, out_dir=str(tmp_path / "other")))["outcome"] == "succeeded"
    losses = [
        [each["values"] for each in made.records("metrics") if "eval_loss" in each["values"]] for made in (told, short)
    ]
    assert losses[0] == [pytest.approx(each, rel=1e-5) for each in losses[1]] and len(losses[0]) == 2
    assert any("held-out" in each["text"] for each in short.records("warning"))


def test_attempts_after_one_that_the_kernel_ended_for_want_of_memory_take_ever_less_at_once(
    spec: Any, tmp_path: Path
) -> None:
    def run(number: int, dies: str = "", **extra: Any) -> list[tuple[int, int, bool]]:
        attempt = Attempt(tmp_path, number)
        attempt.run(spec(**extra), order="pause")
        if dies == "starved":
            (attempt.directory / "starved").touch()
        return [(each["step"], each["batch"], each["starved"]) for each in attempt.records("oom")]

    assert run(1, dies="starved") == []
    assert run(2, dies="otherwise") == [(2, 4, True)]
    assert run(3, dies="starved") == []  # no less than before, and no more
    assert run(4, dies="starved") == [(4, 2, True)]
    assert run(5, dies="starved") == [(5, 1, True)]
    assert run(6) == []  # a row is a row
    assert run(7, oom_retry=False) == []
    parts = [
        json.loads(path.read_text())["position"]["parts"]
        for path in sorted(tmp_path.glob("jobs/job/*/*/*/manifest.json"))
    ]
    assert parts == [1, 2, 2, 4, 8, 8, 1]


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Attempt]:
    """A job of long rows with memory enough, with less than its micro-batch takes, and with less than a row takes."""
    root = tmp_path_factory.mktemp("limited")
    base, rows = make_model(root / "base", intermediate_size=2048, max_position_embeddings=512), root / "rows.jsonl"
    lines = [{"question": "a b " * 120 + f"w{n}", "answer": f"c w{n}"} for n in range(32)]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = {"max_steps": 2, "per_device_train_batch_size": 16, "learning_rate": 0.01, "save_steps": 1}
    made, plan = {}, []
    for name, spare in (("enough", None), ("less", 200), ("nothing", 32)):
        made[name] = Attempt(root, job_id=name)
        spec = tiny_spec(name, root, base, rows, training_arguments=arguments, max_length=256, sampling={"split": 1.0})
        plan.append((str(made[name].prepare(spec)), spare))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.runner.short_jobs", json.dumps(plan)]
    subprocess.run(command, env=environment, check=True, timeout=110)
    return made


@pytest.mark.slow
def test_a_host_that_has_no_more_memory_slows_a_job_down_and_ends_none(limited: dict[str, Attempt]) -> None:
    enough, less = limited["enough"].finished(), limited["less"].finished()
    assert limited["enough"].records("oom") == []
    told = limited["less"].records("oom")
    assert told and told[0]["batch"] * told[0]["accumulation"] == 16
    assert (less["outcome"], less["summary"]["steps"]) == ("succeeded", 2), less["error"]
    assert less["summary"]["train_loss"] == pytest.approx(enough["summary"]["train_loss"], rel=1e-5)
    assert limited["less"].checkpoints() == ["checkpoint-1", "checkpoint-2"]


@pytest.mark.slow
def test_a_host_that_has_no_memory_for_a_row_fails_the_job_as_that(limited: dict[str, Attempt]) -> None:
    error = limited["nothing"].finished()["error"]
    assert error["kind"] == FailureClass.out_of_memory and error["cause"] and "max_length" in error["hint"]
    assert "more were asked for" in error["message"] and error["log_tail"]
