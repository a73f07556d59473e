"""A program on a pseudo-terminal, when it wrote what, and what a terminal would have shown of it."""

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
from collections.abc import Iterator, Sequence

import psutil
import pyte
from common import MIB, stop, until

SIZE = (120, 36)
TICK = 0.02  # seconds of a slow line that are read at once
QUESTION = b"\x1b[?2026$p"
EARLY = 20  # seconds from its start in which it is noted what processor time the program took
Chunks = Sequence[tuple[float, bytes]]


class Terminal:
    """A Python program on a terminal. What it writes is read in a thread: `chunks` with unix times.

    With `baud` the terminal is at the end of a slow line, which takes so many tenths of bytes a second; what waits for it is
    held where a kernel or an SSH server would hold it. It answers the question after its modes as it comes to it.
    """

    def __init__(
        self, command: list[str], environment: dict[str, str], size: tuple[int, int] = SIZE, baud: int | None = None
    ) -> None:
        self.command, self.size, self.baud = command, size, baud
        self.environment = {**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.chunks: list[tuple[float, bytes]] = []
        self.tail = b""
        self.used_at: dict[float, float] = {}  # processor seconds that the program had taken at the time of a chunk
        self.reader = threading.Thread(target=self._read)

    def open(self) -> None:
        """Start the program."""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", self.size[1], self.size[0], 0, 0))
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

    def press(self, keys: str) -> float:
        """Type; the unix time at which it was."""
        now = time.time()
        os.write(self.master, keys.encode())
        return now

    def await_words(self, *words: str, seconds: float = 30) -> None:
        """Wait until the terminal shows, or showed, each word."""
        until(lambda: all(word in self.shown() for word in words), f"{words} on the terminal", seconds, 0.1)

    def shown(self) -> str:
        """What a terminal would show now."""
        shown = ""
        for _, screen in screens(list(self.chunks), self.size):
            shown = "\n".join(screen.display)
        return shown

    def run(self, *words: str) -> tuple[list[float], list[float], float]:
        """Seconds, then processor seconds, from the program's start until the terminal showed each word, and MiB resident
        then; ends the program."""
        self.open()
        try:
            self.await_words(words[-1])
            resident = self.resident
        finally:
            self.close()
        came: dict[str, float] = {}
        for at, screen in screens(self.chunks, self.size):
            shown = "\n".join(screen.display)
            came |= {word: at for word in words if word not in came and word in shown}
        return [came[word] - self.begun for word in words], [self.used_at[came[word]] for word in words], resident

    @property
    def resident(self) -> float:
        """MiB of the program's memory that are its own or shared, now."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / MIB

    @property
    def used(self) -> float:
        """Processor seconds that the program took so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 1 << 16 if self.baud is None else max(1, int(self.baud / 10 * TICK)))
            except OSError:  # the program is gone
                return
            now = time.time()
            self.chunks.append((now, data))
            if self.baud is not None:
                self._slow(data)
            if now - self.begun < EARLY:
                self.used_at[now] = self.used

    def _slow(self, data: bytes) -> None:
        self.tail += data
        if QUESTION in self.tail:  # looked for in all of it: what was cut away before held one now and then
            self.tail = self.tail.rpartition(QUESTION)[2]
            os.write(self.master, b"\x1b[?2026;2$y")
        self.tail = self.tail[-len(QUESTION) :]
        time.sleep(len(data) * 10 / (self.baud or 1))


def screens(chunks: Chunks, size: tuple[int, int] = SIZE) -> Iterator[tuple[float, pyte.Screen]]:
    """What the terminal showed after each chunk, with its time; the same screen each time, which changes."""
    screen = pyte.Screen(*size)
    stream = pyte.ByteStream(screen)
    for at, data in chunks:
        stream.feed(data)
        yield at, screen
