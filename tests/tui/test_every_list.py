"""What every list and the ticketing page show, empty, filled and failing, and with hostile text, at both sizes, as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from core.events import Failure
from core.messages.configs import ConfigMetadata
from core.messages.evaluation import EvaluationJobMetadata
from core.messages.runners import Gpu, RunnerMetadata
from core.types import JobStatus
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, NOW, endpoint, export, session
from tests.tui.test_dashboard import shown, until
from tests.tui.test_snapshots import SIZES
from tui.app import Dashboard
from tui.screens.listing import ListScreen
from tui.view import words
from tui.view.pages import PAGES
from tui.widgets.table import StudioTable

LISTS = [page.name for page in PAGES if page.kind == "list"]
KEPT = {"id", "type", "status", "framework_type"}  # what the studio itself chooses


def evaluation(id: str, **fields: Any) -> EvaluationJobMetadata:
    """A combination of a batch."""
    given = {"parent_job_id": "batch-1", "base_model_name": "SmolLM2", "adapter_name": "tickets-lora", "rows": 110}
    return EvaluationJobMetadata.model_validate({"id": id, **given, **fields})


def full() -> FakeStudio:
    """Rows of every kind, some of them failing."""
    studio, why = filled(), Failure(kind="user_error", message="the dataset has no column 'intent'")
    studio.rows["evaluation_jobs"] = [
        evaluation("e1", status=JobStatus.succeeded, scores={"exact_match": 0.78, "f1": 0.81}),
        evaluation("e2", adapter_name=None, status=JobStatus.running, step=40, total_steps=110),
        evaluation("e3", status=JobStatus.failed, error=why, failure_class="user_error"),
    ]
    studio.rows["comparisons"] = [
        session(),
        session().model_copy(update={"id": "c2", "status": JobStatus.failed, "error": why}),
    ]
    studio.rows["export_jobs"].append(export("e9", status=JobStatus.failed, error=why))
    studio.rows["endpoints"] = [endpoint("s1"), endpoint("s2", status=JobStatus.failed, error=why)]
    studio.rows["configs"] = [
        ConfigMetadata(id="c1", type="lora_config", description="rank 16", config='{"r": 16, "lora_alpha": 32}')
    ]
    gpu = Gpu(index=0, name="A100", memory=80.0)
    studio.rows["runners"] += [
        RunnerMetadata(id="r2", incarnation=1, host="lost-host", cpus=4, memory=16, gpus=[gpu], status="lost"),
        RunnerMetadata(id="r3", incarnation=1, host="full-host", cpus=4, memory=16, status="draining"),
    ]
    return studio


def hostile() -> FakeStudio:
    """The same with hostile text wherever a text may come from outside."""
    studio = full()
    for name, rows in studio.rows.items():
        studio.rows[name] = [
            row.model_copy(update={key: HOSTILE for key, value in row if type(value) is str and key not in KEPT})
            for row in rows
        ]
    return studio


MAKES: dict[str, Callable[[], FakeStudio]] = {"empty": FakeStudio, "filled": full, "hostile": hostile}


@pytest.fixture(autouse=True)
def at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock goes on."""
    monkeypatch.setattr(words, "age", lambda at, now=None: "" if at is None else "5m00s")
    monkeypatch.setattr(words, "clock", lambda at: "" if at is None else "12:00:00")


def settled(dashboard: Dashboard, *, empty: bool) -> bool:
    """Whether a list shows what the studio told."""
    tables = [table for table in dashboard.screen.query(StudioTable) if isinstance(dashboard.screen, ListScreen)]
    return bool(tables) and "asking" not in shown(dashboard) and bool(tables[0].row_count) != empty


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", MAKES)
async def test_every_list(snapshot: SnapshotAssertion, make: str, size: tuple[int, int]) -> None:
    studio = MAKES[make]()
    dashboard = Dashboard(make=lambda: studio)
    async with dashboard.run_test(size=size) as pilot:
        for name in LISTS:
            dashboard.go(name)
            await until(pilot, lambda: settled(dashboard, empty=make == "empty"))
            await pilot.pause(0.1)
            text = shown(dashboard)
            assert "\x1b" not in text and "\u202e" not in text and str(NOW)[:6] not in text
            assert [line.rstrip() for line in text.splitlines()] == snapshot(name=name)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", MAKES)
async def test_the_ticketing_page(snapshot: SnapshotAssertion, make: str, size: tuple[int, int]) -> None:
    studio = MAKES[make]()
    dashboard = Dashboard(make=lambda: studio)
    async with dashboard.run_test(size=size) as pilot:
        dashboard.go("ticketing")
        await until(pilot, lambda: ("No session" if make == "empty" else "running") in shown(dashboard))
        await pilot.pause(0.1)
        assert [line.rstrip() for line in shown(dashboard).splitlines()] == snapshot
