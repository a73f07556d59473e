"""What Axolotl's config knows: a data file that configs/generate_axolotl.py wrote from Axolotl itself, read without it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from math import isfinite
from typing import Any

from core.facts import CONFIGS, outside

ALIKE = 0.8  # from here on a key is taken for another one that was mistyped
# Keys that configs for other versions hold: this one passes over them without a word. They are nobody's typing errors.
PASSED_OVER = frozenset({"run_name", "flash_attn_fuse_qkv"})
OF_ITS_OWN = ("datasets",)  # which core/axolotl.py looks into
_BOOLS = {"true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0"}


@lru_cache(maxsize=1)
def known() -> Mapping[str, Any]:
    """{"library": its name and version, "keys": {key: {"type", and where they are known "choices", "at_least", "at_most"}}}."""
    facts: dict[str, Any] = json.loads((CONFIGS / "axolotl" / "keys.json").read_text(encoding="utf-8"))
    return facts


def key_problems(content: Mapping[str, Any]) -> Iterator[str]:
    """Tell which keys are nearly ones of Axolotl's, and which hold what it would not take. It takes an empty one for none."""
    for key, value in content.items():
        fact = known()["keys"].get(key)
        if value is None or key in OF_ITS_OWN:
            continue
        if fact is None:
            yield from (
                f"{key} is not a key of {known()['library']}; the nearest known key is {each}" for each in near(key)
            )
        elif not (_fits(value, fact["type"]) or _switch(value, fact)):
            yield f"{key} must be {_words(fact['type'])}, not {value!r}"
        elif told := outside(_meant(value, fact["type"]), fact):
            yield f"{key} must be {told}, not {value!r}"


def strange_keys(content: Mapping[str, Any]) -> Iterator[str]:
    """Tell which keys Axolotl does not know, nor anything like them."""
    for key, value in content.items():
        if value is not None and key not in known()["keys"] and not near(key):
            yield f"{key} is not a key of {known()['library']}, which passes over it"


def near(key: str) -> list[str]:
    """The key that was probably meant; or none."""
    if key in PASSED_OVER:
        return []
    return get_close_matches(key, known()["keys"], n=1, cutoff=ALIKE)


def _words(types: str) -> str:
    return " or ".join(each for each in types.split("|") if each != "null")


def _number(value: object) -> float | None:
    """The number that Axolotl takes it for: YAML reads 2e-5 as a text."""
    try:
        made = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None
    return made if made is not None and isfinite(made) else None


def _whole(value: object) -> bool:
    made = _number(value)
    return made is not None and made.is_integer()


def _flag(value: object) -> bool:
    return isinstance(value, bool) or str(value).lower() in _BOOLS


_TYPES: dict[str, Callable[[Any], bool]] = {
    "int": _whole,
    "float": lambda value: _number(value) is not None,
    "bool": _flag,
    "str": lambda value: isinstance(value, str),
    "list": lambda value: isinstance(value, list),
    "dict": lambda value: isinstance(value, dict),
    "null": lambda value: False,
    "any": lambda value: True,
}


def _fits(value: object, types: str) -> bool:
    return any(_TYPES[each](value) for each in types.split("|"))


def _switch(value: object, fact: Mapping[str, Any]) -> bool:
    """Whether a number is switched on or off: people write `eval_steps: false`. What has a range can be neither."""
    numeric = {"int", "float"} & set(fact["type"].split("|"))
    return isinstance(value, bool) and bool(numeric) and not {"at_least", "at_most"} & fact.keys()


def _meant(value: object, types: str) -> object:
    """The value as it is compared with a range, or with choices: a flag that is a text is no choice."""
    if not isinstance(value, str):
        return value
    if "bool" in types.split("|") and _flag(value):
        return True
    return value if "str" in types.split("|") else _number(value)
