"""The dashboard on a terminal, walked through all of its pages by itself: `python -m tests.hostile.walk PIECES KEYS REPORT`.

It opens every page, and from it what KEYS of its keys open. What it saw is written to REPORT as JSON: screens, messages that were
asked, and what should not be there: links and actions in what was drawn, errors, an app that ended by itself.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.segment import Segment
from textual.color import Color
from textual.events import Paste
from textual.filter import LineFilter
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from core.errors import Refused, Unavailable
from core.rules import Breach
from tests.hostile.corpus import ALL, EVERYTHING
from tests.hostile.studio import HostileStudio
from tui import app
from tui.app import Dashboard
from tui.view.pages import PAGES

PASTE = "paste"  # the corpus, as a terminal hands over what was pasted
KEYS = (
    "d", "y", "question_mark", "l", "e", "o", "f", "m", "n", "space", "tab paste home ctrl+s", "slash paste home enter", "ctrl+o",
    "colon paste home tab enter", "ctrl+k paste home enter", "A",
)  # fmt: skip
BENIGN = ["tickets", "a longer name of a thing", "3", "größe 漢字 👩‍🚀"]
SECONDS = 5  # that a screen gets to come to rest


class Witness(LineFilter):
    """Sees all that is drawn: no piece of it may be a link or carry an action."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments as they came."""
        for text, style, _ in segments:
            if style is not None and (style.link or "@click" in style.meta):
                self.seen.add(f"{text!r}: {style.link or style.meta}")
        return segments


class Walked(Dashboard):
    """The dashboard, watched."""

    CSS_PATH = Path(app.__file__).parent / "studio.tcss"

    def __init__(self, studio: HostileStudio, keys: int) -> None:
        super().__init__(make=lambda: studio)
        self.hostile, self.keys = studio, keys
        self.witness = Witness()
        self.screens: set[str] = set()
        self.failures: list[str] = []
        self.done = False

    def get_line_filters(self) -> Sequence[LineFilter]:
        """And the witness, first."""
        return [self.witness, *super().get_line_filters()]

    def _handle_exception(self, error: Exception) -> None:
        self.failures.append(repr(error))
        super()._handle_exception(error)

    def bell(self) -> None:
        """Silent: a bell on the terminal is one that a text rang."""

    async def walk(self, pilot: Pilot[None]) -> None:
        """Everywhere, once as it is and once while all that is asked fails."""
        for number, page in enumerate(PAGES):
            turn = number * self.keys % len(KEYS)
            for key in ("enter", *(KEYS[turn:] + KEYS[:turn])[: self.keys]):
                await self.to(pilot, page.name)
                for each in key.split():
                    await self.press(pilot, each)
        breach = Breach(rule="XX-001", field=ALL, message=ALL)
        errors = itertools.cycle([RuntimeError(ALL), Unavailable(ALL), Refused.because([breach])])
        for page in PAGES[:: 1 if self.keys > 1 else 2]:
            self.hostile.broken = next(errors)
            await self.to(pilot, page.name)
        self.done = True
        self.exit()

    async def to(self, pilot: Pilot[None], name: str) -> None:
        """Go to a page, whatever stands in the way."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self._open(next(page for page in PAGES if page.name == name))
        await self.rest(pilot)

    async def press(self, pilot: Pilot[None], key: str) -> None:
        """Press a key where it is a command, also from within a field that takes text."""
        if isinstance(self.screen.focused, Input | TextArea) and len(key) == 1:
            self.screen.set_focus(None)
        if key == PASTE:
            (self.screen.focused or self.screen).post_message(Paste(ALL))
        else:
            await pilot.press(key)
        await self.rest(pilot)

    async def rest(self, pilot: Pilot[None]) -> None:
        """Until nothing is under way, and what came is drawn."""
        deadline = time.monotonic() + SECONDS
        await pilot.pause()
        while any(worker.is_running for worker in self.workers) and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        await pilot.pause()
        self.screens.add(type(self.screen).__name__)

    @property
    def report(self) -> dict[str, Any]:
        """What was seen."""
        return {
            "done": self.done,
            "screens": sorted(self.screens),
            "asked": sorted(self.hostile.asked),
            "links": sorted(self.witness.seen),
            "failures": self.failures,
        }


def main(pieces: str, keys: str, report: str) -> None:
    """Walk, and report."""
    walked = Walked(HostileStudio(EVERYTHING if pieces == "hostile" else BENIGN), int(keys))
    walked.run(auto_pilot=walked.walk)
    Path(report).write_text(json.dumps(walked.report))


if __name__ == "__main__":
    main(*sys.argv[1:])
