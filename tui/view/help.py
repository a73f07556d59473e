"""The keys of a screen, made of what it and the widget that has the focus are bound to: there is no other text to keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.cells import cell_len
from textual.app import App
from textual.screen import Screen
from textual.widgets import Input, TextArea

from core.text import plain
from tui.finding import shown_key
from tui.screens.base import StudioScreen

SCREEN, EVERYWHERE = "This screen", "Everywhere"
WIDEST = 14  # cells that keys take before what they do
FIRST, LAST = (SCREEN, "The job"), ("Moving", "Typing", EVERYWHERE)  # the groups that have a name come between
NAMES = {
    "pagedown": "pgdn",
    "pageup": "pgup",
    "ctrl+pageup": "ctrl+pgup",
    "ctrl+pagedown": "ctrl+pgdn",
    "full_stop": ".",
    "comma": ",",
}
# What widgets of Textual's call what ours call otherwise; and what does nothing, or the same as another key, here.
WORDS = {"cursor up": "up", "cursor down": "down", "top": "first", "bottom": "last", "select": "open"}
LEFT_OUT = {
    "scroll_left",
    "scroll_right",
    "page_left",
    "page_right",
    "cursor_left",
    "cursor_right",
    "scroll_home",
    "scroll_end",
}

Sections = dict[str, dict[str, list[str]]]  # section -> what is done -> its keys


def sections(active: Iterable[Any]) -> Sections:
    """What can be done, of Textual's active bindings, by section."""
    found: Sections = {}
    for each in active:
        node, binding = each.node, each.binding
        owner = next((cls for cls in type(node).__mro__ if _declares(cls, binding)), type(node))
        theirs = owner.__module__.startswith("textual.")
        if not binding.description or not each.enabled or (theirs and _left_out(node, binding)):
            continue
        text = plain(binding.description, limit=80)
        text = WORDS.get(text.lower(), text.lower()) if theirs else text
        keys = found.setdefault(_section(node, owner, binding), {}).setdefault(text, [])
        keys.append(NAMES.get(binding.key, shown_key(binding.key)))
    names = sorted(found, key=lambda name: (name in LAST, name not in FIRST, LAST.index(name) if name in LAST else 0))
    return {name: found[name] for name in names}


def _left_out(node: Any, binding: Any) -> bool:
    """Of what Textual binds: all of the app's and the screen's own, and what makes no difference here."""
    if isinstance(node, App | Screen):
        return True
    return not isinstance(node, Input | TextArea) and binding.action in LEFT_OUT


def _section(node: Any, owner: type, binding: Any) -> str:
    """Its group's name; else that of the class that declares it, as far as it says one (`keys_of`)."""
    if binding.group is not None and binding.group.description:
        return str(binding.group.description)
    if said := vars(owner).get("keys_of"):
        return str(said)
    if isinstance(node, App) or owner is StudioScreen:
        return EVERYWHERE
    if isinstance(node, Screen):
        return SCREEN
    return "Typing" if isinstance(node, Input | TextArea) else "Moving"


def _declares(cls: type, binding: Any) -> bool:
    said = (binding.action, binding.description)
    return any(
        (getattr(each, "action", ""), getattr(each, "description", "")) == said
        for each in vars(cls).get("BINDINGS", ())
    )


def lines(found: Mapping[str, Mapping[str, list[str]]], width: int) -> list[str]:
    """The sections in `width` cells, in as many columns as have room for what they say."""
    made: list[str] = []
    for name, entries in found.items():
        made += [*([""] if made else []), name, *_columns(entries, width)]
    return made


def _columns(entries: Mapping[str, list[str]], width: int) -> list[str]:
    texts = [(" ".join(keys), what) for what, keys in entries.items()]
    wide = min(WIDEST, max(cell_len(keys) for keys, _ in texts))
    cells = [f"  {keys:<{wide}}  {what}" for keys, what in texts]
    room = max(cell_len(each) for each in cells) + 2
    rows = -(-len(cells) // max(1, min(3, width // room)))
    return ["".join(_fitted(cells[at], room) for at in range(row, len(cells), rows)).rstrip() for row in range(rows)]


def _fitted(text: str, room: int) -> str:
    return text + " " * (room - cell_len(text))
