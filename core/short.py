"""Trainings that are too short to teach anything, as few rows make of the defaults; and what makes them long enough."""

from __future__ import annotations

from math import ceil

from core.text import counted

FEW = 20  # steps below which an adapter hardly differs from nothing
ENOUGH = 50  # steps that are aimed at
MOST = 30  # epochs beyond which rows are rather learned by heart


def told(steps: int) -> str:
    """What is wrong with so few steps."""
    return f"only {counted(steps, 'step')}, which hardly change{'s' if steps == 1 else ''} the model"


def epochs_for(of_an_epoch: int) -> int:
    """How often all rows are gone through for enough steps."""
    return min(MOST, ceil(ENOUGH / max(1, of_an_epoch)))
