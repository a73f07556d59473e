"""Engines that have an environment of their own: where they lie, which pins they are made of, whether they are there.

FTS_HOME/engines/<name>/engine.json      what is there: written last, whole or not at all
                        venv-<pins>/     its environment, named by the hash of its pins
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from core.facts import CONFIGS
from core.settings import Settings

KNOWN = ("axolotl",)
MARKER = "engine.json"


@dataclass(frozen=True)
class Engine:
    """An engine that can be run: `python` is its interpreter; `current` tells whether its pins are this version's."""

    name: str
    version: str
    python: Path
    current: bool = True


def place(using: Settings, name: str) -> Path:
    """The directory of an engine."""
    return using.root / "engines" / name


def pins(name: str) -> Path:
    """The file of an engine's exact pins."""
    return CONFIGS / "engines" / f"{name}.txt"


def pins_hash(name: str) -> str:
    """Short hash of the pins."""
    return hashlib.sha256(pins(name).read_bytes()).hexdigest()[:12]


def version(name: str) -> str:
    """The engine's own version, as it is pinned."""
    lines = pins(name).read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.partition("==")[0] == name)


def installed(using: Settings, name: str) -> Engine | None:
    """The engine, when it is there whole."""
    directory = place(using, name)
    try:
        marker = json.loads((directory / MARKER).read_text(encoding="utf-8"))
        python = directory / marker["python"]
        if not python.is_file():
            return None
        return Engine(name, str(marker["version"]), python, marker["pins"] == pins_hash(name))
    except (OSError, ValueError, KeyError, TypeError):
        return None
