"""What a job tells of what it took: memory at its peak, seconds a step, the batches that it computes."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.memory import estimate
from core.spec import SPEC
from gpu_runner import measure
from gpu_runner.batches import workload
from gpu_runner.device import Device
from gpu_runner.measure import Meter
from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, make_rows, tiny_spec

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
CPU = Device("cpu", "fp32")
MIB = 1 << 20


def in_a_fork(do: Any) -> Any:
    """What `do` returns in a child that was just forked, as jobs are."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.write(writing, json.dumps(do()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(told)


def test_a_fork_tells_what_it_held_at_its_peak_beyond_what_it_was_born_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_held", [])

    def job() -> list[int | None]:
        measure.begin()
        idle = measure.peak_bytes(CPU)
        held = bytearray(os.urandom(64 * MIB))
        del held
        measure.begin()  # a second time changes nothing
        return [idle, measure.peak_bytes(CPU)]

    idle, peak = in_a_fork(job)
    assert 0 <= idle < 16 * MIB
    assert 64 * MIB <= peak < 160 * MIB  # the random bytes are made once and copied once


def test_where_nothing_tells_the_peak_none_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measure, "STATUS", tmp_path / "no-linux")
    monkeypatch.setattr(measure, "_held", [])
    measure.begin()
    assert measure.peak_bytes(CPU) is None


def test_the_first_step_does_not_count_when_there_are_more(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 100.0, 101.0, 200.0, 203.0])
    monkeypatch.setattr(measure.time, "monotonic", lambda: next(clock))
    meter = Meter()
    assert meter.a_step is None
    for _ in range(3):
        meter.on_step_begin(None, None, None)
        meter.on_step_end(None, None, None)
    assert (meter.a_step, meter.seconds) == (2.0, 9.0)


@pytest.mark.parametrize("packing", [False, True])
def test_a_trainings_summary_tells_what_it_took_and_what_was_reckoned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, packing: bool
) -> None:
    monkeypatch.setattr(measure, "_held", [0])  # this process may have held more before, in another test
    model = make_model(tmp_path / "model")
    spec = tiny_spec("job", tmp_path, model, make_rows(tmp_path / "rows.jsonl", 60), packing=packing)
    attempt = Attempt(tmp_path)
    summary = attempt.run(spec)["summary"]
    (started,) = attempt.records("started")
    assert summary["peak_memory_bytes"] > 64 * MIB
    assert summary["seconds_per_step"] > 0 and summary["overhead_seconds"] > 0
    assert summary["operations_per_step"] > 0
    shape = measure.shape_of(SPEC.validate_python(spec).model)
    assert shape is not None and summary["parameters"] - summary["trained_parameters"] == shape.parameters
    assert (summary["device"], summary["precision"]) == ("cpu", "fp32")
    assert started["total_steps"] == summary["steps"]


@given(
    lengths=st.lists(st.integers(1, 100), min_size=1, max_size=80),
    batch=st.integers(1, 9),
    accumulation=st.integers(1, 4),
    epochs=st.integers(1, 3),
    grouped=st.booleans(),
)
def test_an_epoch_computes_every_row_once_and_pads_to_the_longest_of_its_batch(
    lengths: list[int], batch: int, accumulation: int, epochs: int, grouped: bool
) -> None:
    arguments = {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "num_train_epochs": epochs,
    }
    padded = workload(lengths, arguments, packing=False, grouped=grouped)
    assert padded.sequences == len(lengths)
    assert padded.steps == epochs * max(1, math.ceil(math.ceil(len(lengths) / batch) / accumulation))
    assert max(lengths) <= padded.largest <= batch * max(lengths)
    packed = workload(lengths, arguments, packing=True)
    assert packed.computed <= padded.computed
    assert padded.padded or packed.computed == padded.computed


def test_steps_that_are_named_are_the_steps(tmp_path: Path) -> None:
    work = workload([10] * 8, {"max_steps": 3, "per_device_train_batch_size": 2}, packing=False)
    assert (work.steps, work.computed, work.a_step) == (3, 60, 20)
    assert workload([], {}, packing=False).largest == 0


def test_what_is_reckoned_follows_the_jobs_own_batches(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    spec = SPEC.validate_python(tiny_spec("job", tmp_path, model, tmp_path / "rows.jsonl"))
    shape = measure.shape_of(spec.model)
    assert shape is not None
    short, long = (
        estimate(
            shape, measure.tuning(spec, CPU, workload([n] * 8, spec.training_arguments, packing=False), 8 * n)
        ).total
        for n in (8, 32)
    )
    assert short < long
