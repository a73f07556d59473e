"""Orders reach a training between its steps, whenever they come."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_runner import child
from tests.runner.tiny import make_model, make_rows, tiny_spec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("m") / "tiny")


@pytest.mark.parametrize(("order", "outcome"), [("cancel", "cancelled"), ("pause", "paused")])
def test_orders_are_obeyed_between_steps(tmp_path: Path, model: Path, order: str, outcome: str) -> None:
    rows = make_rows(tmp_path / "r.jsonl")
    arguments = {"max_steps": 100_000, "per_device_train_batch_size": 2, "optim": "adamw_torch", "logging_steps": 1000}
    spec = tiny_spec("o", tmp_path, model, rows, training_arguments=arguments)
    directory = tmp_path / "jobs" / "o" / "1"
    directory.mkdir(parents=True)
    write = f"import json,time\ntime.sleep(2)\nopen({str(directory / 'control.json')!r}, 'w').write(json.dumps({{'order': {order!r}}}))"
    orderer = subprocess.Popen([sys.executable, "-c", write])
    (directory / "spec.json").write_text(json.dumps(spec))
    child.run(directory, None)
    orderer.wait()
    records = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    assert records[-1]["outcome"] == outcome
    assert any(record["type"] == "checkpoint" for record in records) is (order == "pause")
