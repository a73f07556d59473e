"""What the dashboard remembers from one start to the next: a small file in the studio's directory, or nothing."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST = 10_000  # bytes that are read of it


def _path() -> Path:
    return Path(os.environ.get("FTS_HOME") or ".app") / "dashboard.json"


def recall() -> dict[str, Any]:
    """What was remembered; nothing where the file is away, or holds something else."""
    with suppress(OSError, ValueError, RecursionError), _path().open("rb") as file:
        found = json.loads(file.read(MOST))
        if isinstance(found, dict):
            return found
    return {}


def remember(**facts: Any) -> None:
    """Keep these beside what was; a file that can't be written is no trouble. It is whole or the old one at any moment."""
    path = _path()
    with suppress(OSError):
        if not path.parent.is_dir():  # a studio on another host: nothing is made here
            return
        handle, name = tempfile.mkstemp(prefix=".dashboard-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(recall() | facts, file)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
