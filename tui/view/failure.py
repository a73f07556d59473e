"""Why a job failed, as it is shown: the class, what happened, why, what to do next, and the last lines of its log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.failing import TAIL, title
from core.text import plain

LONG = 2_000


def card(error: Mapping[str, Any], *, tail: int = TAIL, limit: int = LONG) -> list[str]:
    """The lines of a failure (core.events.Failure); `limit` characters of each, `tail` lines of the log at most."""
    lines = [f"✗ {title(str(error.get('kind')))}: {error.get('message')}"]
    lines += [f"{mark} {error[name]}" for mark, name in (("why ", "cause"), ("next", "hint")) if error.get(name)]
    log = [plain(line, limit=limit) for line in (error.get("log_tail") or [])[-tail:]] if tail else []
    return [plain(line, limit=limit) for line in lines] + [f"┊ {line}" for line in log]


def whole(error: Mapping[str, Any]) -> list[str]:
    """The card with all that is known, the traceback too."""
    trace = plain(error.get("traceback") or "", limit=20_000, lines=True).splitlines()
    return [*card(error), *([""] if trace else []), *trace]
