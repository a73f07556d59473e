"""Feedback: one sees all that goes along, nothing of it is a name, a path or a secret, and nothing typed is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from core.settings import settings
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE
from tests.tui.test_dashboard import SIZES, shown, until
from tests.tui.test_home import failing
from tests.tui.test_snapshots import Compare
from tui.app import Dashboard
from tui.screens.feedback import FeedbackScreen
from tui.view import feedback


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TMUX", "STY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FTS_PROJECT", str(tmp_path))
    settings.cache_clear()
    yield
    settings.cache_clear()


def app(studio: FakeStudio) -> Dashboard:
    return Dashboard(make=lambda: studio, page="feedback")


async def test_what_one_types_is_copied_with_versions_and_numbers() -> None:
    dashboard = app(filled())
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "4 trainings" in shown(dashboard))
        await pilot.press(*"slow", "tab", *"lists", "ctrl+s")
        await until(pilot, lambda: dashboard.clipboard)
        text = dashboard.clipboard
        assert text.startswith("# slow\n\nlists\n") and "Python 3." in text and "terminal size 80x24" in text
        assert "jobs: 1 running, 1 waiting" in text and "runners: 1 online" in text and "1 about jobs" in text
        await pilot.press("escape")
        await until(pilot, lambda: dashboard.page == "home")


async def test_no_name_of_the_studio_goes_along() -> None:
    studio = failing("secret-project")
    for table in studio.rows.values():
        for row in table:
            for field in ("name", "adapter_name", "host"):
                if getattr(row, field, None):
                    row.__dict__[field] = "secret-project"
    told = studio.overview().model_dump(mode="json")
    text = feedback.issue("", "", feedback.surroundings({}, told))
    assert "secret-project" not in text and "/p/" not in text and "5 trainings" in text


def test_what_is_secret_here_is_taken_out_of_what_one_pasted() -> None:
    environment = {"HF_TOKEN": "abcdefghij", "MY_API_KEY": "short", "PASSWORD": "correct horse"}
    pasted = f"HF_TOKEN=abcdefghij hf_aBcDeFgHiJkL redis://me:pw@host/0 correct horse {Path.home()}/x short"
    text = feedback.without_secrets(pasted, environment)
    for gone in ("abcdefghij", "hf_aBcD", "me:pw", "correct horse", str(Path.home())):
        assert gone not in text
    assert "redis://[secret]@host/0" in text and text.endswith("~/x short")


async def test_it_is_written_to_a_new_file_of_the_project_only(tmp_path: Path) -> None:
    dashboard = app(filled())
    async with dashboard.run_test(size=(160, 50), notifications=True) as pilot:
        await until(pilot, lambda: "4 trainings" in shown(dashboard))
        dashboard.screen.query_one("#text", TextArea).text = "it was slow"
        for name in ("told.md", "told.md", "../outside.md"):
            await pilot.press("ctrl+o")
            dashboard.screen.query_one("#prompt", Input).value = name
            await pilot.press("enter")
            await until(pilot, lambda: (tmp_path / "told.md").exists())
        await until(pilot, lambda: "outside the allowed" in shown(dashboard))
        assert "it was slow" in (tmp_path / "told.md").read_text() and not (tmp_path.parent / "outside.md").exists()
        assert "choose another one" in shown(dashboard)


async def test_what_was_typed_is_not_lost_by_a_key_and_an_outage_stops_nothing() -> None:
    studio = filled()
    studio.broken = ConnectionError("gone")
    dashboard = app(studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "does not answer" in shown(dashboard))
        await pilot.press(*"typed", "escape")
        await until(pilot, lambda: "neither copied nor written" in shown(dashboard))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(dashboard.screen, FeedbackScreen))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "the studio does not answer" in dashboard.clipboard)


async def test_a_dashboard_that_only_looks_writes_no_file(tmp_path: Path) -> None:
    dashboard = Dashboard(make=filled, page="feedback", readonly=True)
    async with dashboard.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "4 trainings" in shown(dashboard))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "writes no files" in shown(dashboard))
        assert not dashboard.screen.query_one("#prompt", Input).display


STATES = {"empty": FakeStudio, "filled": filled, "hostile": lambda: failing(HOSTILE)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
def test_feedback(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], state: str) -> None:
    monkeypatch.setattr(feedback, "_version", lambda package: "1.2.3")
    monkeypatch.setattr("platform.python_version", lambda: "3.11.7")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(FeedbackScreen, "colours", "truecolor")
    studio = STATES[state]()

    async def ready(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "trainings" in shown(dashboard))
        dashboard.screen.query_one("#title", Input).cursor_blink = False
        dashboard.screen.query_one("#title", Input).value = HOSTILE if state == "hostile" else "lists are slow"
        dashboard.screen.query_one("#text", TextArea).text = HOSTILE if state == "hostile" else "I pressed G."
        await pilot.pause(0.5)

    dashboard = app(studio)
    assert snap_compare(dashboard, terminal_size=size, run_before=ready)
