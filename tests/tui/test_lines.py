"""Lines that break: a dashboard over SSH that is cut again and again, terminals that go (D-224), servers that die under it."""

from __future__ import annotations

import asyncio
import os
import random
import re
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from core.client import StudioClient
from core.queue import embedded
from core.types import JobStatus
from tests.tui.live import TOTAL, Line, Live, Program, Server, Terminal
from tests.tui.test_dashboard import shown
from tests.tui.test_dashboard import until as until_shown
from tests.whole import until
from tui.app import Dashboard
from tui.pump import StudioChanged
from tui.screens.job import JobScreen

PROMPTLY = 10.0  # seconds to end, on a machine that does much else


@pytest.fixture(scope="module")
def live(upgraded: Path) -> Iterator[Live]:
    made = Live(upgraded)
    yield made
    made.close()


def rows(live: Live) -> dict[str, str]:
    """The jobs as the store has them: name, status, and how far."""
    found = live.ask("ListFineTuningJobs", limit=100).fine_tuning_jobs
    return {each.adapter_name: f"{each.status.value} {each.step}/{each.total_steps}" for each in found}


def seen(text: str) -> dict[str, str]:
    """The jobs as a screen shows them."""
    pattern = re.compile(rf"[✓✗●◌] (\w+) +(job-\d+) .*?(\d+)/({TOTAL})")
    return {name: f"{status} {step}/{total}" for status, name, step, total in pattern.findall(text)}


async def go_to_jobs(line: Line) -> None:
    await line.until(lambda text: "help" in text)
    line.press(":jobs\r")
    await line.until(lambda text: "job-1" in text)


def bells(terminal: Terminal) -> int:
    """How often the terminal rang: a bell inside an escape sequence ends that."""
    return re.sub(rb"\x1b\][^\x07]*\x07", b"", terminal.got).count(b"\a")


async def cut_again_and_again(live: Live, times: int) -> None:
    rng = random.Random(6)
    server = Server(live)
    await server.begin()
    ids = [await asyncio.to_thread(live.start, f"job-{number}") for number in range(1, 5)]
    live.burden()
    try:
        for number in range(times):
            line = Line(server.port)
            await line.open()
            if number % 2:  # work: somewhere else than it opened, in the middle of whatever it does
                await line.until(lambda text: "help" in text)
                line.press(rng.choice([":jobs\r", ":jobs\rj\r", ":runners\r", ":datasets\rn", "?", ":job"]))
            await asyncio.sleep(rng.uniform(0, 1.5))
            await line.cut()
        live_end = asyncio.to_thread(live.rest)
        await live_end
        await asyncio.to_thread(live.end, ids[0])
        last = Line(server.port, 120, 30)
        await last.open()
        await go_to_jobs(last)
        expected = await asyncio.to_thread(rows, live)
        await last.until(lambda text: seen(text) == expected)
        assert {value.split()[0] for value in expected.values()} == {"succeeded", "running"} and len(expected) == 4
        assert int(expected["job-2"].split()[1].split("/")[0]) == live.steps[ids[1]] > 0
        assert b"\a" not in last.terminal.got.replace(b"\x1b]22;default\x07", b""), (
            "what ended before it came rings no bell"
        )
        await asyncio.to_thread(live.end, ids[1])
        await last.until(lambda text: bells(last.terminal) == 1 and "job-2 succeeded" in text)
        await last.cut()
        await asyncio.to_thread(until, lambda: not live.dashboards(), 60, "no dashboard is left")
        ended = [await asyncio.to_thread(program.process.wait, 60) for program in server.programs]
        assert len(ended) == times + 1 and set(ended) <= {128 + signal.SIGHUP, -signal.SIGHUP}
        assert b"Traceback" not in last.terminal.got
        log = live.settings.root / "logs" / "dashboard.log"
        assert not log.exists(), log.read_text()
    finally:
        await asyncio.to_thread(live.rest)
        await server.end()


async def test_a_line_that_is_cut_under_load_leaves_nothing_and_the_next_shows_what_is_true(live: Live) -> None:
    await cut_again_and_again(live, 3)


@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_nor_does_one_that_is_cut_twenty_times(upgraded: Path) -> None:
    made = await asyncio.to_thread(Live, upgraded)
    try:
        await cut_again_and_again(made, 20)
    finally:
        await asyncio.to_thread(made.close)


def read(program: Program, terminal: Terminal, true: Any, seconds: float = 60.0) -> None:
    """Show what a program writes until something is true of the screen."""
    deadline = time.monotonic() + seconds
    while not true(terminal.text):
        assert time.monotonic() < deadline, f"it did not come; the screen:\n{terminal.text}"
        if select.select([program.master], [], [], 0.05)[0]:
            try:
                terminal.feed(os.read(program.master, 1 << 16))
            except OSError:
                return


def opened(live: Live) -> tuple[Program, Terminal]:
    """A dashboard that shows something."""
    program = Program(["-m", "tui.cli.main"], live.environment, live.directory, 80, 24)
    terminal = Terminal()
    read(program, terminal, lambda text: "help" in text)
    return program, terminal


