"""Who a process is, so that a pid that the system gave to another one is never signalled."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent() -> None:
    """Have the system kill this process when the one that started it is gone. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def started_at(pid: int) -> str:
    """What tells this process from a later one of the same pid; empty when there is none, or only its zombie.

    On Linux the start in clock ticks since boot (proc(5), field 22); elsewhere psutil's creation time.
    """
    if not Path("/proc/self/stat").exists():
        return _created(pid)
    try:
        # The name, in parentheses, may hold anything: fields are counted from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _created(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return ""


def is_running(pid: int, started: str) -> bool:
    """Whether the process that was `pid` and began at `started` still runs."""
    return bool(started) and started_at(pid) == started


def signal_group(pid: int, started: str, number: signal.Signals) -> bool:
    """Signal the group that `pid` leads, when it is still the process that began at `started`; tell whether it was."""
    if not is_running(pid, started):
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
    return True


def end_leftovers(pid: int) -> None:
    """Kill what a dead leader's group left behind.

    A pid is not given out again while it names a group, and jobs lead sessions of their own: when the pid is a
    process again, the group is gone and the number is someone else's.
    """
    if not started_at(pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
