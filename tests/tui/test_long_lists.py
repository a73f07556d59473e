"""A list as long as a studio grows, in a real store: gone through, ordered and filtered with a few hundred rows in memory."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import psutil
import pytest
from sqlalchemy import insert

from actors.desk import Desk
from core.store.tables import FineTuningJob, Job
from tests.tui.direct import Direct
from tests.tui.test_dashboard import shown, until
from tests.tui.test_lists import table
from tui.app import Dashboard
from tui.window import MOST

MIB = 1 << 20


def fill(desk: Desk, count: int) -> None:
    """Jobs that are over, the newest first by their numbers; a spec and configs make their rows as large as real ones."""
    spec = {f"argument_{n}": "x" * 40 for n in range(30)}
    must = {"kind": "fine_tuning", "engine": "legacy", "status": "succeeded", "spec": spec, "cpus": 1, "gpus": 0}
    for start in range(0, count, 5_000):
        numbers = range(start, min(count, start + 5_000))
        jobs = [
            {**must, "memory": 1, "id": f"{n:06}", "name": f"job-{n:06}", "created_at": 1e6 - n, "queued_at": 1e6 - n}
            for n in numbers
        ]
        asked = [{"id": f"{n:06}", "adapter_name": f"job-{n:06}", "lora_config": "{}"} for n in numbers]
        with desk.store.write() as unit:
            unit.session.execute(insert(FineTuningJob), asked)
            unit.session.execute(insert(Job), jobs)


@pytest.mark.parametrize(
    ("count", "pages"), [(700, 10), pytest.param(100_000, 200, marks=[pytest.mark.nightly, pytest.mark.timeout(1_200)])]
)
async def test_a_list_of_many_rows_is_gone_through_with_few_in_memory(desk: Desk, count: int, pages: int) -> None:
    fill(desk, count)
    client: Any = Direct(desk)
    async with Dashboard(make=lambda: client).run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "job-000000" in shown(pilot.app))
        assert ("10,000+" if count > 10_000 else f"{count}") in shown(pilot.app).splitlines()[0]
        resident: list[int] = []
        for _ in range(pages):
            key = str(table(pilot).cursor_key)
            await pilot.press("pagedown")
            await until(pilot, lambda: str(table(pilot).cursor_key) > key)  # noqa: B023
            assert len(table(pilot).lines) <= MOST
            resident.append(psutil.Process().memory_info().rss)
        assert int(str(table(pilot).cursor_key)) > 30 * pages, "all pages were gone through"
        # The store is in this process too, and fills its own caches meanwhile.
        assert resident[-1] - resident[pages // 2] < 48 * MIB
        last = f"job-{count - 1:06}"
        await pilot.press("G")
        await until(pilot, lambda: last in shown(pilot.app))
        await pilot.press("P", "P")
        await until(pilot, lambda: "↓" in shown(pilot.app) and last in shown(pilot.app))
        await pilot.press("slash", *"000677", "enter")
        await until(pilot, lambda: table(pilot).row_count == 1 and "job-000677" in shown(pilot.app))
    client.close()


KILLED = """
import asyncio, os, signal
from tests.tui.test_lists import datasets, on_datasets, remove, sent
from tests.tui.test_dashboard import shown, until
studio = datasets("one", "two")
studio.ask_ = studio.ask
def ask(message, **options):
    if type(message).__name__ == "RemoveDataset":
        print("removed", flush=True)
    return studio.ask_(message, **options)
studio.ask = ask
async def main():
    async with on_datasets(studio).run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "two" in shown(pilot.app))
        await remove(pilot)
        print("goes", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def test_a_dashboard_that_is_killed_within_the_seconds_has_removed_nothing() -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout.split()) == (-signal.SIGKILL, ["goes"]), ended.stderr
