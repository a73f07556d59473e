"""The studio's scripted side, and daemons that leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from gpu_runner.files import Files
from gpu_runner.processes import started_at
from tests.runner.evaluations import made, spec  # noqa: F401  # fixtures
from tests.runner.studio import Studio

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def studio(client: redis.Redis, ns: str) -> Iterator[Studio]:
    whole = Studio(client, ns)
    yield whole
    whole.close()


@pytest.fixture
def start(valkey_url: str, ns: str, tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / ".fts-artifacts").write_text("marker\n")

    def run(*warm: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "HF_TOKEN": "hf_secret"}
        with (tmp_path / "daemon.log").open("ab") as printed:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.runner.stand_in_daemon", valkey_url, ns, str(tmp_path), *warm],
                stderr=printed,
                env=environment,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
    for found in (tmp_path / "artifacts").glob("jobs/*/*/child.json"):
        child = Files(found.parent).child()
        if child is not None and started_at(child.pid) == child.started:
            os.killpg(child.pid, signal.SIGKILL)
