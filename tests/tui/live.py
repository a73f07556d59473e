"""A studio of real processes with a runner that a thread plays, and lines to dashboards that can be cut.

Valkey, the actors and `fts` are processes; the line is SSH over loopback, its server gives each session a pseudo-terminal, and the
terminal at its other end is pyte.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh
import psutil
import pyte

from core.client import StudioClient
from core.errors import StudioError
from core.messages import parse
from core.queue import embedded
from core.settings import Settings
from core.store.session import Store
from core.store.tables import Meta
from tests.handlers.work import add_inputs
from tests.whole import until

ROOT = Path(__file__).resolve().parents[2]
TOTAL = 100_000  # steps of a job: none ends by itself


class Live:
    """A studio; `jobs` by name, with the steps that the runner has told."""

    def __init__(self, upgraded: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fts-"))
        self.settings = Settings(home=self.directory / ".app", project=self.directory)
        self.settings.root.mkdir()
        shutil.copyfile(upgraded, self.settings.root / "state.db")
        store = Store(self.settings)
        add_inputs(store)
        with store.read() as session:
            self.marker = session.get_one(Meta, "marker").value
        store.close()
        known = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY", "NO_COLOR")}
        paths = {"FTS_HOME": str(self.settings.root), "FTS_PROJECT": str(self.directory), "PYTHONPATH": str(ROOT)}
        self.environment = {**known, **paths, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.valkey = embedded.start(self.settings.root)
        self.actors = subprocess.Popen(
            [sys.executable, "-m", "actors.app", "commands", "runners", "slow"],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.client = StudioClient(self.settings)
        self.steps: dict[str, int] = {}
        self.offsets: dict[str, int] = {}
        self.unsure: dict[str, tuple[dict[str, Any], int]] = {}  # a job's report without an answer, and its last step
        self.turn = threading.Lock()  # the load and a test tell of a job one after the other
        self.stop = threading.Event()
        self.load: threading.Thread | None = None
        until(self._registered, 60, "the actors answer")

    def _registered(self) -> bool:
        offer = {"host": "gpu-host", "cpus": 64, "memory": 64.0, "engines": ["legacy"], "marker": self.marker}
        try:
            reply = self.ask("RegisterRunner", **offer)
        except StudioError:
            return False
        self.runner = {"runner_id": reply.runner_id, "incarnation": reply.incarnation}
        return True

    def ask(self, name: str, patience: float = 60.0, **fields: Any) -> Any:
        """The value answered to a message, within so many seconds."""
        return self.client.call(parse(name, fields), timeout=patience)

    def start(self, name: str) -> str:
        """A job that runs; its id."""
        asked = {"base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "num_cpu": 1, "num_gpu": 0, "num_memory": 1}
        id = str(self.ask("StartFineTuningJob", adapter_name=name, **asked).fine_tuning_job.id)
        until(
            lambda: id in {each.job_id for each in self.ask("ReportProgress", **self.runner).jobs}, 60, "it is assigned"
        )
        self.steps[id] = self.offsets[id] = 0
        self.tell(id, {"type": "started", "at": time.time(), "pid": 1, "total_steps": TOTAL})
        return id

    def settle(self, id: str, patience: float = 60.0) -> None:
        """Report what came without an answer again, as a runner does: it is taken in once, whatever became of the first."""
        if id in self.unsure:
            report, step = self.unsure[id]
            self.ask("ReportProgress", patience, **self.runner, jobs=[report])
            self.offsets[id], self.steps[id] = report["next_offset"], step
            del self.unsure[id]

    def tell(self, id: str, *records: dict[str, Any], patience: float = 60.0) -> None:
        """Report what a job's child wrote."""
        self.settle(id, patience)
        begin = self.offsets[id]
        placed = [{**each, "offset": begin + 10 * number} for number, each in enumerate(records, 1)]
        end = begin + 10 * len(placed)
        report = {"job_id": id, "attempt": 1, "offset": begin, "next_offset": end, "records": placed}
        self.unsure[id] = report, max([self.steps[id], *(each["step"] for each in records if "step" in each)])
        self.settle(id, patience)

    def advance(self, id: str, steps: int, patience: float = 60.0) -> None:
        """A job does some steps."""
        self.settle(id, patience)
        first, at = self.steps[id] + 1, time.time()
        last = first + steps - 1
        metrics = [
            {"type": "metrics", "at": at, "step": step, "values": {"loss": 1 / step}} for step in range(first, last + 1)
        ]
        progress = {"type": "progress", "at": at, "step": last, "total_steps": TOTAL, "tokens_per_second": 7.0}
        self.tell(id, *metrics, progress, patience=patience)

    def end(self, id: str, outcome: str = "succeeded") -> None:
        """A job ends."""
        with self.turn:
            self.tell(id, {"type": "finished", "at": time.time(), "outcome": outcome})
            del self.steps[id]

    def burden(self, pause: float = 0.05, steps: int = 25) -> None:
        """Have all jobs go on in a thread until `rest`."""

        def work() -> None:
            while not self.stop.is_set():
                for id in list(self.steps):
                    with suppress(StudioError), self.turn:  # the queue may be away: it is told again by the next report
                        if id in self.steps:
                            self.advance(id, steps, patience=2.0)
                self.stop.wait(pause)

        self.stop.clear()
        self.load = threading.Thread(target=work, name="load")
        self.load.start()

    def rest(self) -> None:
        """Nothing goes on any more, and what was taken in of each job is known."""
        self._stop()
        for id in list(self.unsure):
            self.settle(id)

    def _stop(self) -> None:
        self.stop.set()
        if self.load is not None:
            self.load.join()
            self.load = None

    def dashboards(self) -> list[psutil.Process]:
        """The dashboards of this studio that run."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get("FTS_HOME") == str(self.settings.root)
                if ours and "tui.cli.main" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def close(self) -> None:
        """End all of it."""
        self._stop()
        for each in self.dashboards():
            each.kill()
        self.actors.kill()
        self.actors.wait(30)
        self.client.close()
        self.valkey.kill()
        self.valkey.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Terminal:
    """What a terminal shows of the bytes that it gets."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.got = b""

    def feed(self, data: bytes) -> None:
        """Show bytes; those of the keyboard's protocol, which pyte takes for text, are left out."""
        self.got += data
        self.stream.feed(data.replace(b"\x1b[<u", b"").replace(b"\x1b[>25u", b"").replace(b"\x1b[>1u", b""))

    @property
    def text(self) -> str:
        """The screen."""
        return "\n".join(self.screen.display)


