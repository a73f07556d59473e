"""What a job takes: memory at its peak, seconds a step. Estimates are checked against it and calibrated by it (docs/preflight.md)."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from core.memory import estimate
from core.shapes import Shape, read_shape
from core.shapes import shape_of as sizes
from core.spec import FineTuningSpec, ModelSource
from core.tuning import Tuning, tuning_of
from core.work import operations
from gpu_runner.batches import Workload
from gpu_runner.device import Device

STATUS = Path("/proc/self/status")  # proc(5): VmRSS and VmHWM in kB; a fork's VmHWM begins anew
_held: list[int] = []  # what this process held before its job


def begin() -> None:
    """Note what this process holds now; only the first call counts. A fork calls it first of all, a cold child after its imports."""
    if not _held and (now := _status("VmRSS")) is not None:
        _held.append(now)


def peak_bytes(device: Device) -> int | None:
    """Bytes that the job held at its peak: on a GPU what tensors took, else beyond what was there before; None if unknown."""
    if device.kind == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    most = _status("VmHWM")
    return None if most is None or not _held else max(0, most - _held[0])  # the kernel counts some pages late


def _status(name: str) -> int | None:
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None  # no Linux
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


class Meter(TrainerCallback):  # type: ignore[misc]
    """How long the optimiser's steps take, without what lies between them: evaluations, checkpoints."""

    def __init__(self) -> None:
        self.steps, self.first, self.rest, self._began = 0, 0.0, 0.0, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The first micro-batch of a step."""
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The optimiser has stepped."""
        took = time.monotonic() - self._began
        self.steps += 1
        if self.steps == 1:
            self.first = took
        else:
            self.rest += took

    @property
    def seconds(self) -> float:
        """Seconds of all steps."""
        return self.first + self.rest

    @property
    def a_step(self) -> float | None:
        """Seconds a step takes: the first one, which warms up, only counts when it is the only one. None before it."""
        if not self.steps:
            return None
        return self.rest / (self.steps - 1) if self.steps > 1 else self.first


def shape_of(source: ModelSource, token: str | None = None) -> Shape | None:
    """The sizes of a model by its files, of one on the Hub by those that were fetched, or their headers; None if they tell none."""
    try:
        if source.location is not None:
            return read_shape(Path(source.location))
        config = Path(_config_on_hub(source, token))
        return (
            read_shape(config.parent) if list(config.parent.glob("*.safetensors")) else _on_hub(source, config, token)
        )
    except Exception:  # whatever files, the Hub or the way there cause: a job does without
        return None


def _config_on_hub(source: ModelSource, token: str | None) -> str:
    from transformers.utils.hub import cached_file

    return str(cached_file(source.hub_name, "config.json", revision=source.revision, token=token or False))


def _on_hub(source: ModelSource, config: Path, token: str | None) -> Shape:
    """By the headers alone, which are asked for in ranges: nothing is downloaded."""
    from huggingface_hub import get_safetensors_metadata

    told = get_safetensors_metadata(source.hub_name or "", revision=source.revision, token=token or False)
    files = told.files_metadata.values()
    tensors = {name: (str(each.dtype), tuple(each.shape)) for file in files for name, each in file.tensors.items()}
    return sizes(json.loads(config.read_text(encoding="utf-8")), tensors)


def tuning(spec: FineTuningSpec, device: Device, work: Workload, tokens: int, attention: str = "sdpa") -> Tuning:
    """The job's settings as it runs here, on the batches that it has; `tokens` are those of all rows."""
    batch = int(spec.training_arguments.get("per_device_train_batch_size", 8))
    made: Tuning = tuning_of(
        spec.training_arguments,
        spec.lora,
        spec.model_bnb or spec.adapter_bnb,
        method=spec.method.value,
        length=-(-work.largest // batch),
        scored=work.scored,
        tokens=tokens,
        packing=spec.packing,
        padded=work.padded,
        precision=device.precision,
        device=device.kind,
        attention=attention,
    )
    return made


def measured(
    shape: Shape | None, how: Tuning, device: Device, work: Workload, meter: Meter, seconds: float
) -> dict[str, Any]:
    """What the summary tells of this: figures, what was reckoned before, and the settings that make jobs alike."""
    found: dict[str, Any] = {"peak_memory_bytes": peak_bytes(device), "seconds_per_step": meter.a_step}
    found["overhead_seconds"] = seconds - meter.seconds
    if shape is not None:
        found["estimated_memory_bytes"] = round(estimate(shape, how).total)
        found["operations_per_step"] = operations(shape, how, work.a_step)
    return {**found, "device": device.kind, "precision": device.precision}
