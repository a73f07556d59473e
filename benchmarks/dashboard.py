"""What the dashboard costs, against bare Textual apps in the same run; and what the actors' process does.

    python benchmarks/dashboard.py [--rounds 10] [--keys 60] [--only opening|jobs|job|slow|soak] [--minutes 60]

Everything runs on pseudo-terminals of 120 x 36.
Opening: a bare app (one Static) and the dashboard on a studio with 1,000 jobs, in turn: seconds, and processor seconds, from the
process's start to its first frame and to the frame that shows the jobs' rows, and its resident memory then.
Painting: 1,000 jobs, of which 20 run and tell 1,000 records a second in all; on the list of jobs the cursor goes down. In
turn, under the same load, a bare app with a table of as many rows that stand still. Then one job tells 1,000 records a
second: on its screen the panes and the curves change by keys. Milliseconds from the key to the terminal's bytes that paint
what it leads to (a terminal in memory is fed with them afterwards); the share of a core, the bytes written a second (before the keys, and with them), and the memory.At the end of a slow line (115,200 and 9,600 baud), where what can't be sent at once is held as an SSH server holds it, a
key must still be answered: the terminal answers the dashboard's question after its modes, as most terminals do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

import psutil
from common import MIB, Studio, heading, milliseconds, percentile, stop, studio, table, target
from load import add_jobs, begin, name
from painting import Watched, down, through, watch
from terminal import Terminal

JOBS, LIVE, RATE = 1_000, 20, 1_000
TURNS = 40  # of a soak, between the list and a job
BAUDS = {115_200: 500, 9_600: 3_000}  # and the milliseconds that a key may take there
PANES = [("e", "[e events]"), ("l", "[l log]"), ("o", "[o configs]")]
CURVES = [("m", "curve 2/3"), ("m", "curve 3/3"), ("m", "curve 1/3")]
LOOKS = [("z", "×2"), ("0", "curve 1/")]

BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("here")
Bare().run()
"""

BARE_TABLE = """
from textual.app import App
from textual.widgets import DataTable
class Bare(App):
    def compose(self):
        yield DataTable(cursor_type="row")
    def on_mount(self):
        table = self.query_one(DataTable)
        table.add_columns(*(f"column {n}" for n in range(9)))
        table.add_rows([f"adapter-{n:04}", *(f"cell {n} {m}" for m in range(8))] for n in range(1000))
        table.focus()
    def key_j(self):
        self.query_one(DataTable).action_cursor_down()
Bare().run()
"""


def opening(running: Studio, rounds: int) -> None:
    """Both apps in turn; the first round fills the disk's cache and does not count."""
    add_jobs(running.settings, JOBS)
    heading(f"opening the dashboard, {rounds} rounds")
    names = (
        "bare",
        "first frame",
        "rows",
        "bare, processor",
        "first frame, processor",
        "rows, processor",
        "bare MiB",
        "MiB",
    )
    took: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        (bare,), (bare_used,), bare_resident = Terminal(["-c", BARE], running.environment).run("here")
        (first, rows), used, resident = Terminal(["-m", "tui"], running.environment).run("Home", "succeeded")
        values = (bare, first, rows, bare_used, *used, bare_resident, resident)
        if number:
            for each, value in zip(took.values(), values, strict=True):
                each.append(value)
    middle = {name: statistics.median(each) for name, each in took.items()}
    table(["s or MiB", "median", "least", "most"], [[n, middle[n], min(each), max(each)] for n, each in took.items()])
    target("first frame / bare", middle["first frame"] / middle["bare"], at_most=1.5)
    target(
        "first frame / bare, processor time", middle["first frame, processor"] / middle["bare, processor"], at_most=1.5
    )
    target("rows shown / bare", middle["rows"] / middle["bare"], at_most=2.5)
    target("resident MiB", middle["MiB"], at_most=80)


def actors(running: Studio, starts: int) -> None:
    """Seconds to their start, and MiB resident at rest and after 200 requests; the last ones keep running."""
    from core.client import StudioClient
    from core.messages.configs import AddConfig

    heading("the actors of commands and runners")
    seconds = []
    for number in range(starts):
        process, took = running.actors("commands", "runners")
        seconds.append(took)
        if number < starts - 1:
            stop(process)
    running.actors("slow")
    target("start, seconds", statistics.median(seconds[1:]), at_most=1.5)
    target("resident MiB at rest", psutil.Process(process.pid).memory_info().rss / MIB, at_most=150)
    with StudioClient(running.settings) as client:
        for number in range(200):
            milliseconds(lambda: client.call(AddConfig(type="custom", config=json.dumps({"n": number}))))  # noqa: B023
    target("resident MiB after 200 requests", psutil.Process(process.pid).memory_info().rss / MIB, at_most=150)


