"""What forms, rows and prompts look like: empty, filled, with breaches, refused, and with hostile text in everything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from core.errors import NotFound, Unavailable
from core.messages.browsing import Entry
from tests.tui.filling import FormStudio, tickets
from tests.tui.rows import HOSTILE
from tests.tui.test_dashboard import SIZES, shown, until
from tui.app import Dashboard
from tui.screens import form
from tui.widgets.beside import Beside
from tui.widgets.preflight import Preflight


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Beside, "PAUSE", 0.01)
    monkeypatch.setattr(Preflight, "PAUSE", 0.01)
    monkeypatch.setattr(form, "AFTER_TYPING", 0.01)


Compare = Callable[..., bool]
Step = Callable[[Pilot[None]], Awaitable[None]]


def seen(text: str, *keys: str) -> Step:
    """Wait for a text, then press keys."""

    async def step(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: text in shown(pilot.app))
        await pilot.press(*keys)

    return step


def ready(*steps: Step) -> Step:
    """The steps, then rest."""

    async def run(pilot: Pilot[None]) -> None:
        for step in steps:
            await step(pilot)
        await pilot.pause(0.15)
        for each in [*pilot.app.screen.query(Input), *pilot.app.screen.query(TextArea)]:
            each.cursor_blink = False
        pilot.app.clear_notifications()
        await pilot.pause(0.15)

    return run


def away() -> FormStudio:
    studio = tickets()
    ask = studio.ask

    def asked(message: Any, **how: Any) -> Any:
        if type(message).__name__.startswith("Add"):
            raise Unavailable("no studio answers")
        return ask(message, **how)

    studio.ask = asked  # type: ignore[method-assign]
    return studio


def gone() -> FormStudio:
    """The file that the rows were in has been moved away."""
    studio = tickets()
    ask = studio.ask

    def asked(message: Any, **how: Any) -> Any:
        if type(message).__name__ == "PreviewDataset":
            raise NotFound("the file /p/t.csv is not there any more")
        return ask(message, **how)

    studio.ask = asked  # type: ignore[method-assign]
    return studio


def hostile() -> FormStudio:
    studio = tickets()
    studio.data = [{"instruction": HOSTILE, "intent": f"\x1b[31m{HOSTILE[:80]}"}, {"instruction": "b", "intent": None}]
    studio.files = [Entry(path=f"{HOSTILE[:60]}.csv"), Entry(path="[@click=app.quit]x.csv")]
    for rows in ("datasets", "models", "prompts", "adapters"):
        studio.rows[rows] = [row.model_copy(update={"name": HOSTILE}) for row in studio.rows[rows]]
    studio.rows["configs"] = [row.model_copy(update={"description": HOSTILE}) for row in studio.rows["configs"]]
    return studio


SCREENS: dict[str, tuple[str, Callable[[], FormStudio], tuple[Step, ...]]] = {
    "dataset_empty": ("import-datasets", FormStudio, (seen("needed"),)),
    "dataset_filled": (
        "import-datasets",
        tickets,
        (seen("needed", "tab", *"tickets.csv"), seen("2 columns", "tab", "tab")),
    ),
    "dataset_away": (
        "import-datasets",
        away,
        (seen("needed", "tab", *"tickets.csv"), seen("2 columns", "tab", "tab", "ctrl+s"), seen("no studio answers")),
    ),
    "dataset_hostile": ("import-datasets", hostile, (seen("needed", "tab", "["), seen("tab completes"))),
    "model_breaches": ("import-models", FormStudio, (seen("needed", "ctrl+s"), seen("MD-001"))),
    "prompt_filled": ("create-prompts", tickets, (seen("Columns that", "ctrl+g"), seen("track_parcel"))),
    "prompt_breaches": ("create-prompts", tickets, (seen("tickets", "ctrl+s"), seen("PR-001"))),
    "prompt_hostile": ("create-prompts", hostile, (seen("[red]", "ctrl+g"), seen("Intent:"))),
    "train_empty": ("train", FormStudio, (seen("none yet"),)),
    "train_hostile": ("train", hostile, (seen("[red]"), seen("fits gpu-host"))),
    "picker": ("train", hostile, (seen("fits gpu-host", "tab", "tab", "enter"), seen("enter takes it"))),
    "evaluation_filled": ("evaluate", tickets, (seen("[ ] SmolLM2 + tickets-lora", "space", "down"), seen("[x]"))),
    "rows": ("datasets", tickets, (seen("tickets", "enter"), seen("rows 1 to"))),
    "rows_hostile": ("datasets", hostile, (seen("[red]", "enter"), seen("rows 1 to"))),
    "rows_failing": ("datasets", gone, (seen("tickets", "enter"), seen("any more"))),
    "prompt": ("prompts", tickets, (seen("actions", "enter"), seen("⟦"))),
    "prompt_seen_hostile": ("prompts", hostile, (seen("[red]", "enter"), seen("⟦"))),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", list(SCREENS))
def test_screen(snap_compare: Compare, name: str, size: tuple[int, int]) -> None:
    page, make, steps = SCREENS[name]
    studio = make()
    for row in studio.rows["fine_tuning_jobs"]:
        row.created_at = None
    dashboard = Dashboard(make=lambda: studio, page=page)
    assert snap_compare(dashboard, terminal_size=size, run_before=ready(*steps))
