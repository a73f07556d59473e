"""What a program leaves, made the studio's: checkpoints sealed, an adapter or a model published; and what it may go on from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from core.spec import FineTuningSpec
from gpu_runner import checkpoint
from gpu_runner.child import Context
from gpu_runner.failures import JobError

PICKLED = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
Resumed = checkpoint.Found | None


def newest(context: Context, identity: checkpoint.Identity, needed: tuple[str, ...] = ()) -> Resumed:
    """The newest sealed checkpoint of the attempts so far, told in the spool. Raises JobError when it is of other inputs."""
    found = checkpoint.newest(context.directory, identity, context.spool.warn, needed, own=context.again)
    if found is not None:
        context.spool.write("resumed", from_step=found.step, path=context.relative(found.path))
    elif context.attempt > 1 or context.again:
        context.spool.write("resumed", from_step=0, path="")
    return found


def told(spec: FineTuningSpec, context: Context, resumed: Resumed) -> dict[str, Any]:
    """What every program is told in its job.json."""
    drafts = context.directory / "drafts"
    shutil.rmtree(drafts, ignore_errors=True)
    drafts.mkdir()
    return {
        "spec": str(context.directory / "spec.json"),
        "drafts": str(drafts),
        "adapter": str(draft(place(spec, context))),
        "resume": None if resumed is None else str(resumed.path),
        "resume_step": 0 if resumed is None else resumed.step,
    }


def place(spec: FineTuningSpec, context: Context) -> Path:
    """Where the attempt's adapter, or model, belongs."""
    return Path(spec.out_dir) / spec.job_id / str(context.attempt)


def draft(final: Path) -> Path:
    """Where it is written before it is whole: beside its place, so that a rename brings it there."""
    return final.with_name(f".{final.name}.draft")


def seal(context: Context, identity: checkpoint.Identity, step: int) -> None:
    """Make the draft of a checkpoint one that can be gone on from; one of that step that is there already stays."""
    name = f"checkpoint-{step}"
    made, final = context.directory / "drafts" / name, context.directory / "checkpoints" / name
    if final.exists():
        context.spool.log(f"there is a checkpoint of step {step} already: it stays")
        shutil.rmtree(made, ignore_errors=True)
        return
    if not made.is_dir():
        context.spool.log(f"{name} was told and is not there", level="warning")
        return
    checkpoint.seal(made, final, identity, step, {})
    context.spool.write("checkpoint", step=step, path=context.relative(final), files=checkpoint.weights(final))
    context.spool.sync()


def publish_adapter(spec: FineTuningSpec, context: Context) -> Path:
    """Check the draft of an adapter and bring it to its place, whole or not at all. Raises JobError."""
    final = place(spec, context)
    made = draft(final)
    check(made, "adapter_config.json", "adapter")
    return publish(spec, context, made, "adapter")


def publish(spec: FineTuningSpec, context: Context, made: Path, kind: str) -> Path:
    """Bring a draft to its place and tell it; `kind` is adapter or model."""
    final = place(spec, context)
    shutil.rmtree(final, ignore_errors=True)
    files = checkpoint.publish(made, final)
    context.spool.write("artifact", kind=kind, path=str(final), job_id=spec.job_id, files=files)
    context.spool.sync()
    return final


def check(made: Path, config: str, kind: str) -> None:
    """Raise JobError when the draft of an adapter or a model is none, or holds pickles."""
    names = [path.name for path in made.rglob("*")] if made.is_dir() else []
    if config not in names or not any(name.endswith(".safetensors") for name in names):
        raise JobError(
            f"what was given as the {kind} is none: {config} and safetensors are needed, there are {sorted(names)}",
            f"Save the {kind} with save_pretrained into the directory that is given for it.",
        )
    if bad := sorted(name for name in names if Path(name).suffix in PICKLED):
        raise JobError(f"pickled files are not taken: {bad}", f"Save the {kind} as safetensors, and nothing else.")