def on_jobs(keys: int) -> None:
    """The list of jobs, and the bare table."""
    with studio() as running:
        begin(running, jobs=JOBS, live=LIVE, rate=RATE)
        heading(f"the list of {JOBS:,} jobs, {LIVE} run, {RATE:,} records/s")
        bare = Terminal(["-c", BARE_TABLE], running.environment)
        ours = Terminal(["-c", "from tui.app import Dashboard; Dashboard(page='jobs').run()"], running.environment)
        came = {}
        for what, terminal in (("bare table", bare), ("jobs", ours)):
            terminal.open()
            try:
                terminal.await_words(name(9))
                came[what] = watch(terminal, down(keys))
            finally:
                terminal.close()
    figures(came)
    _targets("jobs", came["jobs"], 50)


def soak(minutes: float) -> None:
    """The list and a job's screen in turn, for long: memory must not grow."""
    with studio() as running:
        begin(running, jobs=JOBS, live=LIVE, rate=RATE)
        heading(f"a soak of {minutes:g} minutes, {RATE:,} records/s")
        terminal = Terminal(["-m", "tui"], running.environment)
        terminal.open()
        try:
            terminal.await_words("Home")
            held: list[float] = []
            until = time.monotonic() + 60 * minutes
            while time.monotonic() < until or len(held) < 4:
                terminal.press(":jobs\r")
                time.sleep(minutes * 60 / TURNS / 2)
                terminal.press("\r")
                time.sleep(minutes * 60 / TURNS / 2)
                held.append(terminal.resident)
                terminal.chunks.clear()
        finally:
            terminal.close()
    half = len(held) // 2
    table(["turns", "MiB first", "MiB at half", "MiB at the end"], [[len(held), held[0], held[half], held[-1]]])
    target("soak: MiB", held[-1], at_most=80)
    target("soak: MiB more in the second half", held[-1] - held[half], at_most=2)


def on_slow_line(keys: int) -> None:
    """The list of jobs at the end of a slow line, on a small terminal: keys a second or two apart."""
    with studio() as running:
        begin(running, jobs=JOBS, live=LIVE, rate=RATE)
        for baud, most in BAUDS.items():
            heading(f"the list of jobs at {baud:,} baud, 80 x 24")
            terminal = Terminal(["-m", "tui"], running.environment, (80, 24), baud)
            terminal.open()
            try:
                terminal.await_words("Home", seconds=60)
                terminal.press(":jobs\r")
                terminal.await_words(name(5), seconds=60)
                came = watch(terminal, down(keys // 4), (1.0, 2.0), 8)
            finally:
                terminal.close()
            figures({f"{baud} baud": came})
            target(f"{baud} baud: key to paint, p95 ms", percentile(came.took, 0.95), at_most=most)


def on_job(keys: int) -> None:
    """A job's screen."""
    with studio() as running:
        begin(running, jobs=1, live=1, rate=RATE)
        heading(f"a job's screen, {RATE:,} records/s")
        terminal = Terminal(["-c", "from tui.app import run; run('0000')"], running.environment)
        terminal.open()
        try:
            terminal.await_words("[l log]", "curve 1/3")
            came = {
                "panes": watch(terminal, through(keys, PANES)),
                "curves": watch(terminal, through(keys, CURVES)),
                "closer": watch(terminal, through(keys, LOOKS)),
            }
        finally:
            terminal.close()
    figures(came)
    for what, watched in came.items():
        _targets(what, watched, 120)


def figures(came: dict[str, Watched]) -> None:
    """What was seen of each."""
    rows: list[Sequence[Any]] = []
    for what, each in came.items():
        took = [statistics.median(each.took), percentile(each.took, 0.95), max(each.took)]
        rows.append(
            [
                what,
                len(each.took),
                *took,
                100 * each.share,
                each.rest / 1024,
                each.bytes / 1024,
                each.before,
                each.after,
            ]
        )
    table(
        ["key to paint", "keys", "p50 ms", "p95 ms", "most ms", "core %", "KiB/s at rest", "KiB/s", "MiB", "MiB after"],
        rows,
    )


def _targets(what: str, watched: Watched, milliseconds: float) -> None:
    target(f"{what}: key to paint, p95 ms", percentile(watched.took, 0.95), at_most=milliseconds)
    target(f"{what}: % of a core", 100 * watched.share, at_most=60)
    target(f"{what}: KiB/s to the terminal while nobody types", watched.rest / 1024, at_most=32)
    target(f"{what}: MiB", watched.after, at_most=80)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--keys", type=int, default=60, help="on each screen")
    parser.add_argument("--only", choices=("opening", "jobs", "job", "slow", "soak"))
    parser.add_argument("--minutes", type=float, default=60, help="of a soak, which is made when it alone is asked for")
    given = parser.parse_args()
    if given.only == "soak":
        soak(given.minutes)
    if given.only in (None, "opening"):
        with studio() as running:
            actors(running, 4)
            opening(running, given.rounds)
    if given.only in (None, "jobs"):
        on_jobs(given.keys)
    if given.only in (None, "job"):
        on_job(given.keys)
    if given.only in (None, "slow"):
        on_slow_line(given.keys)


if __name__ == "__main__":
    main()
