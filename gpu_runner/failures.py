"""Why jobs end badly, told so that a person knows what to do next."""

from __future__ import annotations

import errno
import traceback

from core.events import Failure


class JobError(Exception):
    """A job can't go on, for a reason that its user or host can mend."""

    def __init__(self, message: str, hint: str = "", kind: str = "user_error") -> None:
        super().__init__(message)
        self.message, self.hint, self.kind = message, hint, kind


class Cancelled(Exception):
    """The job was asked to end."""


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception means."""
    trace = "".join(traceback.format_exception(error))[-20_000:]
    if isinstance(error, JobError):
        return Failure(kind=error.kind, message=error.message, hint=error.hint, traceback=trace)
    if (
        isinstance(error, MemoryError)
        or "out of memory" in str(error).lower()
        or "can't allocate memory" in str(error).lower()
    ):
        hint = "Lower per_device_train_batch_size or max_length, turn on gradient_checkpointing, or quantise the model (model_bnb_config)."
        return Failure(
            kind="out_of_memory", message=f"memory ran out: {_first_line(error)}", hint=hint, traceback=trace
        )
    if _disk_full(error):
        hint = "Free room on the disk of the artifacts directory and retry: the job goes on from its last checkpoint."
        return Failure(kind="disk_full", message=f"the disk is full: {error}", hint=hint, traceback=trace)
    hint = "The traceback is in the job's log; if the cause is not in the job's inputs, it is a fault of the studio's."
    return Failure(kind="internal", message=f"{type(error).__name__}: {_first_line(error)}", hint=hint, traceback=trace)


def _disk_full(error: BaseException) -> bool:
    """Whether a write failed for want of room; torch and safetensors say it in words of their own."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    text = str(error).lower()
    return any(
        part in text
        for part in ("no space left", "disk quota exceeded", "file too large", "file write failed", "unexpected pos")
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
