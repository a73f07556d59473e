"""A resource as text."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from core.text import plain


def described(row: Mapping[str, Any]) -> str:
    """Every field that has a value, one a line; long texts below their name."""
    lines: list[str] = []
    wide = max((len(name) for name in row), default=0)
    for name, value in row.items():
        if value in (None, "", [], {}):
            continue
        text = _text(name, value)
        if "\n" in text or len(text) > 100:
            lines += [f"{name}:", *(f"    {line}" for line in text.splitlines())]
        else:
            lines.append(f"{name:<{wide}}  {text}")
    return "\n".join(lines)


def _text(name: str, value: Any) -> str:
    if name.endswith("_at") and isinstance(value, int | float):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if isinstance(value, str):
        return plain(_pretty(value), limit=20_000, lines=True)
    return plain(json.dumps(value, indent=2, ensure_ascii=False), limit=20_000, lines=True)


def _pretty(text: str) -> str:
    """JSON texts, such as config snapshots, laid out."""
    if not text.startswith("{"):
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def as_yaml(row: Mapping[str, Any]) -> str:
    """The resource as YAML."""
    import yaml

    return plain(yaml.safe_dump(dict(row), sort_keys=False, allow_unicode=True), limit=50_000, lines=True)
