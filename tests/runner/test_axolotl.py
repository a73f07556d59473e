"""Jobs that Axolotl does, up to its door: a stand-in is behind it (stand_in_axolotl), the studio's plugin in it is the real one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from core import engines
from core.settings import Settings
from gpu_runner import offering
from tests.runner.attempts import Attempt
from tests.runner.engines import install_stand_in
from tests.runner.studio import spec_of

CONFIG = {
    "datasets": [{"type": "alpaca"}],
    "adapter": "lora",
    "micro_batch_size": 2,
    "learning_rate": 0.5,
    "save_steps": 4,
}
PROMPT = {"id": "p", "name": "p", "prompt_template": "Q {instruction} A {output}", "input_template": "Q {instruction}"}
MEAN = sum(1 / step for step in range(1, 13)) / 12  # of what the stand-in tells as loss
Run = Callable[..., Attempt]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTS_HOME", str(tmp_path / ".app"))
    return tmp_path / ".app"


@pytest.fixture
def run(tmp_path: Path, home: Path) -> Run:
    """Run an attempt of a job of 27 rows with the stand-in, to its end: 24 are trained on."""
    install_stand_in(home)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"instruction": f"do {n}", "output": "x" * n}) + "\n" for n in range(27)))
    location = {"id": "d", "name": "d", "type": "project_jsonl", "location": str(rows)}

    def run(
        number: int = 1, order: str | None = None, during: Any = None, job_id: str = "job", **extra: Any
    ) -> Attempt:
        config = yaml.safe_dump({**CONFIG, **extra.pop("config", {})})
        attempt = Attempt(tmp_path, number, job_id)
        fields = {"framework": "axolotl", "axolotl_config": config, "dataset": location}
        if during is not None:
            threading.Thread(target=during, args=(attempt,), daemon=True).start()
        attempt.run(spec_of(job_id, tmp_path, **{**fields, **extra}), order)
        return attempt

    return run


def ordering(step: int, **control: Any) -> Callable[[Attempt], None]:
    """Give an order once a step is told."""

    def give(attempt: Attempt) -> None:
        deadline = time.monotonic() + 60
        while not any(record["step"] >= step for record in attempt.records("metrics")) and time.monotonic() < deadline:
            time.sleep(0.02)
        (attempt.directory / "control.json").write_text(json.dumps(control))

    return give


def logged(attempt: Attempt) -> str:
    return "\n".join(record["text"] for record in attempt.records("log", "warning"))


def test_a_training_is_told_step_by_step_and_leaves_its_adapter(run: Run, tmp_path: Path) -> None:
    attempt = run()
    (started,) = attempt.records("started")
    assert (started["total_steps"], started["details"]) == (12, {"rows": 24, "world_size": 1})
    assert [record["step"] for record in attempt.records("metrics")] == list(range(1, 13))
    assert attempt.records("metrics")[1] | {"at": 0, "offset": 0} == {
        "type": "metrics", "at": 0, "offset": 0, "step": 2, "epoch": 0.1, "values": {"loss": 0.5},
    }  # fmt: skip
    assert attempt.finished()["summary"].items() >= {"steps": 12, "rows": 24}.items()
    assert attempt.finished()["summary"]["train_loss"] == pytest.approx(MEAN)
    assert [record["step"] for record in attempt.records("checkpoint")] == [4, 8, 12]
    assert attempt.checkpoints() == ["checkpoint-12", "checkpoint-8"]
    (artifact,) = attempt.records("artifact")
    assert sorted(artifact["files"]) == ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"]
    assert not (attempt.directory / "drafts").exists()
    assert attempt.noted()


def test_the_adapter_names_its_base_as_the_studio_does(run: Run) -> None:
    attempt = run(model={"id": "m", "name": "m", "hub_name": "org/base"})
    assert json.loads(attempt.adapter("adapter_config.json").read_text())["base_model_name_or_path"] == "org/base"


@pytest.mark.parametrize("typed", [True, False])
def test_rows_go_whole_in_a_declared_format_and_else_by_the_prompt(run: Run, typed: bool) -> None:
    kept: list[str] = []

    def look(attempt: Attempt) -> None:
        ordering(1)(attempt)
        kept.extend((attempt.directory / "drafts" / "train.jsonl").read_text().splitlines())

    config = {"datasets": [{"type": "alpaca" if typed else None}], "step_seconds": 0.1}
    attempt = run(during=look, config=config, prompt={**PROMPT, "completion_template": " {output}"})
    written = [json.loads(line) for line in kept]
    assert len(written) == 24 and set(written[0]) == ({"instruction", "output"} if typed else {"input", "output"})
    assert typed or all(row["input"].startswith("Q do ") and row["output"].startswith(" ") for row in written)
    assert ("written by the prompt" in logged(attempt)) is not typed


def test_a_config_that_axolotl_refuses_is_the_users_error_by_its_keys(run: Run) -> None:
    error = run(config={"micro_batch_size": "few", "num_epochs": "many"}).finished()["error"]
    assert error["kind"] == "user_error" and "Axolotl refuses the config" in error["message"]
    assert "micro_batch_size" in error["message"] and "num_epochs" in error["message"] and error["hint"]


def test_a_pause_saves_and_the_next_attempt_ends_as_one_that_was_left_alone(run: Run) -> None:
    spared = run(1, job_id="spared", config={"step_seconds": 0.1})
    paused = run(during=ordering(5, order="pause"), config={"step_seconds": 0.1})
    assert paused.finished()["outcome"] == "paused" and paused.records("artifact") == []
    step = paused.records("checkpoint")[-1]["step"]
    assert 5 < step < 12
    resumed = run(2, config={"step_seconds": 0.1})
    assert [record["from_step"] for record in resumed.records("resumed")] == [step]
    assert [record["step"] for record in resumed.records("metrics")] == list(range(step + 1, 13))
    assert resumed.adapter().read_bytes() == spared.adapter().read_bytes()
    assert resumed.finished()["summary"]["train_loss"] == pytest.approx(MEAN)


def test_a_cancelled_training_ends_without_an_adapter(run: Run, tmp_path: Path) -> None:
    attempt = run(during=ordering(3, order="cancel"), config={"step_seconds": 0.2})
    assert attempt.finished()["outcome"] == "cancelled"
    assert attempt.records("artifact") == [] and not (tmp_path / "out" / "job" / "1").exists()


def test_a_checkpoint_that_is_asked_for_is_saved_and_the_training_goes_on(run: Run) -> None:
    attempt = run(during=ordering(2, order="run", checkpoint=1), config={"step_seconds": 0.15, "save_steps": 100})
    assert attempt.finished()["outcome"] == "succeeded"
    assert len(attempt.records("checkpoint")) == 1 and 2 < attempt.records("checkpoint")[0]["step"] < 12


def test_a_killed_training_goes_on_from_its_last_whole_checkpoint_to_the_same_adapter(run: Run) -> None:
    spared = run(job_id="spared")
    attempt = run(config={"save_steps": 2, "stand_in": "killed"})
    assert attempt.finished()["error"]["kind"] == "killed" and attempt.checkpoints() == ["checkpoint-2"]
    resumed = run(2, config={"save_steps": 2, "stand_in": "killed"})
    assert [record["from_step"] for record in resumed.records("resumed")] == [2]
    assert resumed.adapter().read_bytes() == spared.adapter().read_bytes()


def test_a_checkpoint_that_was_damaged_is_passed_over_for_an_older_one(run: Run) -> None:
    paused = run(during=ordering(9, order="pause"), config={"step_seconds": 0.1})
    (paused.directory / "checkpoints" / paused.checkpoints()[0] / "optimizer.pt").write_text("torn")
    resumed = run(2, config={"step_seconds": 0.1})
    assert "optimizer.pt is not what was saved" in logged(resumed)
    assert [record["from_step"] for record in resumed.records("resumed")] == [8]


def test_a_checkpoint_of_another_config_is_not_gone_on_from(run: Run) -> None:
    run(order="pause")
    error = run(2, config={"learning_rate": 0.1}).finished()["error"]
    assert error["kind"] == "user_error" and "another config" in error["message"]


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("memory", "out_of_memory", "memory ran out in Axolotl"),
        ("data", "user_error", "KeyError: 'instruction'"),
        ("code", "bug", "IndexError: list index out of range"),
        ("exit", "user_error", "exit code 7: the driver is lost"),
        ("killed", "killed", "SIGKILL"),
    ],
)
def test_each_bad_end_is_told_as_what_it_is(run: Run, how: str, kind: str, said: str) -> None:
    error = run(config={"stand_in": how}).finished()["error"]
    assert error["kind"] == kind and said in error["message"] and error["hint"] and error["cause"]


def test_more_processes_than_the_job_asked_for_are_refused(run: Run) -> None:
    error = run(config={"processes": 2}).finished()["error"]
    assert error["kind"] == "user_error" and "2 processes, not with 1" in error["message"]


def test_without_the_engine_the_job_says_how_to_install_it_and_the_runner_does_not_offer_it(
    tmp_path: Path, home: Path
) -> None:
    spec = spec_of("job", tmp_path, framework="axolotl", axolotl_config="{}")
    error = Attempt(tmp_path).run(spec)["error"]
    assert error["kind"] == "user_error" and "fts engine install axolotl" in error["hint"]
    assert "axolotl" not in offering.engines(Settings())
    directory = install_stand_in(home)
    assert "axolotl" in offering.engines(Settings())
    (directory / "python").unlink()
    assert "axolotl" not in offering.engines(Settings())


def test_an_engine_of_other_pins_runs_and_is_known_for_what_it_is(home: Path) -> None:
    directory = install_stand_in(home)
    found = engines.installed(Settings(), "axolotl")
    assert found is not None and found.current
    marker = json.loads((directory / engines.MARKER).read_text())
    (directory / engines.MARKER).write_text(json.dumps({**marker, "pins": "older"}))
    found = engines.installed(Settings(), "axolotl")
    assert found is not None and not found.current