@pytest.mark.parametrize("how", ["closed", "SIGHUP", "SIGTERM", "SIGINT", "deaf", "silent"])
def test_a_dashboard_ends_promptly_without_a_word(live: Live, how: str) -> None:
    program, terminal = opened(live)
    pid, began = program.process.pid, time.monotonic()
    if how == "closed":
        program.close()
    elif how == "deaf":  # it waits for a terminal that takes nothing: the loop itself can't be asked
        for _ in range(200):
            program.resize(80 + _ % 2, 24)
            os.kill(pid, signal.SIGWINCH)
            time.sleep(0.005)
        os.kill(pid, signal.SIGTERM)
    elif how == "silent":  # the queue answers nothing: what it asks is still under way
        os.kill(live.valkey.pid, signal.SIGSTOP)
        os.write(program.master, b":datasets\r")
        time.sleep(0.3)
        os.write(program.master, b"\x03")
    else:
        os.kill(pid, getattr(signal, how))
    try:
        if how in ("closed", "deaf"):
            code = program.process.wait(PROMPTLY)
        else:
            read(program, terminal, lambda text: program.process.poll() is not None, PROMPTLY)
            code = program.process.wait(PROMPTLY)
    finally:
        os.kill(live.valkey.pid, signal.SIGCONT)
    assert time.monotonic() - began < PROMPTLY
    expected = {"closed": 129, "SIGHUP": 129, "SIGTERM": 143, "SIGINT": 130, "deaf": 143, "silent": 0}
    assert code == expected[how]
    assert b"Traceback" not in terminal.got
    if how in ("SIGTERM", "SIGINT", "silent"):
        assert b"\x1b[?1049l" in terminal.got and b"\x1b[?25h" in terminal.got, "the terminal is as it was"
    program.close()
    assert not live.dashboards()


def test_a_storm_of_sizes_breaks_nothing(live: Live) -> None:
    program, terminal = opened(live)
    rng = random.Random(1)
    for _ in range(150):
        columns, lines = rng.choice([(rng.randint(1, 250), rng.randint(1, 80)), (1, 1), (80, 24), (250, 2)])
        program.resize(columns, lines)
        while select.select([program.master], [], [], 0.004)[0]:
            os.read(program.master, 1 << 16)
    program.resize(80, 24)
    terminal = Terminal()
    os.write(program.master, b":runners\r")
    read(program, terminal, lambda text: "gpu-host" in text)
    os.write(program.master, b"\x03")
    read(program, terminal, lambda text: program.process.poll() is not None)
    assert program.process.wait(PROMPTLY) == 0, terminal.got[-3_000:]
    log = live.settings.root / "logs" / "dashboard.log"
    assert not log.exists(), log.read_text()
    program.close()


class Folding(Dashboard):
    """A dashboard that folds the events that it is shown."""

    CSS_PATH = str(Path(__file__).resolve().parents[2] / "tui" / "studio.tcss")

    def on_studio_changed(self, message: StudioChanged) -> None:
        from core.events import Event, fold_status

        self.states: dict[str, JobStatus] = getattr(self, "states", {})
        for event in message.events:
            fold_status(self.states, Event.model_validate(event))


def sever(dashboard: Dashboard) -> None:
    """Break every connection of a dashboard in the middle of whatever it waits for."""
    client: Any = dashboard.studio.client
    for each in list(client.redis.connection_pool._in_use_connections):
        with suppress(OSError, AttributeError):
            each._sock.shutdown(socket.SHUT_RDWR)


async def test_what_a_dashboard_saw_while_it_was_cut_twenty_times_and_the_queue_lost_everything_is_true(
    live: Live,
) -> None:
    rng = random.Random(2)
    ids = [await asyncio.to_thread(live.start, f"away-{number}") for number in (1, 2, 3)]
    dashboard = Folding(ids[0], make=lambda: StudioClient(live.settings))
    async with dashboard.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, lambda: isinstance(dashboard.screen, JobScreen) and "away-1" in shown(dashboard))
        live.burden()
        for number in range(20):
            await asyncio.sleep(rng.uniform(0.02, 0.2))
            sever(dashboard)
            if number == 10:
                await asyncio.to_thread(live.end, ids[1])
        live.valkey.kill()
        await asyncio.to_thread(live.valkey.wait)
        await until_shown(pilot, lambda: dashboard.connection.part == "queue")
        assert "away since" in shown(dashboard) and "loss" in shown(dashboard)
        for each in (live.settings.root / "valkey").glob("**/*"):  # all that it held is lost
            if each.is_file():
                each.unlink()
        live.valkey = await asyncio.to_thread(embedded.start, live.settings.root)
        await asyncio.to_thread(live.rest)
        await asyncio.to_thread(live.end, ids[2])
        found = (await asyncio.to_thread(live.ask, "ListFineTuningJobs")).fine_tuning_jobs
        truth = {each.id: each.status for each in found if each.id in ids}
        assert sorted(truth.values()) == ["running", "succeeded", "succeeded"]
        await until_shown(pilot, lambda: {id: dashboard.states.get(id, JobStatus.running) for id in ids} == truth)
        metrics = await asyncio.to_thread(live.ask, "GetJobMetrics", id=ids[0])
        (loss,) = [each for each in metrics.series if each.name == "loss"]
        last = live.steps[ids[0]]
        screen: Any = dashboard.screen
        await until_shown(pilot, lambda: (points := screen.view.tracks.of("loss")) and points[-1][0] == last)
        assert loss.steps[-1] == last
        await until_shown(pilot, lambda: dashboard.connection.part == "")
