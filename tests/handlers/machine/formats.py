"""Which of Axolotl's dataset formats fits a dataset (guide, "Axolotl Integration")."""

from __future__ import annotations

import json
from pathlib import Path

from tests.handlers.machine.model import Model, age

SHIPPED = Path(__file__).resolve().parents[3] / "configs" / "axolotl" / "dataset_formats.json"
Format = dict[str, bool]  # its columns in order, and whether a dataset must have each


def shipped() -> dict[str, Format]:
    """The formats of the file that the studio ships."""
    formats = json.loads(SHIPPED.read_text(encoding="utf-8"))["dataset_formats"]
    return {
        name: {column: "optional" not in kind for column, kind in each["format"].items()}
        for name, each in formats.items()
    }


def stored(model: Model) -> dict[str, Format]:
    """The formats of the configs by their descriptions: of a name twice a user's, and the oldest, is meant."""
    rows = [model.tables["configs"][id] for id in model.find("configs", type="axolotl_dataset_formats")]
    found: dict[str, Format] = {}
    for row in sorted(rows, key=lambda row: (row["is_default"], *age(row))):
        own, columns = row["_text"].formats or ("", ())
        name = row["description"] or own
        if name:
            found.setdefault(name, dict(columns) if isinstance(columns, dict) else dict.fromkeys(columns, True))
    return found


def best_format(model: Model, dataset: str) -> str | None:
    """The format that a dataset fits best: whole ones first, then by how many names they share, then the smallest."""
    columns, formats, order = set(model.columns(dataset)), stored(model), list(shipped())
    best = min(
        (name for name, format in formats.items() if columns & set(format)),
        key=lambda name: (
            not whole(formats[name], columns),
            -len(columns & set(formats[name])),
            len(formats[name]),
            order.index(name) if name in order else -1,
        ),
        default=None,
    )
    return best if best is not None and whole(formats[best], columns) else None


def whole(format: Format, columns: set[str]) -> bool:
    """Whether a dataset of those columns lacks none that the format needs."""
    return {name for name, needed in format.items() if needed} <= columns


def fitting_format(model: Model, config: str | None, dataset: str) -> Format | None:
    """The format of the job's prompt: the one that its config names, else the one that fits best; None when none does."""
    row = model.get("configs", config)
    assert row is not None
    declared, formats = row["_text"].declares, stored(model)
    name = best_format(model, dataset) if declared is None else declared
    format = formats.get(name) if isinstance(name, str) else None
    return format if format is not None and whole(format, set(model.columns(dataset))) else None
