"""What the line at the bottom names can be clicked."""

from __future__ import annotations

import pytest

from tests.tui.fake import filled
from tests.tui.test_dashboard import shown, until
from tui.app import Dashboard
from tui.screens.confirm import ConfirmScreen
from tui.widgets.keysline import key_at

LINE = "enter open  ] [ page  ^b pages  : go to  ?help  n a demo ticket  ctrl+s send  F1 all keys  c cancel  T anew"


@pytest.mark.parametrize(
    ("pointed", "key"),
    [
        ("enter", "enter"),
        ("open", "enter"),
        ("[ page", "left_square_bracket"),
        ("page  ", "right_square_bracket"),
        ("^b", "ctrl+b"),
        ("go to", "colon"),
        ("help", "question_mark"),
        ("a demo", "n"),
        ("send", "ctrl+s"),
        ("all keys", "f1"),
        ("anew", "T"),
        ("  c cancel", None),
    ],
)
def test_a_place_in_the_line_stands_for_its_key(pointed: str, key: str | None) -> None:
    assert key_at(LINE, LINE.index(pointed)) == key


def test_an_a_is_a_key_where_a_part_begins_with_it() -> None:
    assert key_at("a ask it  v evaluate", 3) == "a"


@pytest.mark.parametrize("at", [-1, len(LINE), 10_000])
def test_beside_the_line_there_is_no_key(at: int) -> None:
    assert key_at(LINE, at) is None and key_at("", at) is None and key_at("no keys here", 2) is None


async def test_a_click_does_what_the_key_does() -> None:
    async with Dashboard(make=filled, page="jobs").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        line = shown(pilot.app).splitlines()[-1]
        await pilot.click("#keys", offset=(line.index("cancel"), 0))
        await until(pilot, lambda: "enter yes, after a moment   y yes   esc no" in shown(pilot.app))
        await pilot.click("#answers", offset=(ConfirmScreen.keys.index("no"), 0))
        await until(pilot, lambda: not isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.click("#keys", offset=(line.index("open"), 0))
        await until(pilot, lambda: "Job adapter-run" in shown(pilot.app))
