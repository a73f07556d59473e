"""The line of keys at the bottom: what is written there can be clicked, too."""

from __future__ import annotations

import re

from textual import events
from textual.content import Content
from textual.widgets import Static

from core.text import plain

# How a key is called where it is pressed.
CALLED = {"?": "question_mark", "/": "slash", ":": "colon", "+": "plus", "-": "minus", "esc": "escape"}
CALLED |= {"[": "left_square_bracket", "]": "right_square_bracket"}
_KEY = re.compile(r"(?!a$)[^\s\w]|(?!a$)\w|\^\w|ctrl\+\w|enter|esc|tab|space|F\d+")
_PART = re.compile(r"\S+(?: \S+)*")  # parts stand two spaces apart


class KeysLine(Static):
    """Shows keys and what they do; a click on either presses the key."""

    def __init__(self, text: str, id: str = "keys") -> None:
        super().__init__(Content(plain(text, limit=400)), id=id, markup=False)

    def on_click(self, event: events.Click) -> None:
        """Press what is under the mouse."""
        if (key := key_at(str(self.content), event.x - self.styles.padding.left)) is not None:
            self.app.simulate_key(key)


def key_at(text: str, at: int) -> str | None:
    """The key that a place in the line stands for: of several that do one thing the one that is pointed at, else the first."""
    part = next((part for part in _PART.finditer(text) if part.start() <= at < part.end()), None)
    if part is None:
        return None
    known = part.group() if part.group()[:1] not in ":?" else f"{part.group()[0]} {part.group()[1:].strip()}"
    keys: list[tuple[int, str]] = []
    for word in re.finditer(r"\S+", known):
        key = word.group().rstrip(",")
        if not (_KEY.fullmatch(key) or (key == "a" and word.start() == 0)):  # behind another key it is the article
            break
        keys.append((part.start() + word.start(), key))
    if not keys:
        return None
    pointed = next((key for start, key in keys if start <= at < start + len(key)), keys[0][1])
    return CALLED.get(
        pointed, pointed.replace("^", "ctrl+") if len(pointed) == 1 else pointed.replace("^", "ctrl+").lower()
    )
