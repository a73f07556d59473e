"""Jobs with curves, logs and events, as they are after a while."""

from __future__ import annotations

import math
from typing import Any

from core.events import Event
from core.messages.jobs import LogLine, MetricSeries
from core.types import JobStatus
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, NOW, failed, job

STEPS = range(1, 401)
EVERY = 2.0  # seconds of a step


def series(name: str, steps: range = STEPS, **fields: Any) -> MetricSeries:
    """A curve that falls and trembles, or for a metric of the host one that rises by the second."""
    host = name.startswith("sys.")
    values = [step / 100 if host else 4 / (1 + step / 30) + 0.3 * math.sin(step) ** 2 for step in steps]
    times = [NOW + step * (1 if host else EVERY) for step in steps]
    known: dict[str, Any] = {"steps": list(steps), "values": values, "times": times, "total": len(steps)}
    return MetricSeries(name=name, **{**known, **fields})


def event(id: int, type: str, message: str, level: str = "info", **data: Any) -> Event:
    """Something that happened to a job."""
    return Event(
        id=id,
        prev=id - 1,
        at=NOW + id,
        type=type,
        level=level,
        kind="jobs",
        message=message,
        resource_id="run",
        data=data,
    )


def trained() -> FakeStudio:
    """A studio whose jobs (run, done, bad, wait) have all there is to see."""
    made = filled()
    made.series = [
        series("loss"),
        series("eval_loss", range(20, 401, 20)),
        series("learning_rate", values=[2e-4 * (1 - step / 800) for step in STEPS]),
        series("grad_norm"),
        series("tokens_per_second", values=[100.0 + step % 20 for step in STEPS]),
        series("sys.cpu", range(0, 800, 15), values=[90.0 + at % 5 for at in range(54)]),
        series("sys.memory", range(0, 720, 15)),
    ]
    made.log = [
        LogLine(attempt=1, offset=at, at=NOW + at, text=f"line {at} of the log" + ", and more of it" * (at % 7))
        for at in range(1, 61)
    ]
    made.rows["events"] = [
        event(1, "JobQueued", "adapter-run waits for a runner"),
        event(2, "JobStarted", "adapter-run runs on cpu"),
        event(3, "CheckpointSaved", "adapter-run: checkpoint at step 20", step=20),
        event(4, "JobMemoryReduced", "memory ran out: micro-batches are computed in 2 pieces", level="warning"),
    ]
    for row in made.rows["fine_tuning_jobs"]:
        row.created_at = None
    other = made.job("done")
    other.num_epochs, other.lora_config = 3, '{"r": 64, "lora_alpha": 32}'
    return made


def paused() -> FakeStudio:
    """One that was paused."""
    made = trained()
    made.rows["fine_tuning_jobs"][0] = job(
        "run", status=JobStatus.paused, created_at=None, phase=None, eta_seconds=None
    )
    return made


def broken() -> FakeStudio:
    """One whose memory ran out, with a batch that can be halved."""
    made = trained()
    arguments = '{"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}'
    inputs = {"base_model_id": "m1", "dataset_id": "d1", "prompt_id": "p1", "training_arguments_config": arguments}
    bad = failed("bad").model_copy(update={"created_at": None, **inputs})
    made.rows["fine_tuning_jobs"] = [bad if row.id == "bad" else row for row in made.rows["fine_tuning_jobs"]]
    return made


def hostile() -> FakeStudio:
    """One in which every text is hostile."""
    made = trained()
    error = failed("bad").error
    assert error is not None
    told = error.model_copy(
        update=dict.fromkeys(("message", "cause", "hint", "traceback"), HOSTILE) | {"log_tail": [HOSTILE]}
    )
    evil = job("run", adapter_name=HOSTILE, phase=HOSTILE, runner=HOSTILE, lora_config=HOSTILE, created_at=None)
    made.rows["fine_tuning_jobs"][0] = evil.model_copy(update={"error": told, "status": JobStatus.failed})
    made.rows["fine_tuning_jobs"][1].adapter_name = HOSTILE
    made.series = [series(HOSTILE[:200]), series("loss", range(1, 3), values=[1e300, -1e300])]
    made.log = made.printed = [LogLine(attempt=1, offset=1, at=NOW, text=f"{HOSTILE}\n{HOSTILE}")]
    made.rows["events"] = [event(1, "JobFailed", HOSTILE, level="error")]
    return made
