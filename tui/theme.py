"""The dashboard's colours: blue and orange carry meaning, which every kind of eye tells apart, and words say the same."""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style
from rich.text import Text
from textual.theme import Theme

from core.text import plain

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
    accent="#875f00",
    warning="#af5f00",
    error="#af0000",
    success="#005f3a",
    foreground="#1c1c1c",
    background="#fafafa",
    surface="#f0f0f0",
    panel="#e4e4e4",
    dark=False,
)

# What a piece of text means -> (its style on dark, its style on light)
PAINT = {
    "good": ("bold #87d7af", "bold #005f3a"),
    "bad": ("bold #ff8787", "bold #af0000"),
    "busy": ("bold #5fafd7", "bold #005f87"),
    "bar": ("#5fafd7", "#005f87"),
    "wait": ("#d7af5f", "#875f00"),
    "second": ("bold #d7875f", "bold #af5f00"),
    "right": ("#87d7af", "#005f3a"),
    "wrong": ("#d7875f", "#af5f00"),
}


def painted(text: str, meaning: str, *, dark: bool) -> Text:
    """Text in the style of what it means; other styles (bold, dim) as they are. It is made safe to show here."""
    return Text(plain(text, limit=1_000_000, lines=True), style=_styled(meaning, dark))


@lru_cache(maxsize=256)
def look(meaning: str, *, dark: bool) -> Style:
    """The style of what a piece of a line means."""
    return Style.parse(_styled(meaning, dark))


def _styled(meaning: str, dark: bool) -> str:
    return PAINT[meaning][0 if dark else 1] if meaning in PAINT else meaning
