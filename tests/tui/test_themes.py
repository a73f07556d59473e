"""The colours as they are seen by people who see some of them alike, and what stays when there are none.

The simulation: Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency"
(2009), severity 1.0, on linear RGB. Distances: CIE 1976 in L*a*b*; 2.3 is a difference that can just be noticed.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest

from tests.tui.fake import FakeStudio, filled
from tests.tui.test_dashboard import shown, until
from tui.app import Dashboard
from tui.remembered import recall, remember
from tui.theme import CONTRAST, DARK, LIGHT, PAINT, THEMES

SEEN = {
    "as most do": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanope": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranope": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanope": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
STATES = ("good", "bad", "busy", "wait")
PLACES = {DARK.name: (0, 15, 6.0), LIGHT.name: (1, 25, 4.5), CONTRAST.name: (2, 40, 7.0)}  # column, distance, contrast


def linear(colour: str) -> list[float]:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def lab(rgb: list[float]) -> tuple[float, float, float]:
    red, green, blue = rgb
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883,
    )
    x, y, z = (each ** (1 / 3) if each > 0.008856 else 7.787 * each + 16 / 116 for each in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(colour: str, by: str) -> tuple[float, float, float]:
    """Where a colour lies for someone."""
    rgb = linear(colour)
    return lab([min(1.0, max(0.0, sum(a * b for a, b in zip(row, rgb, strict=True)))) for row in SEEN[by]])


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    light = sorted(
        sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear(each), strict=True)) for each in (one, other)
    )
    return (light[1] + 0.05) / (light[0] + 0.05)


@pytest.mark.parametrize("by", SEEN)
@pytest.mark.parametrize("name", THEMES)
def test_states_are_told_apart_by_whoever_looks(name: str, by: str) -> None:
    place, least, _ = PLACES[name]
    colours = {state: PAINT[state][place].split()[-1] for state in STATES}
    for one, other in itertools.combinations(STATES, 2):
        apart = math.dist(seen(colours[one], by), seen(colours[other], by))
        assert apart >= least, f"{one} and {other} look alike to a {by}: {apart:.1f}"


@pytest.mark.parametrize("name", THEMES)
def test_every_meaning_can_be_read(name: str) -> None:
    place, _, least = PLACES[name]
    background = str(THEMES[name][0].background)
    for meaning, styles in PAINT.items():
        assert contrast(styles[place].split()[-1], background) >= least, meaning


@pytest.fixture
def studio() -> FakeStudio:
    return filled()


async def test_the_chosen_theme_is_there_at_the_next_start(
    studio: FakeStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTS_HOME", str(tmp_path))
    app = Dashboard(make=lambda: studio)
    async with app.run_test() as pilot:
        await until(pilot, lambda: "adapter-run" in shown(app))
        assert app.theme == DARK.name
        await pilot.press("ctrl+t")
        assert app.theme == LIGHT.name and app.screen.styles.background.hex.lower() == str(LIGHT.background)
    again = Dashboard(make=lambda: studio)
    async with again.run_test() as pilot:
        await until(pilot, lambda: "adapter-run" in shown(again))
        assert again.theme == LIGHT.name and again.screen.styles.background.hex.lower() == str(LIGHT.background)
        assert again.has_class("-light-mode") and not again.has_class("-dark-mode")


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"theme": 7}', '{"theme": "no such"}', "\x00\xff" * 9, "[" * 100_000]
)
async def test_what_can_not_be_remembered_is_no_trouble(
    studio: FakeStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv("FTS_HOME", str(tmp_path))
    (tmp_path / "dashboard.json").write_text(content, encoding="latin-1")
    assert Dashboard(make=lambda: studio).theme == DARK.name
    remember(theme=LIGHT.name)
    assert recall() == {"theme": LIGHT.name}
    assert [path.name for path in tmp_path.iterdir()] == ["dashboard.json"]


def test_nothing_is_made_where_there_is_no_studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTS_HOME", str(tmp_path / "elsewhere"))
    remember(theme=LIGHT.name)
    assert not (tmp_path / "elsewhere").exists() and recall() == {}


def test_what_is_remembered_beside_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTS_HOME", str(tmp_path))
    remember(theme=DARK.name)
    remember(pages="hidden")
    assert json.loads((tmp_path / "dashboard.json").read_text()) == {"theme": DARK.name, "pages": "hidden"}


async def test_without_colours_states_cursor_and_page_are_still_told(
    studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Dashboard(make=lambda: studio, page="home")
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(app))
        text = shown(app)
        assert (
            "✗  adapter-bad" in text and "● running" in text and "◌ queued" in text and "▌ Home" in text and "›" in text
        )
        await pilot.press("ctrl+b", "j")
        assert " ›Database" in shown(app)


async def test_each_theme_repaints_what_is_there(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio, page="home")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(app))
        for name in (*list(THEMES)[1:], DARK.name):
            await pilot.press("ctrl+t")
            await pilot.pause()
            wanted = PAINT["busy"][PLACES[name][0]].split()[-1]
            strips = app.screen._compositor.render_strips()
            colours = {str(part.style.color.triplet.hex) for strip in strips for part in strip if part.style and part.style.color and part.style.color.triplet and "running" in part.text}  # fmt: skip
            assert wanted in colours, (name, colours)
