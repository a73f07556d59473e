"""What was typed into a form that was left, or that the terminal left: kept in FTS_HOME until the form is sent or opened anew.

Forms hold no secrets (a key that an endpoint is given is made when the form is sent), so a draft holds none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.settings import settings

LARGEST = 1 << 20  # bytes of a draft that is read
OLDEST = 30 * 86_400  # seconds


@dataclass(frozen=True)
class Draft:
    """What stood in the fields that were typed into, and when."""

    at: float
    values: dict[str, Any]


def path(message: str) -> Path:
    """Where the draft of a message's form lies."""
    return settings().root / "drafts" / f"{message}.json"


def keep(message: str, values: Mapping[str, Any]) -> None:
    """Keep what was typed; a disk that takes nothing must not stop who types."""
    if not values:
        return
    file = path(message)
    part = file.with_suffix(".part")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.write_text(json.dumps({"at": time.time(), "values": dict(values)}), encoding="utf-8")
        part.replace(file)


def kept(message: str) -> Draft | None:
    """The draft of a message's form; none where there is none that can be read."""
    file = path(message)
    try:
        if file.stat().st_size > LARGEST:
            return None
        read = json.loads(file.read_text(encoding="utf-8"))
        draft = Draft(float(read["at"]), {str(key): value for key, value in dict(read["values"]).items()})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return draft if draft.values and time.time() - draft.at < OLDEST else None


def forget(message: str) -> None:
    """The form was sent, or what was typed is not wanted."""
    with suppress(OSError):
        path(message).unlink(missing_ok=True)
