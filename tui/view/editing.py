"""Which form changes a resource, and what it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORMS = {
    "datasets": "EditDataset",
    "models": "EditModel",
    "prompts": "EditPrompt",
    "adapters": "EditAdapter",
    "jobs": "EditFineTuningJob",
}


def edited(kind: str, row: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """(the form's message, the values it begins with) for a row of a list; None where nothing of it can be changed.

    A config's content stays, since jobs name it: the form makes another one, equal but for what is changed in it.
    """
    from tui.starting import spread

    if not row:
        return None
    if kind == "configs":
        given = {"type": row["type"], "config": spread(str(row["config"])), "description": row.get("description")}
        return "AddConfig", {name: value for name, value in given.items() if value}
    if kind not in FORMS:
        return None
    given = {name: row.get(name) for name in ("id", "name", "description")}
    return FORMS[kind], {name: value for name, value in given.items() if value}
