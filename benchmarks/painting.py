"""How soon a key is answered on the terminal while a studio is busy, and what the dashboard takes meanwhile.

A key is painted when the terminal has been sent the screen that it leads to: what was written is fed to a terminal in
memory afterwards, so that looking takes nothing from what is looked at.
"""

from __future__ import annotations

import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyte
from terminal import Chunks, Terminal, screens

NAME = re.compile(r"adapter-(\d{4})")
SPACING = (0.1, 0.25)  # seconds between keys, at random: in step with nothing
REST = 5  # seconds in which nobody types
LAST = 1.0  # seconds that the last key has
Shown = Callable[[pyte.Screen], bool]


@dataclass(frozen=True)
class Watched:
    """What came of some keys: milliseconds to each one's paint, the share of a core, bytes a second at rest and meanwhile,
    MiB before and after."""

    took: list[float]
    share: float
    rest: float
    bytes: float
    before: float
    after: float


def cursor(screen: pyte.Screen) -> int | None:
    """The number in the name of the row that is painted unlike the others; None while none or several are."""
    rows = [(int(found[1]), _colours(screen, y, found.start())) for y, line in enumerate(screen.display)
            if (found := NAME.search(line))]  # fmt: skip
    counted = Counter(colours for _, colours in rows)
    alone = [number for number, colours in rows if counted[colours] == 1]
    return alone[0] if len(alone) == 1 and len(rows) > 2 else None


def _colours(screen: pyte.Screen, y: int, x: int) -> tuple[str, bool]:
    cell = screen.buffer[y][x]
    return cell.bg, cell.reverse


def down(keys: int, begin: int = 0) -> list[tuple[str, Shown]]:
    """j, so often, and the row that each leads to: later ones may be painted together with it."""

    def at(number: int) -> Shown:
        return lambda screen: (cursor(screen) or 0) >= number

    return [("j", at(begin + number)) for number in range(1, keys + 1)]


def through(keys: int, steps: Sequence[tuple[str, str]]) -> list[tuple[str, Shown]]:
    """Keys that go round, with a text that the screen shows then and not before."""

    def shows(text: str) -> Shown:
        return lambda screen: any(text in line for line in screen.display)

    return [(key, shows(text)) for key, text in itertools.islice(itertools.cycle(steps), keys)]


def watch(
    terminal: Terminal,
    keys: Sequence[tuple[str, Shown]],
    spacing: tuple[float, float] = SPACING,
    last: float = LAST,
) -> Watched:
    """Press the keys, one after another, and see what comes."""
    rest, first = _at_rest(terminal), len(terminal.chunks)
    used, begun, before = terminal.used, time.time(), terminal.resident
    chance = random.Random(7)
    pressed = []
    for key, _ in keys:
        time.sleep(chance.uniform(*spacing))
        pressed.append(terminal.press(key))
    time.sleep(last)
    seconds, used, after = time.time() - begun, terminal.used - used, terminal.resident
    took = painted(terminal.chunks, terminal.size, list(zip(pressed, (shown for _, shown in keys), strict=True)))
    return Watched(took, used / seconds, rest, _bytes(terminal, first) / seconds, before, after)


def _at_rest(terminal: Terminal) -> float:
    """Bytes a second while nobody types."""
    first = len(terminal.chunks)
    time.sleep(REST)
    return _bytes(terminal, first) / REST


def _bytes(terminal: Terminal, first: int) -> int:
    return sum(len(data) for _, data in terminal.chunks[first:])


def painted(chunks: Chunks, size: tuple[int, int], wanted: list[tuple[float, Shown]]) -> list[float]:
    """Milliseconds from each press to the paint of what it leads to. Raises ValueError when one never came."""
    took: list[float] = []
    for at, screen in screens(list(chunks), size):
        while len(took) < len(wanted) and at >= wanted[len(took)][0] and wanted[len(took)][1](screen):
            took.append(1000 * (at - wanted[len(took)][0]))
    if len(took) < len(wanted):
        raise ValueError(
            f"key {len(took) + 1} of {len(wanted)} was never painted; the screen:\n" + "\n".join(screen.display)
        )
    return took
