"""What is sent is only what differs, and yet the terminal shows what Textual would have made it show."""

from __future__ import annotations

import math
from typing import Any

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip
from textual.widgets import Input

from tests.tui.fake import filled
from tests.tui.test_dashboard import until
from tui.app import Dashboard
from tui.drawing import Drawing
from tui.glass import Glass, spread

WIDE, HIGH = 24, 4
TEXTS = st.text("ab 12─●⠿長語é", min_size=1, max_size=12) | st.just("e\u0301n\u0300") | st.just("長い名前")
STYLES = st.sampled_from(
    [
        None,
        "bold",
        "#ff0000",
        "#00ff00 on #101010",
        "bold #ff0000 on #101010",
        "underline italic green",
        "strike on bright_blue",
        "reverse",
        "dim italic",
        "link https://a.example",
        "bold link https://b.example/c",
    ]
)
LINE = st.lists(st.tuples(TEXTS, STYLES), min_size=1, max_size=5)
CONSOLE = Console(color_system="truecolor", force_terminal=True)


def strip(line: list[tuple[str, str | None]]) -> Strip:
    """A line as wide as the terminal."""
    segments = [Segment(text, None if style is None else Style.parse(style)) for text, style in line]
    return Strip(segments).adjust_cell_length(WIDE, Style())


def layout(lines: list[Strip]) -> LayoutUpdate:
    return LayoutUpdate([[each] for each in lines], Region(0, 0, WIDE, len(lines)))


def part(y: int, x: int, line: Strip) -> ChopsUpdate:
    """A piece of one line, as of a widget that changed."""
    return ChopsUpdate([{x: line} if row == y else {} for row in range(HIGH)], [(y, x, WIDE)], [[WIDE]] * HIGH)


def screen() -> tuple[pyte.Screen, pyte.Stream]:
    made = pyte.Screen(WIDE, HIGH)
    made.reset_mode(pyte.modes.DECAWM)
    return made, pyte.Stream(made)


def looks(made: pyte.Screen) -> list[list[Any]]:
    return [[seen(made.buffer[y][x]) for x in range(WIDE)] for y in range(HIGH)]


def seen(cell: Any) -> Any:
    """Of a blank nobody sees the colour of its letter, nor how it is drawn, unless it is turned round or has a line."""
    lined = cell.reverse or cell.underscore or cell.strikethrough
    return cell if cell.data != " " or lined else cell._replace(fg="default", bold=False, italics=False)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(LINE, min_size=HIGH, max_size=HIGH),
    st.lists(st.tuples(st.integers(0, HIGH - 1), st.integers(0, WIDE // 2), LINE), max_size=6),
    st.sampled_from([math.inf, 1, 60]),
)
def test_a_terminal_shows_the_same_as_if_all_were_sent(
    first: list[Any], changes: list[tuple[int, int, Any]], room: float
) -> None:
    glass = Glass()
    (ours, to_ours), (whole, to_whole) = screen(), screen()
    updates: list[tuple[int, int, Any]] = [(0, 0, layout([strip(each) for each in first]))]
    updates += [(y, x, part(y, x, strip(line).crop(0, WIDE - x))) for y, x, line in changes]
    for y, x, update in updates:
        if whole.buffer[y][x].data == "":
            continue  # the middle of a wide letter: what a terminal leaves of it is its own affair
        glass.take(update, (WIDE, HIGH), ColorSystem.TRUECOLOR)
        to_ours.feed(glass.send(room))
        to_whole.feed(update.render_segments(CONSOLE).replace("\n", ""))
        assert room < math.inf or looks(ours) == looks(whole)
    while glass.owed:
        to_ours.feed(glass.send(room))
    assert looks(ours) == looks(whole)


def test_what_stands_there_already_is_not_sent_and_a_digit_costs_a_few_bytes() -> None:
    glass = Glass()
    line = "● running  adapter-7  step "
    update = layout([strip([(f"{line}{number}"[-20:], "bold")]) for number in range(HIGH)])
    assert len(glass.paint(update, (WIDE, HIGH), ColorSystem.TRUECOLOR)) > 80
    assert glass.paint(update, (WIDE, HIGH), ColorSystem.TRUECOLOR) == ""
    other = layout([strip([(f"{line}{number + (number == 2) * 5}"[-20:], "bold")]) for number in range(HIGH)])
    assert glass.paint(other, (WIDE, HIGH), ColorSystem.TRUECOLOR) == "\x1b[3;20H\x1b[0;1m7\x1b[0m"
    glass.forget()
    assert len(glass.paint(other, (WIDE, HIGH), ColorSystem.TRUECOLOR)) > 80


@pytest.mark.parametrize(
    "text", ["長い", "a長b", "👩‍🚀 x", "e\u0301", "\u0301e", "1️⃣ a", "❤️", "⠿⠿", "שלום", "a" * 300 + "長"]
)
def test_a_text_takes_as_many_cells_as_it_is_wide_and_none_of_it_is_lost(text: str) -> None:
    cells = spread(text)
    assert len(cells) == cell_len(text)
    assert "".join(cells) == text


async def test_a_terminal_that_was_resized_or_given_back_is_drawn_whole() -> None:
    dashboard = Dashboard(make=filled)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: dashboard.screen.query("#rows"))
        assert isinstance(dashboard, Drawing)
        for back in (lambda: pilot.resize_terminal(90, 24), lambda: dashboard.app_resume_signal.publish(dashboard)):
            dashboard.glass.size = (80, 24)
            if (waiting := back()) is not None:
                await waiting
            await until(pilot, lambda: dashboard.glass.size == (0, 0))
        assert not dashboard.screen.query(Input).filter(".unknown")


def test_a_link_is_begun_and_ended_where_its_text_is_and_sent_again_when_it_leads_elsewhere() -> None:
    glass, size = Glass(), (WIDE, HIGH)
    lines = [
        [("see ", None), ("the page", "bold link https://a.example"), (" now", None)],
        *[[("", None)]] * (HIGH - 1),
    ]
    sent = glass.paint(layout([strip(line) for line in lines]), size, ColorSystem.TRUECOLOR)
    begun, ended = "\x1b]8;;https://a.example\x1b\\", "\x1b]8;;\x1b\\"
    assert f"{begun}the page" in sent and sent.count(begun) == sent.count(ended) == 1
    assert sent.index(ended) > sent.index("the page") and not glass.paint(
        layout([strip(line) for line in lines]), size, ColorSystem.TRUECOLOR
    )
    lines[0][1] = ("the page", "bold link https://b.example")
    again = glass.paint(layout([strip(line) for line in lines]), size, ColorSystem.TRUECOLOR)
    assert "]8;;https://b.example" in again and again.endswith(ended) and "see" not in again
    bare = Glass(links=False)
    assert "]8;" not in bare.paint(layout([strip(line) for line in lines]), size, ColorSystem.TRUECOLOR)
