"""The list that a field opens to choose from."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.widgets import OptionList

from tests.tui.test_dashboard import shown, until
from tui.screens.picker import NOTHING, PickerScreen
from tui.widgets.choice import Choice

NAMED = [("Support tickets", "seed"), ("my tickets of May", "may"), ("tickets-2", "second"), ("tickets", "mine")]


@pytest.mark.parametrize(
    ("typed", "taken"), [("tickets", "mine"), ("TICK", "second"), ("may", "may"), ("support", "seed")]
)
async def test_enter_takes_what_is_called_just_so_before_what_only_has_the_word_in_it(typed: str, taken: str) -> None:
    answers: list[str | None] = []
    app = App[None]()
    async with app.run_test() as pilot:
        picker = PickerScreen(NAMED, "seed")
        app.push_screen(picker, answers.append)
        await until(pilot, lambda: [each.option_count for each in picker.query(OptionList)] == [len(NAMED)])
        await pilot.press(*typed)
        await until(pilot, lambda: picker.text == typed)
        await pilot.press("enter")
        await until(pilot, lambda: answers == [taken])


async def test_of_what_nothing_is_called_enter_takes_nothing_and_does_not_say_that_it_would() -> None:
    answers: list[str | None] = []
    app = App[None]()
    async with app.run_test() as pilot:
        picker = PickerScreen(NAMED, "seed")
        app.push_screen(picker, answers.append)
        await until(pilot, lambda: "enter takes it" in shown(app))
        await pilot.press(*"512", "enter")
        await until(pilot, lambda: "0 of 4   esc leaves" in shown(app))
        assert answers == []


async def test_tab_takes_what_enter_would() -> None:
    answers: list[str | None] = []
    app = App[None]()
    async with app.run_test() as pilot:
        app.push_screen(PickerScreen(NAMED, "seed"), answers.append)
        await until(pilot, lambda: "4 of 4" in shown(app))
        await pilot.press(*"may", "tab")
        await until(pilot, lambda: answers == ["may"])


async def test_none_of_them_is_no_choice_and_is_not_counted() -> None:
    app = App[None]()
    async with app.run_test() as pilot:
        app.push_screen(PickerScreen([("none of them", NOTHING), *NAMED], "seed"))
        await until(pilot, lambda: "4 of 4" in shown(app) and "none of them" in shown(app))


async def test_where_something_is_needed_none_is_not_offered() -> None:
    field = Choice(NAMED, None, "choose one", "field", few=False)

    class Form(App[None]):
        def compose(self) -> ComposeResult:
            yield field

    app = Form()
    async with app.run_test() as pilot:
        field.needed = True
        field.action_open()
        await until(pilot, lambda: "4 of 4" in shown(app))
        assert "none of them" not in shown(app)
