"""Orders reach a training between its steps, whenever they come."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu_runner import child
from tests.runner.tiny import make_model, make_rows, tiny_spec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("m") / "tiny")


def run(tmp_path: Path, model: Path, *controls: tuple[float, dict[str, Any]], steps: int) -> list[dict[str, Any]]:
    """Train up to `steps` steps while control files are written, each some seconds after the one before; the spool."""
    arguments = {"max_steps": steps, "per_device_train_batch_size": 2, "optim": "adamw_torch", "logging_steps": 1000}
    spec = tiny_spec("o", tmp_path, model, make_rows(tmp_path / "r.jsonl"), training_arguments=arguments)
    directory = tmp_path / "jobs" / "o" / "1"
    directory.mkdir(parents=True)
    plan = json.dumps([[wait, json.dumps(control)] for wait, control in controls])
    write = f"import time\nfor wait, text in {plan}:\n time.sleep(wait)\n open({str(directory / 'control.json')!r}, 'w').write(text)"
    orderer = subprocess.Popen([sys.executable, "-c", write])
    (directory / "spec.json").write_text(json.dumps(spec))
    child.run(directory, None)
    orderer.wait()
    return [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("order", "outcome"), [("cancel", "cancelled"), ("pause", "paused")])
def test_orders_are_obeyed_between_steps(tmp_path: Path, model: Path, order: str, outcome: str) -> None:
    records = run(tmp_path, model, (2, {"order": order}), steps=100_000)
    assert records[-1]["outcome"] == outcome
    assert any(record["type"] == "checkpoint" for record in records) is (order == "pause")


def test_each_checkpoint_that_is_asked_for_is_saved_once_and_the_training_goes_on_as_if_nothing_had_been(
    tmp_path: Path, model: Path
) -> None:
    asked = (
        (2, {"order": "run", "checkpoint": 1}),
        (1.5, {"order": "run", "checkpoint": 2}),
        (1.5, {"order": "cancel"}),
    )
    records = run(tmp_path, model, *asked, steps=100_000)
    saved = [record["step"] for record in records if record["type"] == "checkpoint"]
    assert len(saved) == 2 and saved == sorted(set(saved))
    last = [record["step"] for record in records if record["type"] == "progress"][-1]
    assert last > saved[-1] and records[-1]["outcome"] == "cancelled"
