"""`?` tells the keys that work where one is, all of them, and is made of them."""

from __future__ import annotations

import pytest
from textual.binding import Binding
from textual.widgets import Input

from tests.tui.fake import FakeStudio, filled
from tests.tui.test_dashboard import shown, until
from tui.app import Dashboard
from tui.finding import shown_key
from tui.screens.job import JobScreen
from tui.screens.reading import ReadingScreen
from tui.view import help
from tui.view.pages import BY_NAME, PAGES


@pytest.fixture
def studio() -> FakeStudio:
    return filled()


def said(app: Dashboard) -> str:
    """The whole text of the help that is open."""
    screen = app.screen
    assert isinstance(screen, ReadingScreen)
    return screen.text


@pytest.mark.parametrize("page", [page.name for page in PAGES])
async def test_a_page_opens_by_its_name_is_marked_and_all_its_keys_are_told(studio: FakeStudio, page: str) -> None:
    app = Dashboard(make=lambda: studio, page=page)
    async with app.run_test(size=(120, 50)) as pilot:
        await until(pilot, lambda: f"▌ {BY_NAME[page].short}" in shown(app))
        await pilot.pause()
        bound = [each for cls in type(app.screen).__mro__ for each in vars(cls).get("BINDINGS", ())]
        ours = [each for each in bound if isinstance(each, Binding) and each.description]
        usable = {each.binding.description for each in app.screen.active_bindings.values() if each.enabled}
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, ReadingScreen))
        for each in ours:
            if each.description in usable and not each.action.startswith(("app.", "screen.")):
                assert each.description in said(app), each
        assert max(map(len, said(app).split("\n"))) <= 90 and "Everywhere" in said(app)


async def test_where_one_types_a_question_mark_is_a_letter_and_f1_tells_the_keys(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio, page="import-datasets")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.focused is not None)
        await pilot.press("tab")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("question_mark")
        assert isinstance(app.focused, Input) and app.focused.value == "?"
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, ReadingScreen))
        assert "Typing" in said(app)


async def test_groups_have_their_names_and_what_a_screen_is_for_comes_before_what_is_the_same_everywhere(
    studio: FakeStudio,
) -> None:
    app = Dashboard("run", make=lambda: studio)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, JobScreen))
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, ReadingScreen))
        names = [line for line in said(app).split("\n") if line and not line.startswith(" ")]
        assert names[0] == "The job" and names[-1] == "Everywhere" and "Curves" in names
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, JobScreen))


def test_keys_are_written_as_people_write_them() -> None:
    assert shown_key("question_mark") == "?"
    text = help.lines({"This screen": {"go": ["g", "home"], "stop": ["esc"]}}, 76)
    assert text == ["This screen", "  g home  go      esc     stop"]
