"""A comparison, from top to bottom: load once, answer what is asked, end when nobody asks any more."""

from __future__ import annotations

import os
import time
from importlib.metadata import version

import torch
from transformers.utils import logging as transformers_logging

from core.events import Finished
from core.messages.comparing import BASE
from core.spec import ComparisonSpec
from gpu_runner.child import Context
from gpu_runner.evaluate import LIBRARIES, device_for
from gpu_runner.failures import JobError, failure_of
from gpu_runner.speaking import Speaker
from gpu_runner.talk import Talk


def compare(spec: ComparisonSpec, context: Context) -> Finished:
    """Hold the session. Raises JobError when the model can't be loaded, Cancelled and Paused when that is asked for."""
    spool, began = context.spool, time.monotonic()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(spec.resources.cpus)
    quantised = spec.model_bnb is not None
    device = device_for(spec.model, spec.resources.gpus, context.token, spool.warn, quantised=quantised)

    # ─── what answers ─────────────────────────────────────────────────────────────────────────────
    spool.phase(f"loading {spec.model.name}")
    speaker = Speaker(spec.model, {}, device, spec.model_bnb, context.token)
    silent = _load_adapters(spec, context, speaker)
    for voice in (BASE, *(each.adapter.id for each in spec.voices if each.adapter)):
        if voice not in silent:  # what a library does once is not to be waited for at the first question
            list(speaker.speak("a", voice or None, {"max_new_tokens": 2}))
    spool.write(
        "started",
        pid=os.getpid(),
        device=device.name,
        versions={name: version(name) for name in LIBRARIES},
        details={"voices": len(spec.voices), "precision": device.precision},
    )

    # ─── what is asked ────────────────────────────────────────────────────────────────────────────
    talk = Talk(spec, context, speaker, silent)
    why = talk.run()
    spool.log(f"the session ends: {why}")
    summary = {"questions": talk.questions, "tokens": talk.tokens, "seconds": round(time.monotonic() - began, 2)}
    return Finished(at=time.time(), outcome="succeeded", summary=summary)


def _load_adapters(spec: ComparisonSpec, context: Context, speaker: Speaker) -> dict[str, str]:
    """Load what can be loaded; the others by id, with the reason."""
    silent: dict[str, str] = {}
    for adapter in (each.adapter for each in spec.voices if each.adapter):
        context.spool.phase(f"loading {adapter.name}")
        try:
            speaker.add(adapter.id, adapter)
        except JobError as error:
            silent[adapter.id] = failure_of(error).message
            context.spool.warn(f"{adapter.name} can't answer: {silent[adapter.id]}")
    return silent
