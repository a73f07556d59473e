"""Workers for the queue's tests: in a thread of this process, or in a process that can be killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest

from core.queue.broker import StudioBroker
from tests.queue import workers

Start = Callable[[], "subprocess.Popen[bytes]"]
Serve = Callable[..., StudioBroker]


@pytest.fixture
def start(valkey_url: str, ns: str) -> Iterator[Start]:
    """Start a worker process."""
    started: list[subprocess.Popen[bytes]] = []

    def one() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.queue.workers", valkey_url, ns]
        started.append(subprocess.Popen(command, cwd=Path(__file__).parents[2]))
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def serve(valkey_url: str, ns: str) -> Iterator[Serve]:
    """Start a worker in threads of this process."""
    running: list[dramatiq.Worker] = []

    def one(url: str = valkey_url, threads: int = 8) -> StudioBroker:
        broker, worker = workers.serve(url, ns, threads)
        running.append(worker)
        return broker

    yield one
    for worker in running:
        worker.stop()


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for a condition; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value
