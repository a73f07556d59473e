"""How the daemon starts jobs: forked from the warm process when there is one, else cold; and how it learns that they ended."""

from __future__ import annotations

import json
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gpu_runner.files import Files
from gpu_runner.launch import THREADS, Launch, clean_environment, cold_command

log = logging.getLogger(__name__)
WARM_COMMAND = (sys.executable, "-m", "gpu_runner.warm")  # and the descriptor of its end of the socket
ACK_SECONDS = 5.0  # a warm process that does not fork by then is of no use
WARM_UP_SECONDS = 15.0  # about twice what warming up takes: for longer no job waits for it
LONGEST_PAUSE = 60.0  # between restarts of a warm process that keeps dying


class WarmProcess:
    """The daemon's end of one warm process. Its lines are read in a thread; `bell` is rung for each."""

    def __init__(self, command: Sequence[str], bell: Callable[[], None], exited: Callable[[str, int], None]) -> None:
        self.began = time.monotonic()
        self.ready = False
        self.gone = False
        self._bell, self._exited = bell, exited
        self._acks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._socket, theirs = socket.socketpair()
        quiet = {
            **clean_environment(),
            **dict.fromkeys(THREADS, "1"),
            "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        with theirs:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                env=quiet, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        threading.Thread(target=self._read, name="warm", daemon=True).start()

    def fork(self, launch: Launch, descriptors: list[int]) -> bool:
        """Have the job forked; False when this process can't: nothing was started then."""
        try:
            socket.send_fds(self._socket, [launch.to_json().encode()], descriptors)
            ack = self._acks.get(timeout=ACK_SECONDS)
        except queue.Empty:
            self.process.kill()  # after that it can't fork any more; the line may still have come
            ack = self._acks.get()
        except OSError:
            ack = None
        if ack is not None and ack["event"] == "refused":
            log.warning("the warm process can't fork: %s", ack["error"])
        return ack is not None and ack["event"] == "forked"

    def close(self) -> None:
        """Let it go; its children live on."""
        self._socket.close()

    def _read(self) -> None:
        with self._socket.makefile("r", encoding="utf-8") as lines:
            try:
                for line in lines:
                    self._hear(json.loads(line))
            except OSError:
                pass  # it died: told below
        self.gone = True
        self._acks.put(None)
        self._bell()

    def _hear(self, line: dict[str, Any]) -> None:
        if line["event"] == "ready":
            self.ready = True
            log.info("warm after %s s", line["seconds"])
        elif line["event"] == "exited":
            self._exited(line["attempt_dir"], line["code"])
        else:
            self._acks.put(line)
        self._bell()


class Starter:
    """Starts children and knows the exit codes of those it started. Without a `warm_command` all start cold.

    `environment` is what children get that start cold, beside what this process's own has that is no secret.
    """

    def __init__(
        self,
        bell: Callable[[], None],
        warm_command: Sequence[str] | None = WARM_COMMAND,
        command: Callable[[Launch], list[str]] = cold_command,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = environment or {}
        self._bell, self._command, self._warm_command = bell, command, warm_command
        self.warm: WarmProcess | None = None
        self._pause = 1.0
        self._next_warm = 0.0
        self._cold: dict[str, subprocess.Popen[bytes]] = {}
        self._codes: dict[str, int] = {}

    def tend(self, now: float) -> None:
        """Start the warm process, again with growing pauses when it died."""
        if self.warm is not None and self.warm.gone:
            code = self.warm.process.wait()
            log.warning(
                "the warm process ended with %s; jobs start cold, it is started again in %.0f s", code, self._pause
            )
            self.warm.close()
            self.warm, self._next_warm = None, now + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        if self._warm_command and self.warm is None and now >= self._next_warm:
            self.warm = WarmProcess(self._warm_command, self._bell, self._codes.__setitem__)

    def worth_waiting(self, now: float) -> bool:
        """Whether the warm process will be ready sooner than a cold start: it imports the same, and began before."""
        warm = self.warm
        return warm is not None and not warm.ready and not warm.gone and now < warm.began + WARM_UP_SECONDS

    def start(self, launch: Launch, lock: int, token: str | None, *, cold: bool = False) -> str:
        """Start a child that inherits the descriptor `lock`; return "warm" or "cold". Raises OSError."""
        self._codes.pop(launch.attempt_dir, None)
        pipe = pipe_with(token) if token is not None else None
        try:
            descriptors = [lock] if pipe is None else [lock, pipe]
            if not cold and self.warm is not None and self.warm.ready and self.warm.fork(launch, descriptors):
                self._pause = 1.0
                return "warm"
            self._start_cold(launch, lock, pipe)
            return "cold"
        finally:
            if pipe is not None:
                os.close(pipe)

    def start_alone(self, files: Files, runner_id: str) -> bool:
        """Start a child, cold, for an attempt that nobody else runs now; whether it was started. Raises OSError."""
        if (lock := files.take_lock()) is None:
            return False
        try:
            self.start(Launch(str(files.directory), runner_id), lock, None, cold=True)
        finally:
            os.close(lock)
        return True

    def exit_code(self, attempt_dir: str) -> int | None:
        """The exit code of a child this daemon started (negative: a signal's number); None while it lives, or unknown."""
        process = self._cold.get(attempt_dir)
        if process is not None and process.poll() is not None:
            self._codes[attempt_dir] = process.returncode
            del self._cold[attempt_dir]
        return self._codes.get(attempt_dir)

    def forget(self, attempt_dir: str) -> None:
        """Forget an attempt that is over."""
        self._codes.pop(attempt_dir, None)
        self._cold.pop(attempt_dir, None)

    def close(self) -> None:
        """Let the warm process go; all jobs live on."""
        if self.warm is not None:
            self.warm.process.terminate()
            self.warm.process.wait()
            self.warm.close()

    def _start_cold(self, launch: Launch, lock: int, pipe: int | None) -> None:
        launch = replace(launch, lock_fd=lock, token_fd=-1 if pipe is None else pipe)
        environment = {
            **clean_environment(),
            **self._environment,
            **launch.env,
            **dict.fromkeys(THREADS, str(launch.cpus)),
        }
        self._cold[launch.attempt_dir] = subprocess.Popen(
            self._command(launch), env=environment, pass_fds=[lock] if pipe is None else [lock, pipe],
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def pipe_with(token: str) -> int:
    """The reading end of a pipe that holds `token` and ends after it."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        pipe.write(token)
    return reading
