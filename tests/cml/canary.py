"""Where a secret may turn up that is to be nowhere: command lines, the queue, files; looked at all the while, or at the end."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

from core.queue.connect import connect

CANARY = "hf_" + "Canary" + "0123456789abcdefXYZ"


class Watcher:
    """Somebody who looks on in a thread until he is closed."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Look no longer."""
        self.over.set()
        self.thread.join(30)


class Peeking(Watcher):
    """Whoever can list processes on this machine: the command lines that named the token at any time."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        super().__init__()

    def _look(self) -> None:
        while not self.over.wait(0.2):
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    line = " ".join(process.cmdline())
                    self.seen += [line] if CANARY in line else []


class Overhearing(Watcher):
    """Whoever listens at the queue: every command that it is given, also of what is taken from it at once."""

    def __init__(self, url: str) -> None:
        self.heard: list[bytes] = []
        self.ready = threading.Event()
        self._url, self._end = url, f"end-{uuid4().hex}"
        super().__init__()
        assert self.ready.wait(30)

    def _look(self) -> None:
        with connect(self._url) as client, client.monitor() as monitor:
            self.ready.set()
            while not (self.heard and self._end.encode() in self.heard[-1]):
                if monitor.connection.can_read(timeout=1):
                    self.heard.append(monitor.connection.read_response())

    def close(self) -> None:
        """Listen to all that was said until now."""
        with connect(self._url) as client:
            client.echo(self._end)
        super().close()

    def lines(self, secret: str) -> list[bytes]:
        """The commands that had a secret in them."""
        return [line for line in self.heard if secret.encode() in line]


def holders(root: Path, secret: str) -> list[str]:
    """The files below a directory that hold a secret."""
    found = []
    for directory, _, names in os.walk(root):
        paths = [Path(directory) / name for name in names]
        found += [str(path) for path in paths if path.is_file() and secret.encode() in path.read_bytes()]
    return found
