"""What the training libraries accept, read from data files that configs/generate.py wrote from the installed libraries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.types import ConfigType

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

_FILES = {
    ConfigType.training_arguments: "training_arguments",
    ConfigType.lora_config: "lora",
    ConfigType.bitsandbytes_config: "bitsandbytes",
    ConfigType.generation_config: "generation",
}


@lru_cache
def facts(kind: ConfigType) -> dict[str, Any] | None:
    """The facts of that type: {"library", "keys", "forbidden", "renamed"}; None for types whose content is free."""
    name = _FILES.get(kind)
    return None if name is None else json.loads((CONFIGS / "facts" / f"{name}.json").read_text(encoding="utf-8"))


@lru_cache
def default(kind: ConfigType) -> dict[str, Any]:
    """The guide's default content of that type (its chapter "Default Config Values"); empty when it has none."""
    name = _FILES.get(kind)
    return {} if name is None else json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))


def wrong(kind: ConfigType, content: Mapping[str, Any]) -> Iterator[str]:
    """Tell which keys of `content` the libraries don't know, the studio forbids, or hold a value of another type."""
    known = facts(kind)
    if known is None:
        return
    for key, value in content.items():
        if key in known["forbidden"]:
            yield f"{key} can't be set here: {known['forbidden'][key]}"
        elif key not in known["keys"] and key not in known["renamed"]:
            yield f"{key} is not a key of {known['library']}{_nearest(key, known)}"
        elif key in known["keys"] and not _fits(value, known["keys"][key]["type"]):
            yield f"{key} must be {known['keys'][key]['type'].replace('|', ' or ')}, not {value!r}"
        elif key in known["keys"] and (told := outside(value, known["keys"][key])):
            yield f"{key} must be {told}, not {value!r}"


def renamed(kind: ConfigType, content: Mapping[str, Any]) -> Iterator[str]:
    """Tell which keys of `content` have another name today (docs/decisions.md, older keys)."""
    known = facts(kind) or {"renamed": {}}
    for key in content:
        if key in known["renamed"]:
            to, note = known["renamed"][key]["to"], known["renamed"][key].get("note")
            told = f"is called {to} today; it is translated at launch" if to else "is not used any more"
            yield f"{key} {told}" + (f": {note}" if note else "")


def _nearest(key: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(key, [*known["keys"], *known["renamed"]], n=1, cutoff=0.5)
    return f"; the nearest known key is {near[0]}" if near else ""


_MANY = 8  # of more choices than that, the nearest is named too
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "list": (list,),
    "dict": (dict,),
    "null": (type(None),),
    "any": (object,),
}


def outside(value: object, fact: Mapping[str, Any]) -> str | None:
    """What a value of the right type should be instead; None when it is legal."""
    choices, low, high = fact.get("choices"), fact.get("at_least"), fact.get("at_most")
    if isinstance(value, str) and choices and value not in choices:
        near = get_close_matches(value, choices, n=1, cutoff=0.5)
        return f"one of {', '.join(choices)}" + (
            f" (the nearest is {near[0]})" if near and len(choices) > _MANY else ""
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        if low is not None and value < low:
            return f"at least {low}"
        if high is not None and value > high:
            return f"at most {high}"
    return None


def _fits(value: object, types: str) -> bool:
    names = types.split("|")
    if isinstance(value, bool):
        return "bool" in names or "any" in names
    return value is None or any(isinstance(value, _TYPES.get(name, (object,))) for name in names)
