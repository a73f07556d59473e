"""The processes that the stand-in starts where Cloudera starts pods: known by their pids, so that they outlive the stand-in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "OMP_NUM_THREADS",
    "COVERAGE_PROCESS_START",
)
CHILDREN: dict[int, subprocess.Popen[bytes]] = {}  # those of this process, which reaps them


def base() -> dict[str, str]:
    """The environment that a pod has from its image: nothing of the studio's that started the tests is in it."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    path = os.pathsep.join((str(HERE.parents[1]), *sdk_path()))
    return {**kept, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": kept.get("OMP_NUM_THREADS", "1")}


def sdk_path() -> tuple[str, ...]:
    """Where the SDK is that every pod of Cloudera's has: the real one when it can be imported, else the thin client."""
    found = find_spec("cmlapi")
    thin = HERE / "sdk"
    return (str(Path(found.origin).parents[1] if found and found.origin else thin),)


def start(words: list[str], environment: dict[str, str], cwd: Path, directory: Path) -> dict[str, Any]:
    """Start a process in a session of its own, which writes to `directory`/log.txt; what it is known by."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "exit").unlink(missing_ok=True)
    with (directory / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    CHILDREN[process.pid] = process
    return {"pid": process.pid, "born": psutil.Process(process.pid).create_time()}


def lives(pod: dict[str, Any]) -> bool:
    """Whether its first process runs."""
    if child := CHILDREN.get(pod["pid"]):
        if child.poll() is None:
            return True
        CHILDREN.pop(pod["pid"])
        return False
    with suppress(psutil.Error):
        process = psutil.Process(pod["pid"])
        return process.create_time() == pod["born"] and process.status() != psutil.STATUS_ZOMBIE
    return False


def terminate(pod: dict[str, Any]) -> None:
    """Ask its first process to end, as a pod's is asked."""
    if lives(pod):
        with suppress(ProcessLookupError):
            os.kill(pod["pid"], signal.SIGTERM)


def kill(pod: dict[str, Any]) -> None:
    """End all of it: what its first process left behind too, as when a pod goes."""
    with suppress(ProcessLookupError):
        os.killpg(pod["pid"], signal.SIGKILL)
    if child := CHILDREN.pop(pod["pid"], None):
        child.wait()


def code(directory: Path) -> int | None:
    """What a script ended with; None when it was killed."""
    with suppress(OSError, ValueError):
        return int((directory / "exit").read_text())
    return None
