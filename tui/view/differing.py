"""How two jobs differ in what was asked for: field by field, configs key by key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len

from core.messages.fine_tuning import CONFIG_FIELDS, StartFineTuningJob
from core.text import plain
from tui.view.fit import cut

LEFT_OUT = {"adapter_name", "out_dir", "priority", *(f"{stem}_id" for stem, _ in CONFIG_FIELDS)}
WIDEST = 34  # cells of a name


def asked(job: Mapping[str, Any]) -> dict[str, str]:
    """What a job was asked for, flat: the keys of its configs stand behind the config's name and a dot."""
    made: dict[str, str] = {}
    for name in StartFineTuningJob.model_fields:
        value = job.get(name)
        if name in LEFT_OUT or value in (None, ""):
            continue
        inner = _inner(value) if name.endswith("_config") else None
        if inner is None:
            made[name] = _told(value)
        else:
            made |= {f"{name}.{key}": _told(each) for key, each in inner.items()}
    return made


def table(one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, str], width: int) -> list[str]:
    """What differs in two columns, then what is the same; safe to show."""
    left, right = asked(one), asked(other)
    differ = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    same = [key for key in left if key in right and key not in differ]
    wide = min(WIDEST, max((cell_len(plain(key)) for key in [*differ, *same]), default=8))
    room = max(8, (width - wide - 6) // 2)
    rows = [
        f"{len(differ)} of {len(differ) + len(same)} settings differ" if differ else "They were asked for the same."
    ]
    if differ:
        rows += [
            "",
            _row("", *names, wide, room),
            *(_row(f"≠ {key}", left.get(key, "–"), right.get(key, "–"), wide, room) for key in differ),
        ]
    if same:
        rows += [
            "",
            f"── the same in both ({len(same)})",
            *(f"  {_cell(key, wide)}  {plain(left[key], limit=400)}" for key in same),
        ]
    return rows


def _row(name: str, left: str, right: str, wide: int, room: int) -> str:
    return f"{_cell(name, wide + 2)}  {_cell(left, room)}  {_cell(right, room)}".rstrip()


def _cell(text: str, wide: int) -> str:
    shown = cut(plain(text, limit=400), wide)
    return shown + " " * (wide - cell_len(shown))


def _inner(value: Any) -> dict[str, Any] | None:
    try:
        known = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return known if isinstance(known, dict) else None


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
