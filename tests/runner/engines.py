"""Engines installed for a test: the stand-in for Axolotl behind the studio's real door to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from core import engines

STAND_IN = Path(__file__).parent / "stand_in_axolotl"


def install_stand_in(home: Path) -> Path:
    """Lay down the engine axolotl in a studio's home; its Python finds the stand-in before anything else."""
    directory = home / "engines" / "axolotl"
    directory.mkdir(parents=True)
    python = directory / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{STAND_IN}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    marker = {"name": "axolotl", "version": "0", "python": "python", "pins": engines.pins_hash("axolotl")}
    (directory / engines.MARKER).write_text(json.dumps(marker))
    return directory
