"""A program on a pseudo-terminal, and when it wrote what."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time

import psutil
from common import MIB, stop, until


class Terminal:
    """A Python program on a terminal of 120 x 36. What it writes is read in a thread: `chunks` with unix times."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.command = command
        self.environment = {**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.chunks: list[tuple[float, bytes]] = []
        self.written = b""
        self.came: dict[bytes, float] = {}
        self.awaited: list[bytes] = []
        self.reader = threading.Thread(target=self._read)

    def open(self) -> None:
        """Start the program."""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        self.begun = time.time()
        self.process = subprocess.Popen(
            [sys.executable, *self.command],
            stdin=slave, stdout=slave, stderr=slave, env=self.environment, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.reader.start()

    def close(self) -> None:
        """End the program."""
        stop(self.process)
        self.reader.join()
        os.close(self.master)

    def run(self, *words: str) -> tuple[list[float], float]:
        """Seconds from the program's start until each word was written, and MiB resident then; ends the program."""
        self.awaited = [word.encode() for word in words]
        self.open()
        try:
            until(lambda: len(self.came) == len(words), f"{words} on the terminal", 20)
            resident = psutil.Process(self.process.pid).memory_info().rss / MIB
        finally:
            self.close()
        return [self.came[word] - self.begun for word in self.awaited], resident

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 1 << 16)
            except OSError:  # the program is gone
                return
            now = time.time()
            self.chunks.append((now, data))
            if len(self.written) < MIB:
                self.written += data
                for word in self.awaited:
                    if word not in self.came and word in self.written:
                        self.came[word] = now
