"""Why jobs end badly, told so that a person knows what to do next (the classes are core/failing.py's)."""

from __future__ import annotations

import errno
import traceback

from core.events import Failure
from core.failing import filled
from core.types import FailureClass

F = FailureClass
MEMORY = (
    "out of memory",
    "can't allocate memory",  # torch on the CPU
    "cannot allocate memory",
    "not enough memory",
    "alloc_failed",  # cuBLAS, cuDNN
)
LOST = ("cuda error", "device-side assert")  # after these a process computes nothing any more
DISK = ("no space left", "disk quota exceeded", "file too large", "file write failed", "unexpected pos")


class JobError(Exception):
    """A job can't go on, for a reason that its user or host can mend. `kind` is a FailureClass."""

    def __init__(self, message: str, hint: str = "", kind: str = F.user_error, cause: str = "") -> None:
        super().__init__(message)
        self.message, self.hint, self.kind, self.cause = message, hint, kind, cause


class Cancelled(Exception):
    """The job was asked to end."""


class Paused(Exception):
    """The job was asked to stop where it can go on later."""


class LeftOut(Exception):
    """This child of a job was cancelled; the others go on."""


class WorkerLost(Exception):
    """A worker of the job is gone without a reason of its own: the attempt is over, and the job can be run again."""


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception means. A user's error that came of want of memory or room is told as that."""
    trace = "".join(traceback.format_exception(error))[-20_000:]
    for each in _chain(error):
        if isinstance(each, JobError) and each.kind != F.user_error:
            return _told(each.kind, each.message, trace, each.hint, each.cause)
        if is_out_of_memory(each):
            return _told(F.out_of_memory, f"memory ran out: {_first_line(each)}", trace)
        if is_disk_full(each):
            return _told(F.disk_full, f"a file could not be written: {_first_line(each)}", trace)
    if isinstance(error, JobError):
        return _told(error.kind, error.message, trace, error.hint, error.cause)
    return _told(F.bug, f"{type(error).__name__}: {_first_line(error)}", trace)


def _told(kind: str, message: str, trace: str, hint: str = "", cause: str = "") -> Failure:
    return filled(Failure(kind=kind, message=message, hint=hint, cause=cause, traceback=trace))


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and those it was raised from."""
    chain = [error]
    while (before := chain[-1].__cause__) is not None and before not in chain:
        chain.append(before)
    return chain


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the host or of a GPU; torch and its libraries say it in words of their own."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    text = str(error).lower()
    return not isinstance(error, JobError) and any(part in text for part in MEMORY)


def is_gpu_lost(error: BaseException) -> bool:
    """Whether the process can compute nothing any more on its GPU. What found no memory may try again."""
    text = str(error).lower()
    return any(part in text for part in LOST) and not is_out_of_memory(error)


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed for want of room; torch and safetensors say it in words of their own."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    text = str(error).lower()
    return not isinstance(error, JobError) and any(part in text for part in DISK)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
