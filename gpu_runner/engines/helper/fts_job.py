"""What a script that the studio runs may say, and ask: `import fts_job as job` (docs/user-scripts.md). Standard library only.

    job.spec, job.user_config        what was asked for: the frozen job, and the request's user_config
    job.resume, job.resume_step      the newest checkpoint of earlier attempts (a directory or None), and its step
    job.phase(name)                  what is being done now
    job.progress(step, total)        how far it is
    job.metrics(step, loss=0.1)      numbers of a step
    job.log(text), job.warn(text)    lines for people; a warning is an event of the job
    with job.checkpoint(step) as d:  write files into the directory d; it is sealed afterwards
    with job.adapter() as d:         the same for the trained adapter (PEFT's files, safetensors)
    job.order()                      "cancel", "pause" or None
    job.checkpoint_asked()           True once for each checkpoint that was asked for
    job.leave()                      end here, because of the order

Run by hand, without the studio, it prints what it would say, and orders never come.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

LOOK = 0.5  # seconds between looks at the orders


def _told() -> dict[str, Any]:
    path = os.environ.get("FTS_JOB")
    return (
        json.loads(Path(path).read_text(encoding="utf-8"))
        if path
        else {"drafts": "fts-job", "adapter": "fts-job/adapter"}
    )


_job = _told()
_pipes: list[int] = []
spec: dict[str, Any] = json.loads(Path(_job["spec"]).read_text(encoding="utf-8")) if "spec" in _job else {}
user_config: dict[str, Any] = _job.get("user_config") or {}
resume = Path(_job["resume"]) if _job.get("resume") else None
resume_step: int = _job.get("resume_step") or 0
_control: dict[str, Any] = {"looked": 0.0, "content": {}, "saves": 0}
_pace: dict[str, tuple[int, float]] = {}


def say(type: str, **fields: Any) -> None:
    """Say a record (core/events.py) to the studio; each is one line and, up to 4 KiB, one write."""
    line = json.dumps({"type": type, **fields}, default=str).encode() + b"\n"
    if "say" not in _job:
        sys.stderr.write(line.decode())
        return
    if not _pipes:  # raises OSError when the job's process is gone, instead of waiting for it
        _pipes.append(os.open(_job["say"], os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        os.set_blocking(_pipes[0], True)
    while line:  # a pipe takes long lines in pieces
        line = line[os.write(_pipes[0], line) :]


def phase(name: str) -> None:
    """What is being done now: loading, training, saving."""
    say("phase", name=str(name))


def progress(step: int, total_steps: int, eta_seconds: float | None = None) -> None:
    """How far the job is; the time that is left is reckoned from the steps so far."""
    now = time.monotonic()
    first, began = _pace.setdefault("first", (step, now))
    if eta_seconds is None and step > first:
        eta_seconds = round((total_steps - step) * (now - began) / (step - first), 1)
    say("progress", step=int(step), total_steps=int(total_steps), eta_seconds=eta_seconds)


def metrics(step: int, epoch: float | None = None, **values: float) -> None:
    """Numbers of a step: metrics(3, loss=0.5, learning_rate=1e-4)."""
    say("metrics", step=int(step), epoch=epoch, values={name: float(value) for name, value in values.items()})


def log(text: str, level: str = "info") -> None:
    """A line for people; level is info, warning or error. What is printed is logged too."""
    say("log", text=str(text), level=level)


def warn(text: str) -> None:
    """Something is done otherwise than asked; it becomes an event of the job."""
    say("warning", text=str(text))


@contextmanager
def checkpoint(step: int) -> Iterator[Path]:
    """A directory to write a checkpoint into; when the block ends well, the studio seals it, and `resume` finds it later."""
    directory = Path(_job["drafts"]) / f"checkpoint-{int(step)}"
    with _draft(directory):
        yield directory
    say("checkpoint", step=int(step))


@contextmanager
def adapter() -> Iterator[Path]:
    """A directory to write the trained adapter into: adapter_config.json and safetensors, as PEFT saves them."""
    directory = Path(_job["adapter"])
    with _draft(directory):
        yield directory
    say("artifact", kind="adapter")


@contextmanager
def _draft(directory: Path) -> Iterator[None]:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def order() -> str | None:
    """What was ordered: "cancel", "pause", or None."""
    told = _look().get("order")
    return told if told in ("cancel", "pause") else None


def checkpoint_asked() -> bool:
    """Whether a checkpoint was asked for since this was last called."""
    asked: int = _look().get("checkpoint", 0)
    before: int = _control["saves"]
    _control["saves"] = max(before, asked)
    return asked > before


def leave(because: str | None = None) -> NoReturn:
    """End here, because of the order, as it is now or as it was seen: after a pause the job goes on from its newest checkpoint when it is continued."""
    say("stopped", order=because or order())
    sys.stdout.flush()
    sys.exit(0)


def _look() -> dict[str, Any]:
    if "control" in _job and time.monotonic() - _control["looked"] >= LOOK:
        _control["looked"] = time.monotonic()
        try:
            _control["content"] = json.loads(Path(_job["control"]).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            pass  # there is none yet
    content: dict[str, Any] = _control["content"]
    return content
