"""The scripts that jobs may run: files of one directory (FTS_SCRIPTS_DIR), and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

from core.paths import PathRefused, inside

SUFFIX = ".py"
TOLD = 10  # names in a message at most


class NoScript(ValueError):
    """There is no such script in the directory; the message names those that are there."""


def find(root: Path, name: str) -> Path:
    """The script `name` below `root`, links resolved; raises NoScript when it is none, or leads out of there."""
    try:
        path = inside(root, name)
    except PathRefused:
        raise NoScript(f"{name!r} leads out of the directory of scripts, {root} (FTS_SCRIPTS_DIR)") from None
    if path.suffix == SUFFIX and path.is_file():
        return path
    there = listed(root)
    known = f"; there are: {', '.join(there[:TOLD])}" if there else "; it has none yet" if root.is_dir() else ""
    what = "no Python file (.py)" if path.is_file() else "no file"
    raise NoScript(f"{name!r} is {what} in the directory of scripts, {root} (FTS_SCRIPTS_DIR){known}")


def listed(root: Path) -> list[str]:
    """The names of the scripts, as jobs name them."""
    return sorted(str(path.relative_to(root)) for path in root.rglob(f"*{SUFFIX}") if path.is_file())


def sha256(path: Path) -> str:
    """The hash of a script's text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
