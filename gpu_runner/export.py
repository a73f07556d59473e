"""An export, from top to bottom: base and adapter are asked, merged, written aside, opened again and asked; then published.

Nothing has its name before it answers as it should; whatever a killed attempt left is removed by the next one.
"""

from __future__ import annotations

import gc
import os
import time
from importlib.metadata import version
from typing import Any, Protocol

import torch
from transformers.utils import logging as transformers_logging

from core.events import Finished
from core.spec import Exported, ExportSpec, Parity
from core.types import ModelExportType
from gpu_runner import merged
from gpu_runner.child import Context
from gpu_runner.device import Device
from gpu_runner.failures import Cancelled, JobError, Paused
from gpu_runner.files import Files
from gpu_runner.parity import Expected, Opened, prompts
from gpu_runner.swapping import Base

LIBRARIES = ("torch", "transformers", "peft", "safetensors")
STEPS = 6
# MLflow says nothing to its makers, and draws no bars into the log. Set before it is imported.
MLFLOW = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


class Target(Protocol):
    """Where an export goes."""

    def made_before(self) -> Exported | None:
        """What an earlier attempt of the same job has published. Raises JobError when the name is someone else's."""

    def clear(self) -> None:
        """Remove what killed attempts left."""

    def write(self, model: Any, tokenizer: Any) -> None:
        """Write the model where nobody finds it by its name."""

    def open(self, device: Device) -> Opened:
        """What was written, in its final form."""

    def publish(self, parity: Parity) -> Exported:
        """Let everybody find it."""

    def drop(self) -> None:
        """Take back what was written."""


def export(spec: ExportSpec, context: Context) -> Finished:
    """Run the export. Raises JobError, also when what was written answers otherwise; Cancelled, Paused."""
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(spec.resources.cpus)
    device = Device("cuda" if spec.resources.gpus and torch.cuda.is_available() else "cpu", "fp32")
    context.spool.write(
        "started",
        pid=os.getpid(),
        device=device.name,
        total_steps=STEPS,
        versions={name: version(name) for name in LIBRARIES},
    )
    target = target_of(spec, context)
    target.clear()
    if (before := target.made_before()) is not None:
        context.spool.log("an earlier attempt published it before it died: it is whole")
        return _finished(before)
    try:
        return _finished(_made(spec, context, device, target))
    except BaseException:
        target.drop()
        raise


def _made(spec: ExportSpec, context: Context, device: Device, target: Target) -> Exported:
    steps, base = Steps(context), Base(spec.model, device, None, context.token)

    # ─── base and adapter ─────────────────────────────────────────────────────────────────────────
    steps.next("loading base and adapter")
    with base.wearing(spec.adapter) as model:
        steps.next("asking base and adapter")
        expected = Expected.of(model, base.tokenizer, prompts(spec, context), spec.generation)

        # ─── one set of weights ───────────────────────────────────────────────────────────────────
        steps.next("merging" if spec.merge else "gathering")
        if spec.merge:
            model = _merge(model, spec, context, base.tokenizer, expected)
        steps.next("writing")
        target.write(model, base.tokenizer)
    del model, base
    gc.collect()
    torch.cuda.empty_cache()

    # ─── what was written ─────────────────────────────────────────────────────────────────────────
    steps.next("opening what was written, and asking it")
    parity = expected.compare(target.open(device))
    context.spool.log(
        f"{parity.same_text} of {parity.prompts} prompts are answered alike; the logits differ by {parity.max_logit_difference:.2g} at most"
    )
    steps.next("publishing")
    _must_be_newest(context)
    return target.publish(parity)


def _merge(model: Any, spec: ExportSpec, context: Context, tokenizer: Any, expected: Expected) -> Any:
    """The merged model in the precision of the base's files, with the config that it is to have. Raises JobError."""
    made = merged.merge(model)
    expected.merged(made)
    dtype = merged.stored_dtype(spec, context.token)
    if dtype in merged.HALF:
        made = made.to(dtype)
        expected.rounded(made)
    made.generation_config = merged.generation_config(made, tokenizer, spec.generation)
    made.config.use_cache = True
    made.name_or_path = made.config.name_or_path = spec.model_name  # it was the base's place on this machine
    return made


def target_of(spec: ExportSpec, context: Context) -> Target:
    """Where the export goes. Raises JobError when that is nothing that this runner does."""
    if spec.destination == ModelExportType.merged:
        return merged.Directory(spec, context)
    if spec.destination == ModelExportType.model_registry:
        for name, value in MLFLOW.items():
            os.environ.setdefault(name, value)
        from gpu_runner.registered import Registry

        return Registry(spec, context)
    if spec.destination == ModelExportType.huggingface:
        from gpu_runner.pushed import Push

        return Push(spec, context)
    raise JobError(
        f"this runner makes no exports of type {spec.destination}",
        "Export as merged, or to the model registry.",
    )


class Steps:
    """Where the export is, told as it goes on. Between its steps it obeys."""

    def __init__(self, context: Context) -> None:
        self.context, self.done = context, 0

    def next(self, name: str) -> None:
        """Begin the next step. Raises Cancelled, Paused."""
        order = self.context.order()
        if order is not None:
            raise Cancelled if order == "cancel" else Paused
        self.context.spool.phase(name)
        self.context.spool.write("progress", step=self.done, total_steps=STEPS)
        self.done += 1


def _must_be_newest(context: Context) -> None:
    """A runner that was away for long has lost its job to another one, which publishes it. Raises JobError."""
    others = (each for each in context.directory.parent.iterdir() if each.name.isdecimal())
    if any(int(each.name) > context.attempt and Files(each).child() is not None for each in others):
        raise JobError("another runner has this job by now, and publishes it")


def _finished(made: Exported) -> Finished:
    return Finished(
        at=time.time(), outcome="succeeded", summary={"exported": made.model_dump(mode="json"), "steps": STEPS}
    )
