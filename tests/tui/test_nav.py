"""The sidebar and the pages: every page is there, one key or click away, and nothing typed is lost on the way."""

from __future__ import annotations

from importlib import import_module

import pytest

from core.messages import REGISTRY
from tests.tui.fake import FakeStudio, filled
from tests.tui.test_dashboard import shown, until
from tests.tui.test_snapshots import Compare, at, timeless
from tui.app import Dashboard
from tui.screens.base import StudioScreen
from tui.screens.form import FormScreen
from tui.view import navigation, pages
from tui.view.kinds import KINDS
from tui.view.pages import PAGES
from tui.widgets.nav import Nav
from tui.widgets.table import StudioTable
from tui.widgets.topbar import Menu, TopBar

GUIDE = [  # the guide's sections and pages, in its order
    *("Home", "Database", "Import Datasets", "View Datasets", "Import Base Models", "View Base Models", "Create Prompts"),
    *("View Prompts", "Train a New Adapter", "Monitor Training Jobs", "Local Adapter Comparison"),
    *("Run MLflow Evaluation", "View MLflow Runs", "Export And Deploy Model", "Sample Ticketing Agent App"),
]  # fmt: skip


@pytest.fixture
def studio() -> FakeStudio:
    return filled()


def test_the_guides_pages_are_there_in_its_order() -> None:
    titles = [page.title.replace(" Import and Export", "") for page in PAGES]
    assert [title for title in titles if title in GUIDE] == GUIDE
    assert list(pages.sections())[:5] == ["Navigation", "Resources", "Experiments", "AI Workbench", "Examples"]


def test_each_page_opens_something_that_exists() -> None:
    for page in PAGES:
        if page.kind == "list":
            assert page.target in KINDS
        elif page.kind == "form":
            assert page.target in REGISTRY and page.over in pages.BY_NAME
        else:
            module, _, name = page.target.partition(":")
            assert issubclass(getattr(import_module(module), name), StudioScreen)
        assert len(page.short) <= navigation.WIDE - 3


def test_words_find_pages_lists_before_forms() -> None:
    found = {
        word: page.name if (page := pages.find(word)) else None for word in ("data", "evaluations", "train", "xyz", "")
    }
    assert found == {"data": "datasets", "evaluations": "runs", "train": "train", "xyz": None, "": None}


async def test_every_page_is_a_click_away_and_leaves_the_screens_keys_alone(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(app))
        lines = shown(app).split("\n")
        row = next(number for number, line in enumerate(lines) if line.startswith("  View Datasets"))
        await pilot.click(Nav, offset=(5, row))
        await until(pilot, lambda: app.page == "datasets" and "728" in shown(app))
        assert isinstance(app.focused, StudioTable)


async def test_every_page_is_reached_by_keys_alone(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio, page=PAGES[-1].name)
    async with app.run_test(size=(80, 24)) as pilot:
        for page in PAGES:
            await until(pilot, lambda: isinstance(app.screen, StudioScreen) and app.screen.is_mounted)
            await pilot.press("ctrl+b", "j")
            assert f"›{page.short}" in shown(app)
            await pilot.press("enter")
            await until(pilot, lambda page=page: app.page == page.name)


async def test_it_lies_over_a_narrow_screen_while_it_is_used_and_gives_the_keys_back(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(app))
        assert "Ticketing Agent App" not in shown(app)
        await pilot.press("ctrl+b")
        assert all(page.short in shown(app) for page in PAGES)
        assert "help" not in shown(app), "what is left of the screen's line of keys says nothing that is so"
        await pilot.press("t")
        assert " ›Ticketing Agent App" in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: "Ticketing Agent App" not in shown(app) and "? help" in shown(app))
        assert app.page == "jobs" and isinstance(app.focused, StudioTable)


async def test_a_wide_screen_gets_its_room_when_it_is_hidden_and_keeps_it_on_other_pages(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio)
    async with app.run_test(size=(130, 30)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(app))
        narrow = app.screen.query_one(StudioTable).size.width
        await pilot.press("ctrl+b", "ctrl+b")
        await until(pilot, lambda: app.screen.query_one(StudioTable).size.width == narrow + navigation.WIDE)
        await pilot.press("colon", *"datasets", "enter")
        await until(pilot, lambda: "728" in shown(app))
        assert "Ticketing Agent App" not in shown(app)
        await pilot.press("ctrl+b")
        await until(pilot, lambda: "Ticketing Agent App" in shown(app))


async def test_what_was_typed_is_offered_again_after_a_page_took_its_place(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio, page="import-datasets")
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.focused is not None)
        await pilot.press("tab", *"typed")
        await pilot.press("ctrl+b", "g", "enter")
        await until(pilot, lambda: app.page == "home")
        app.go("import-datasets")
        await until(pilot, lambda: "ctrl+r brings them back" in shown(app))


def test_the_foot_says_whose_studio_it_is_and_where() -> None:
    assert navigation.footer({"CDSW_PROJECT_OWNER": "ada\x1b[31m", "CDSW_DOMAIN": "ml.example"}) == [
        "ada\\x1b[31m",
        "ml.example",
    ]
    assert navigation.footer({"FTS_HOME": "/srv/studio"})[-1] == "/srv/studio"


async def test_in_a_composed_page_groups_of_pages_stand_on_top_with_their_menus_below(
    studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IS_COMPOSABLE", "true")
    app = Dashboard(make=lambda: studio)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(app))
        assert shown(app).startswith(" Home│Database│Resources│Experiments│Workbench│Examples│Operations")
        assert app.screen.query_one(StudioTable).size.width == 80
        await pilot.press("ctrl+b", "h", "j", "j")
        assert " ›View Datasets" in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.page == "datasets" and "728" in shown(app))
        assert isinstance(app.focused, StudioTable) and "View Prompts" not in shown(app)
        await pilot.press("ctrl+b", "escape")
        await until(pilot, lambda: isinstance(app.focused, StudioTable))
        await pilot.click(TopBar, offset=(17, 0))
        await until(pilot, lambda: "View Prompts" in shown(app))
        line = next(number for number, line in enumerate(shown(app).split("\n")) if "Adapters" in line)
        await pilot.click(Menu, offset=(4, line - 1))
        await until(pilot, lambda: app.page == "adapters")
        await pilot.click(TopBar, offset=(3, 0))
        await until(pilot, lambda: app.page == "home")


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
@pytest.mark.parametrize("composable", ["", "1"])
def test_pages_over_the_screen(
    snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], composable: str
) -> None:
    monkeypatch.setenv("IS_COMPOSABLE", composable)
    assert snap_compare(Dashboard(make=timeless), terminal_size=size, run_before=at("adapter-run", "ctrl+b", "j"))
