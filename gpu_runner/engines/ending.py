"""How a program's end is told: its exit code and its last lines, as a class of failure with a next step."""

from __future__ import annotations

import signal
from collections.abc import Iterable

from core.types import FailureClass
from gpu_runner.failures import DISK, MEMORY, JobError

LONGEST = 300  # characters of the last line that a message tells


def ill(what: str, code: int, lines: Iterable[str], hint: str) -> JobError:
    """Why `what` ended with `code`: want of memory or room by what it printed last, a signal, else its user's error."""
    printed = [line for line in lines if line.strip()]
    last = f": {printed[-1].strip()[:LONGEST]}" if printed else ""
    for line in reversed(printed):
        if any(part in line.lower() for part in MEMORY) or "MemoryError" in line:
            return JobError(f"memory ran out in {what}: {line.strip()[:LONGEST]}", kind=FailureClass.out_of_memory)
        if any(part in line.lower() for part in DISK):
            return JobError(f"the disk is full for {what}: {line.strip()[:LONGEST]}", kind=FailureClass.disk_full)
    if code < 0:
        return JobError(f"{what} was ended by {_name(-code)}{last}", kind=FailureClass.killed)
    return JobError(f"{what} ended with exit code {code}{last}", hint)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
