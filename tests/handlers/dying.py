"""Actors that die between commit and publish: `python dying.py` serves until the first command has its effect."""

from __future__ import annotations

import os
import signal

import dramatiq

from actors import app
from actors.desk import Desk
from core.settings import Settings


class DyingDesk(Desk):
    def _publish(self, quickly: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    real = app.open_desk(Settings())
    broker = app.make_broker(DyingDesk(real.settings, real.store, real.redis))
    worker = dramatiq.Worker(broker, queues={"commands"}, worker_threads=2)
    worker.start()
    print("ready", flush=True)  # noqa: T201  # the test waits for it
    signal.pause()
