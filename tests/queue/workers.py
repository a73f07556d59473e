"""A worker process for the tests: `python -m tests.queue.workers URL NS` runs actors that echo, wait, fail or kill."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import dramatiq

from core.queue.broker import StudioBroker
from core.queue.guard import Guard


def serve(url: str, ns: str, threads: int = 8) -> tuple[StudioBroker, dramatiq.Worker]:
    broker = StudioBroker(url, ns, [Guard()])

    def echo(payload: dict[str, Any]) -> dict[str, Any]:
        broker.client.rpush(f"{ns}:done", payload.get("n", 0))
        return {"ok": True, "value": payload}

    def noop(payload: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "value": payload}

    def fail(payload: dict[str, Any]) -> None:
        raise RuntimeError("on purpose")

    def kill(payload: dict[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def wait(payload: dict[str, Any]) -> dict[str, Any]:
        broker.client.rpush(f"{ns}:begun", os.getpid())
        time.sleep(payload["seconds"])
        return {"ok": True, "value": os.getpid()}

    def span(payload: dict[str, Any]) -> None:
        broker.client.rpush(f"{ns}:spans", f"+{payload['n']}")
        time.sleep(payload["seconds"])
        broker.client.rpush(f"{ns}:spans", f"-{payload['n']}")

    for function in (echo, noop, fail, kill, wait, span):
        dramatiq.actor(function, broker=broker, actor_name=function.__name__, queue_name="commands")
    worker = dramatiq.Worker(broker, queues={"commands"}, worker_threads=threads, worker_timeout=100)
    worker.start()
    return broker, worker


if __name__ == "__main__":
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())  # before the first message is done: a test may stop it then
    _, running = serve(sys.argv[1], sys.argv[2])
    stop.wait()
    running.stop()
