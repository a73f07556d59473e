"""What a stand-in studio has: jobs, sessions, exports, endpoints and plans with numbers, and text from outside."""

from __future__ import annotations

import time
from typing import Any

from core.events import Failure
from core.failing import filled as told
from core.messages.comparing import Answer as VoiceAnswer
from core.messages.comparing import AskedQuestion, ComparisonMetadata
from core.messages.endpoints import EndpointMetadata
from core.messages.export import ExportJobMetadata
from core.messages.fine_tuning import FineTuningJobMetadata
from core.messages.planning import Plan
from core.spec import Exported
from core.types import JobStatus

NOW = 1_800_000_000.0
HOSTILE = "[red]\x1b]52;c;ZXZpbA==\x07\u202eevil[/nope] " + "長" * 40 + " 👩‍🚀 " + "x" * 10_000


def job(id: str, **fields: Any) -> FineTuningJobMetadata:
    """A job with numbers."""
    known: dict[str, Any] = {
        "adapter_name": f"adapter-{id}",
        "status": JobStatus.running,
        "step": 40,
        "total_steps": 100,
        "eta_seconds": 75.0,
    }
    known |= {
        "created_at": time.time() - 200,
        "last_metrics": {"loss": 0.5, "learning_rate": 1e-3},
        "tokens_per_second": 120.0,
    }
    known |= {
        "num_cpu": 2,
        "num_gpu": 0,
        "num_memory": 8,
        "runner_id": "r1",
        "runner": "gpu-host",
        "phase": "training",
        "attempt": 1,
        "num_epochs": 1,
    }
    known |= {"dataset_fraction": 1.0, "train_test_split": 0.9, "lora_config": '{"r": 16}'}
    return FineTuningJobMetadata(id=id, **{**known, **fields})


def session(**fields: Any) -> ComparisonMetadata:
    """A session that waits for questions."""
    known: dict[str, Any] = {"base_model_name": "SmolLM2", "adapters": [{"id": "a", "name": "tickets-r16"}]}
    known |= {"status": JobStatus.running, "phase": "waiting for questions", "idle_seconds": 900, "active_at": NOW}
    known |= {"num_cpu": 2, "num_gpu": 0, "num_memory": 8, "generation_config": '{"max_new_tokens": 60}'}
    return ComparisonMetadata(id="c-1", **{**known, **fields})


def answered(number: int = 1, **answers: VoiceAnswer) -> AskedQuestion:
    """A question that was answered, by base and adapter."""
    told = {
        "": VoiceAnswer(text="I can help with your parcel. " * 6, tokens=60, seconds=1.5, done=True, reason="length")
    }
    told |= {"a": VoiceAnswer(text="track_parcel", tokens=4, seconds=0.1, done=True, reason="eos")}
    fields = {"prompt": "Ticket: where is my parcel?\nAction:", "expected": "track_parcel", "row": 3, "held_out": True}
    return AskedQuestion(
        number=number,
        voices=["", "a"],
        seed=1,
        asked_at=NOW,
        done=True,
        answers={**told, **answers},
        random=True,
        **fields,
    )


def export(id: str, **fields: Any) -> ExportJobMetadata:
    """An export that waits."""
    known: dict[str, Any] = {
        "type": "model_registry",
        "model_name": "tickets",
        "base_model_id": "m1",
        "adapter_id": "a1",
    }
    known |= {"num_cpu": 2, "num_gpu": 0, "num_memory": 8, "generation_config": '{"do_sample": false}'}
    return ExportJobMetadata(id=id, **{**known, **fields})


def exported(id: str, **fields: Any) -> ExportJobMetadata:
    """One that is done."""
    parity = {"prompts": 8, "max_logit_difference": 7.2e-05, "same_text": 8}
    made = {"version": "3", "uri": "models:/tickets/3", "files": {"model.safetensors": "0" * 64}, "parity": parity}
    return export(
        id, **{"status": JobStatus.succeeded, "result": Exported.model_validate(made), "alias": "champion", **fields}
    )


def endpoint(id: str, **fields: Any) -> EndpointMetadata:
    """An endpoint that answers."""
    known: dict[str, Any] = {"name": f"endpoint-{id}", "status": JobStatus.running, "attempt": 1, "runner_id": "r1"}
    known |= {"models": ["tiny", "tickets"], "host": "127.0.0.1", "port": 0, "auth": True, "phase": "serving"}
    known |= {"address": "http://127.0.0.1:8123", "requests": 12, "refused": 1, "tokens": 640, "base_model_id": "m"}
    known |= {"num_cpu": 1, "num_gpu": 0, "num_memory": 4}
    return EndpointMetadata(id=id, **{**known, **fields})


def failed(id: str) -> FineTuningJobMetadata:
    """A job that ended badly."""
    error = told(
        Failure(
            kind="out_of_memory",
            message="memory ran out at step 40 with a single row at once: 7.21 GiB of 7.60 GiB of the host are held",
            log_tail=[f"line {number} of the log" for number in range(1, 21)],
            traceback="Traceback (most recent call last):\n  torch.OutOfMemoryError",
        )
    )
    told_as = {"error": error, "failure_class": error.kind}
    return job(id, status=JobStatus.failed, eta_seconds=None, phase=None, **told_as)


def plan(**fields: Any) -> Plan:
    """A plan that fits."""
    gib = float(1 << 30)
    row = [("Ticket:", False, False), (" ", False, False), ("wo", False, False), (" ist", False, False)]
    row += [
        (" 長い\n", False, False),
        (" track", True, False),
        ("_par", True, False),
        ("cel", True, False),
        ("</s>", True, True),
    ]
    known: dict[str, Any] = {
        "rows": 655, "held_out": 73, "looked_at": 655, "tokens": 19_618, "learned": 2_943, "longest": 60, "sequences": 655,
        "computed": 40_000, "batch": 8, "steps": 82, "epochs": 1.0, "examples": [row], "parameters": 134_515_008,
        "trained_parameters": 4_884_480, "needed": (1.6 * gib, 1.9 * gib, 2.2 * gib), "seconds": (300.0, 400.0, 600.0),
        "memory": {"weights": 0.5 * gib, "activations": 1.0 * gib, "working": 0.4 * gib},
        "histogram": [{"low": 15, "high": 31, "rows": 380}, {"low": 31, "high": 61, "rows": 275}],
        "fits": [{
            "runner_id": "r1", "host": "gpu-host", "device": "cpu", "whole": 64 * gib, "available": 63 * gib, "fits": True, "jobs": 3,
            "needed": (1.6 * gib, 1.9 * gib, 2.2 * gib), "seconds": (300.0, 400.0, 600.0),
        }],
        "warnings": ["rows are padded with '<pad>'"],
    }  # fmt: skip
    return Plan.model_validate({**known, **fields})


def too_large() -> Plan:
    """A plan that fits nowhere."""
    gib = float(1 << 30)
    fit = {
        "runner_id": "r1",
        "host": "gpu-host",
        "device": "cuda",
        "name": "T4",
        "whole": 15 * gib,
        "available": 14.5 * gib,
        "fits": False,
    }
    text = "per_device_train_batch_size 2, gradient_accumulation_steps 4 (about 12.1 GiB)"
    return plan(
        needed=(30 * gib, 35 * gib, 40 * gib),
        seconds=None,
        memory={"weights": 13 * gib, "activations": 22 * gib},
        fits=[{**fit, "needed": (30 * gib, 35 * gib, 40 * gib)}],
        nearest=[{"settings": {"per_device_train_batch_size": 2}, "bytes": 12 * gib, "text": text}],
    )
