"""The Procfile: which processes a studio is made of."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from core.facts import CONFIGS

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")
SERVER = "valkey"  # left out when FTS_REDIS_URL names a server
GRACE = {"valkey": 15.0, "actors": 20.0, "slow": 30.0, "runner": 10.0}  # seconds from SIGTERM to SIGKILL


@dataclass(frozen=True)
class Line:
    """One process: its name, its command, and how long it may take to stop."""

    name: str
    command: tuple[str, ...]
    grace: float


def read(path: Path | None = None) -> list[Line]:
    """The lines of the Procfile of this directory, else of the one that ships with the studio; raises ValueError."""
    own = Path("Procfile")
    path = path or (own if own.is_file() else CONFIGS.parent / "Procfile")
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{path}, line {number}: a line is NAME: COMMAND")
        command = shlex.split(match[2])
        if command[0] == "python":
            command[0] = sys.executable
        lines.append(Line(match[1], tuple(command), GRACE.get(match[1], 10.0)))
    return lines
