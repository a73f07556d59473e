"""Workers as processes of this machine, known by files of the directory WORKERS_DIR, where their output is too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

NOTES = Path(os.environ["WORKERS_DIR"])
OF_THE_IMAGE = ("PATH", "PYTHONPATH", "WORKERS_DIR", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "CDSW_IP_ADDRESS", "TMPDIR")


def launch_workers(
    n: int, cpu: float, memory: float, nvidia_gpu: int = 0, script: str = "", env: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Start so many processes of the script."""
    if (NOTES / "refuses").exists():
        raise RuntimeError("quota exceeded")
    assert "CDSW_APIV2_KEY" in os.environ
    made = []
    for _ in range(n):
        number = len(list(NOTES.glob("*.json")))
        with (NOTES / f"{number}.log").open("ab") as printed:
            kept = {name: os.environ[name] for name in OF_THE_IMAGE if name in os.environ}
            process = subprocess.Popen(
                [sys.executable, script], env=kept | (env or {}), stdin=subprocess.DEVNULL,
                stdout=printed, stderr=printed, start_new_session=True,
            )  # fmt: skip
        told = {"id": f"w{number}", "pid": process.pid, "cpu": cpu, "memory": memory, "gpus": nvidia_gpu, "env": env}
        (NOTES / f"{number}.json").write_text(json.dumps(told))
        made.append({"id": told["id"]})
    return made


def list_workers() -> list[dict[str, Any]]:
    """Those that run."""
    return [{"id": each["id"]} for each in _all() if psutil.pid_exists(each["pid"])]


def stop_workers(*ids: str) -> None:
    """Ask them to end."""
    for each in _all():
        if each["id"] in ids:
            with suppress(ProcessLookupError):
                os.killpg(each["pid"], signal.SIGTERM)


def _all() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in NOTES.glob("*.json")]
