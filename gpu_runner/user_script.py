"""A fine-tuning that a user's script does: run from the allow-listed directory, told and followed like any other job."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from core.events import Finished
from core.scripts import NoScript, find, sha256
from core.settings import read
from core.spec import FineTuningSpec
from gpu_runner import checkpoint, fingerprints
from gpu_runner.child import Context
from gpu_runner.data import load_rows, sample_and_split
from gpu_runner.engines import results
from gpu_runner.engines.ending import ill
from gpu_runner.engines.environment import clean
from gpu_runner.engines.program import Patience, Program
from gpu_runner.engines.said import Said
from gpu_runner.failures import Cancelled, JobError

MEND = "Mend the script, then run the job again; it goes on from its last checkpoint."


def run(spec: FineTuningSpec, context: Context, patience: Patience | None = None) -> Finished:
    """Run the script to its end, or to where an order makes it leave. Raises JobError, Cancelled, OSError."""
    began = time.monotonic()
    script = _script(spec, context)
    _note_rows(spec, context)
    said = Said(spec, context, _identity(spec))
    resumed = results.newest(context, said.identity)
    context.spool.write(
        "started",
        pid=os.getpid(),
        device="cuda" if spec.resources.gpus else "cpu",
        versions={"python": sys.version.split()[0]},
        details={"script": spec.user_script, "sha256": sha256(script)},
    )
    program = Program(
        command=[sys.executable, str(script)],
        environment=clean(context.token),
        directory=context.directory / "work",
        context=context,
        take=said.take,
        patience=patience or Patience(),
    )
    context.spool.phase(f"running {spec.user_script}")
    code = program.run({**results.told(spec, context, resumed), "user_config": json.loads(spec.user_config or "{}")})
    return _finished(program, code, said, time.monotonic() - began)


def _note_rows(spec: FineTuningSpec, context: Context) -> None:
    """Note the rows that the script is to learn: evaluations leave them out. Its data may be no file that is read here."""
    try:
        train, _ = sample_and_split(load_rows(spec.dataset, context.token), spec.sampling)
    except JobError as error:
        context.spool.log(f"which rows the script learns can't be noted: {error}", level="warning")
    else:
        fingerprints.keep(spec, context, train)


def _script(spec: FineTuningSpec, context: Context) -> Path:
    """The script on this host; that it is not the one of the request any more is told."""
    try:
        script = find(read().scripts_root, spec.user_script or "")
    except NoScript as error:
        raise JobError(str(error), "Put the script there on the runner's host, then run the job again.") from error
    if spec.user_script_sha256 not in (None, sha256(script)):
        context.spool.warn(
            f"{spec.user_script} is not as it was when the job was started: this attempt runs it as it is now"
        )
    return script


def _identity(spec: FineTuningSpec) -> checkpoint.Identity:
    """What must be alike for a script's checkpoint to be gone on from. Its text may change: mending it is what a retry is for."""
    return checkpoint.Identity(
        data=checkpoint.digest([spec.dataset.model_dump(mode="json"), spec.sampling.model_dump(mode="json")]),
        config=checkpoint.digest([spec.user_script, spec.user_config, spec.model.model_dump(mode="json")]),
        world_size=spec.resources.workers,
        effective_batch=0,
    )


def _finished(program: Program, code: int, said: Said, seconds: float) -> Finished:
    """The end of the script as the end of the attempt. One that ran to its end is done, whatever was ordered meanwhile."""
    left_for = program.obeyed or program.ended_for
    if left_for == "cancel":
        raise Cancelled
    if left_for == "pause":
        return Finished(at=time.time(), outcome="paused")
    if code != 0:
        raise ill("the script", code, program.tail, MEND)
    if "location" not in said.summary:
        said.context.spool.warn("the script ended well and left no adapter (job.adapter())")
    return Finished(at=time.time(), outcome="succeeded", summary={**said.summary, "seconds": round(seconds, 2)})
