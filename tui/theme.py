"""The dashboard's colours. What they say, signs and words say too; and people who see some colours alike tell these apart:
tests/tui/test_themes.py looks at them as they do.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from rich.style import Style
from rich.text import Text
from textual.theme import Theme

from core.text import plain


class _Black(int):
    """True, and more than that: whoever paints is told whether a theme is dark, and here how dark. Caches tell them apart."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 2


BLACK: Any = _Black(True)
DARK = Theme(
    name="studio-dark",
    primary="#5fafd7",
    secondary="#87afaf",
    accent="#d7af5f",
    warning="#d7875f",
    error="#ff8787",
    success="#87d7af",
    foreground="#d0d0d0",
    background="#121417",
    surface="#181b1f",
    panel="#20242a",
    dark=True,
)
LIGHT = Theme(
    name="studio-light",
    primary="#005f87",
    secondary="#3a5f5f",
    accent="#8f6b00",
    warning="#af5f00",
    error="#7a1020",
    success="#008075",
    foreground="#1c1c1c",
    background="#fafafa",
    surface="#f0f0f0",
    panel="#e4e4e4",
    dark=False,
)
CONTRAST = Theme(
    name="studio-contrast",
    primary="#ffe066",
    secondary="#ffffff",
    accent="#ffe066",
    warning="#ffe066",
    error="#ff6680",
    success="#66ffff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#1c1c1c",
    dark=BLACK,
)
THEMES = {theme.name: (theme, word) for theme, word in ((DARK, "dark"), (LIGHT, "light"), (CONTRAST, "high contrast"))}

# What a piece of text means -> (its style on dark, on light, on black)
PAINT = {
    "good": ("bold #87d7af", "bold #008075", "bold #66ffff"),
    "bad": ("bold #ff8787", "bold #7a1020", "bold #ff6680"),
    "busy": ("bold #5fafd7", "bold #0038b8", "bold #8992f5"),
    "bar": ("#5fafd7", "#0038b8", "#8992f5"),
    "wait": ("#d7af5f", "#8f6b00", "#ffe066"),
    "second": ("bold #d7875f", "bold #af5f00", "bold #ffe066"),
    "right": ("#87d7af", "#008075", "#66ffff"),
    "wrong": ("#d7875f", "#8f4a00", "#ff6680"),
}


def painted(text: str, meaning: str, *, dark: bool) -> Text:
    """Text in the style of what it means; other styles (bold, dim) as they are. It is made safe to show here."""
    return Text(plain(text, limit=1_000_000, lines=True), style=_styled(meaning, dark))


@lru_cache(maxsize=256)
def look(meaning: str, *, dark: bool) -> Style:
    """The style of what a piece of a line means."""
    return Style.parse(_styled(meaning, dark))


def _styled(meaning: str, dark: bool) -> str:
    place = 2 if dark is BLACK else 0 if dark else 1
    styles = PAINT.get(meaning)
    if styles is None:
        return "" if meaning == "dim" and place == 2 else meaning  # nothing is dim where contrast is what counts
    return styles[place]