class Program:
    """A program on a pseudo-terminal, which is its controlling one."""

    def __init__(self, words: list[str], environment: dict[str, str], cwd: Path, columns: int, lines: int) -> None:
        self.master, slave = os.openpty()
        self.resize(columns, lines)
        self.process = subprocess.Popen(
            [sys.executable, *words], stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=cwd,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        os.set_blocking(self.master, False)
        self.open = True

    def resize(self, columns: int, lines: int) -> None:
        """The terminal has another size, which the program is told."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def close(self) -> None:
        """The terminal is gone."""
        if self.open:
            self.open = False
            os.close(self.master)


class Server:
    """An SSH server whose sessions are dashboards."""

    def __init__(self, live: Live, words: tuple[str, ...] = ("-m", "tui.cli.main")) -> None:
        self.live, self.words = live, list(words)
        self.programs: list[Program] = []

    async def begin(self) -> None:
        """Listen on a port of loopback."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.server = await asyncssh.create_server(
            Anyone, "127.0.0.1", 0, server_host_keys=[key], process_factory=self._session, encoding=None
        )
        self.port = self.server.sockets[0].getsockname()[1]

    async def _session(self, channel: asyncssh.SSHServerProcess[bytes]) -> None:
        columns, lines, *_ = channel.term_size
        program = Program(self.words, self.live.environment, self.live.directory, columns, lines)
        self.programs.append(program)
        output = asyncio.create_task(_copy(program, channel))
        try:
            while program.process.poll() is None:
                try:
                    data = await channel.stdin.read(1024)
                except asyncssh.TerminalSizeChanged as changed:
                    program.resize(changed.width, changed.height)
                    continue
                if not data:
                    break
                os.write(program.master, data)
        except (asyncssh.Error, OSError):
            pass
        finally:
            output.cancel()
            program.close()

    async def end(self) -> None:
        """Stop listening."""
        self.server.close()
        await self.server.wait_closed()


class Anyone(asyncssh.SSHServer):
    """Lets in whoever comes: it is a test's."""

    def begin_auth(self, username: str) -> bool:
        return False


async def _copy(program: Program, channel: asyncssh.SSHServerProcess[bytes]) -> None:
    """What the program writes goes down the line."""
    loop = asyncio.get_running_loop()
    while program.open:
        ready = loop.create_future()
        loop.add_reader(program.master, lambda: ready.done() or ready.set_result(None))  # noqa: B023  # removed below
        try:
            await ready
        finally:
            loop.remove_reader(program.master)
        try:
            data = os.read(program.master, 1 << 16)
        except OSError:
            break
        channel.stdout.write(data)
        await channel.stdout.drain()
    channel.exit(0)


class Line:
    """A session over SSH: a terminal, keys, and a way to cut it."""

    def __init__(self, port: int, columns: int = 80, lines: int = 24) -> None:
        self.port, self.terminal = port, Terminal(columns, lines)

    async def open(self) -> None:
        """Connect, and begin to show what comes."""
        self.connection = await asyncssh.connect(
            "127.0.0.1", self.port, known_hosts=None, username="anyone", client_keys=None
        )
        size = (self.terminal.screen.columns, self.terminal.screen.lines)
        self.process = await self.connection.create_process(term_type="xterm-256color", term_size=size, encoding=None)
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with suppress(asyncssh.Error, OSError, BrokenPipeError):
            while data := await self.process.stdout.read(1 << 16):
                self.terminal.feed(data)

    def press(self, keys: str) -> None:
        """Type."""
        self.process.stdin.write(keys.encode())

    async def until(self, true: Callable[[str], Any], seconds: float = 60.0) -> None:
        """Wait until something is true of the screen."""
        deadline = time.monotonic() + seconds
        while not true(self.terminal.text):
            assert time.monotonic() < deadline, f"it did not come; the screen:\n{self.terminal.text}"
            await asyncio.sleep(0.02)

    async def cut(self) -> None:
        """The line breaks: no goodbye, a reset."""
        transport: Any = self.connection._transport
        transport.abort()
        await asyncio.wait([self.reading], timeout=10)
        self.reading.cancel()
        with suppress(Exception):
            await asyncio.wait_for(self.connection.wait_closed(), 10)
