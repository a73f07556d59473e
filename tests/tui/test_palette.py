"""ctrl+k finds pages, keys, names and commands from wherever one is; A tells what was sent from here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from core.errors import Unavailable
from core.settings import settings
from core.types import JobStatus
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, job
from tests.tui.test_dashboard import shown, until
from tui.app import Dashboard
from tui.finding import Found, fitting
from tui.screens.acts import ActsScreen
from tui.screens.form import FormScreen
from tui.screens.job import JobScreen
from tui.screens.listing import ListScreen
from tui.screens.palette import PaletteScreen
from tui.widgets.prompt import PromptLine


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("FTS_HOME", str(tmp_path))
    settings.cache_clear()
    yield
    settings.cache_clear()


def board(studio: FakeStudio) -> Dashboard:
    return Dashboard(make=lambda: studio, page="jobs")


async def test_a_page_a_name_a_key_and_a_command_are_found_by_what_they_are_called() -> None:
    studio = filled()
    async with board(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("ctrl+k", *"base mod")
        await until(pilot, lambda: ":models" in shown(pilot.app))
        await pilot.press("escape", "ctrl+k", *"datasets", "enter")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, ListScreen) and pilot.app.screen.kind.name == "datasets"
        )
        await pilot.press("ctrl+k", *"adapter-wait")
        await until(pilot, lambda: "queued  wait" in shown(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, JobScreen) and pilot.app.screen.job_id == "wait")
        await pilot.press("ctrl+k", *"what I did", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ActsScreen))
        await pilot.press("escape")
        await pilot.press("ctrl+k", *"theme")
        await until(pilot, lambda: "theme: dark, light, high contrast" in shown(pilot.app))
        await pilot.press("escape")
        await pilot.press("ctrl+k", *"job prio")
        await until(pilot, lambda: "job priority" in shown(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, PaletteScreen))
        line = pilot.app.screen.query_one(PromptLine)
        await until(pilot, lambda: line.display and line.value == "job priority ")


async def test_it_opens_over_a_form_whose_typing_stays() -> None:
    async with board(filled()).run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen) and "SmolLM2" in shown(pilot.app))
        form = pilot.app.screen
        field = form.query_one("#input-adapter_name", Input)
        field.focus()
        await pilot.press(*"mine", "ctrl+k")
        await until(pilot, lambda: isinstance(pilot.app.screen, PaletteScreen))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is form and field.value == "mine")


async def test_hostile_names_are_text_and_what_is_not_there_is_said() -> None:
    studio = filled()
    studio.rows["fine_tuning_jobs"] = [job("evil", adapter_name=HOSTILE)]
    async with board(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "[red]" in shown(pilot.app))
        await pilot.press("ctrl+k", *"[red]")
        await until(pilot, lambda: "running  evil" in shown(pilot.app))
        assert "\x1b" not in shown(pilot.app) and "\u202e" not in shown(pilot.app)
        await pilot.press(*"zzzz")
        await until(pilot, lambda: "nothing of that name" in shown(pilot.app))
        await pilot.press("enter", "down", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ListScreen))


async def test_without_a_studio_pages_and_commands_are_found_all_the_same() -> None:
    studio = filled()
    async with board(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        studio.broken = Unavailable("no studio answers")
        await pilot.press("ctrl+k", *"job sub")
        await until(pilot, lambda: "job submit" in shown(pilot.app))


async def test_enter_takes_the_best_fit_though_it_came_after_what_fits_less() -> None:
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("ctrl+k", *"late")
        screen = pilot.app.screen
        assert isinstance(screen, PaletteScreen)
        screen.known = []
        screen._add([Found("command", "job of a late hour", "", lambda: None)])
        screen._add([Found("job", "late", "running", lambda: None)])
        listed = screen.query_one(OptionList)
        assert [each.text for each in screen.found] == ["late", "job of a late hour"] and listed.highlighted == 0
        await pilot.press("down")
        screen._add([Found("job", "late", "the second", lambda: None)])
        assert listed.highlighted is not None and screen.found[listed.highlighted].text == "job of a late hour"


async def test_an_entry_is_chosen_by_a_click() -> None:
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("ctrl+k", *"runners")
        await until(pilot, lambda: ":runners" in shown(pilot.app))
        await pilot.click("#found", offset=(5, 0))
        await until(pilot, lambda: isinstance(pilot.app.screen, ListScreen) and pilot.app.screen.kind.name == "runners")


def test_the_best_fit_comes_first_and_commands_only_when_something_is_typed() -> None:
    known = [
        Found("command", "job cancel", "ends it", lambda: None, True),
        Found("page", "View Datasets", ":datasets", lambda: None),
    ]
    assert [each.text for each in fitting("", known)] == ["View Datasets"]
    assert [each.text for each in fitting("cancel", known)] == ["job cancel"]
    assert [each.text for each in fitting(":data", known)] == ["View Datasets"]
    assert fitting("[/nope]", known) == []


# ─── what I did ───────────────────────────────────────────────────────────────────────────────────


async def test_what_was_sent_is_told_with_its_outcome_as_code_and_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    studio, copied = filled(), list[str]()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(Dashboard, "hand_over", lambda self, text, further: copied.append(text))
    async with board(studio).run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("A")
        await until(pilot, lambda: "Nothing was sent yet" in shown(pilot.app))
        await pilot.press("escape", "p")
        await until(pilot, lambda: studio.job("run").status is JobStatus.paused)
        pilot.app.act("PauseJob", [{"id": HOSTILE}, {"id": "wait"}])  # type: ignore[attr-defined]
        await pilot.press("A")
        await until(pilot, lambda: "1 of 2 not done" in shown(pilot.app) and "✓ done" in shown(pilot.app))
        assert "\x1b" not in shown(pilot.app)
        await pilot.press("j")
        await until(pilot, lambda: "fts job pause run" in shown(pilot.app))
        await pilot.press("y")
        await until(pilot, lambda: copied and "fts job pause run" in copied[0])


async def test_what_got_no_answer_is_sent_again_with_the_same_key() -> None:
    studio, keys = filled(), list[str | None]()
    ask = studio.ask

    def noted(message: object, *, key: str | None = None, timeout: float | None = None) -> object:
        if type(message).__name__ == "PauseJob":
            keys.append(key)
        return ask(message, key=key, timeout=timeout)  # type: ignore[arg-type]

    studio.ask = noted  # type: ignore[method-assign, assignment]
    async with board(studio).run_test(size=(120, 36), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        studio.broken = Unavailable("no reply within 30 s")
        pilot.app.act("PauseJob", [{"id": "run"}])  # type: ignore[attr-defined]
        await until(pilot, lambda: len(keys) == 1)
        studio.broken = None
        await pilot.press("A")
        await until(pilot, lambda: isinstance(pilot.app.screen, ActsScreen) and "? no answer" in shown(pilot.app))
        await pilot.press("s")
        await until(pilot, lambda: "✓ done" in shown(pilot.app))
        await pilot.press("s")
        await until(pilot, lambda: "nothing to send again" in shown(pilot.app))
    assert len(keys) == 2 and keys[0] == keys[1] and keys[0]
