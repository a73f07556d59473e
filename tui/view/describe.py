"""A resource as text, and a value as a line of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from core.text import plain
from tui.view import words
from tui.view.failure import card

EMPTY: tuple[Any, ...] = (None, "", [], {})
LONG = 100  # characters of a value that stands beside its name
MOST = 20_000  # characters of a text that is shown
SIZES = {"bytes", "freed_bytes"}
MEMORY = {"memory", "memory_used", "memory_total"}  # GiB


def described(row: Mapping[str, Any]) -> str:
    """Every field that has a value, one a line; long texts and lists below their name."""
    shown = {plain(name, limit=LONG): _text(name, value) for name, value in row.items() if value not in EMPTY}
    wide = max((len(name) for name, text in shown.items() if not _below(text)), default=0)
    lines: list[str] = []
    for name, text in shown.items():
        if _below(text):
            lines += [f"{name}:", *(f"    {part}".rstrip() for part in text.split("\n"))]
        else:
            lines.append(f"{name:<{wide}}  {text}")
    return "\n".join(lines)


def _below(text: str) -> bool:
    return "\n" in text or len(text) > LONG


def _text(name: str, value: Any) -> str:
    """A value in full, of several lines where that is clearer."""
    if isinstance(value, str):
        text = plain(_pretty(value), limit=MOST, lines=True)
        return _quoted(text) if "\n" not in text else text
    if name == "error" and isinstance(value, Mapping) and "kind" in value:
        return "\n".join(card(value))
    if isinstance(value, Mapping) and not _flat(value):
        return described(value)
    if isinstance(value, Mapping) and len(line(value)) > LONG:
        return described(value)
    if isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        return "\n".join(line(each, limit=MOST) if _flat(each) else _json(each) for each in value)
    return line(value, name, limit=MOST)


def line(value: Any, name: str = "", limit: int = MOST) -> str:
    """A value as one line: times and sizes as people read them, simple lists and mappings without brackets."""
    if value in EMPTY:
        return ""
    if (name.endswith("_at") or name == "at") and isinstance(value, int | float):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if isinstance(value, str):
        return plain(_quoted(value), limit=limit)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return plain(", ".join(value), limit=limit)
    if isinstance(value, Mapping) and _flat(value):
        return plain(", ".join(f"{key} {_number(key, each)}" for key, each in value.items()), limit=limit)
    return plain(_number(name, value), limit=limit)


def _number(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return words.memory(value) if name in MEMORY else f"{value:.4g}"
    if name in SIZES and isinstance(value, int):
        return size(value)
    return json.dumps(value, ensure_ascii=False)


def size(count: float) -> str:
    """Bytes as people read them."""
    units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count, units = count / 1024, units[1:]
    return f"{count:.4g} {units[0]}"


def _flat(value: Any) -> bool:
    """Whether a mapping holds only words and numbers, which read well without quotes and brackets."""
    return isinstance(value, Mapping) and all(
        each is None or isinstance(each, bool | int | float) or (isinstance(each, str) and len(each.split()) == 1)
        for each in value.values()
    )


def _quoted(text: str) -> str:
    """Blanks at the ends of a text, such as a completion's template, can be seen."""
    return f"'{text}'" if text != text.strip() else text


def _json(value: Any) -> str:
    return plain(json.dumps(value, ensure_ascii=False), limit=MOST)


def _pretty(text: str) -> str:
    """Long JSON texts, such as config snapshots, laid out."""
    if not text.startswith("{") or len(text) <= LONG:
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def as_yaml(row: Mapping[str, Any]) -> str:
    """The resource as YAML."""
    import yaml

    return plain(yaml.safe_dump(dict(row), sort_keys=False, allow_unicode=True), limit=50_000, lines=True)
