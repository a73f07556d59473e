"""What the fields of a form choose from. Asks the studio and blocks: called in a thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from tui.cli.references import REFERENCES
from tui.forms import Field
from tui.grouping import CONFIG_KINDS, PROMPTS_OF
from tui.matching import Prompts

MOST = 500  # that a field lets choose from
Option = tuple[str, str]  # what is shown, the value


class Studio(Protocol):
    """What of tui.studio.Studio is needed."""

    def rows(self, name: str, field: str, **fields: Any) -> tuple[list[dict[str, Any]], bool]:
        """The rows of a list, and whether there are more."""


def offers(studio: Studio, form: list[Field]) -> Iterator[tuple[Field, list[Option] | Prompts]]:
    """Each field that chooses from a list, with what it offers; lists that several fields share are asked for once."""
    known: dict[tuple[str, str], list[Mapping[str, Any]]] = {}

    def rows(message: str, many: str, **fields: Any) -> list[Mapping[str, Any]]:
        asked = (message, str(fields))
        if asked not in known:
            known[asked] = list(studio.rows(message, many, limit=MOST, **fields)[0])
        return known[asked]

    for field in form:
        if field.kind == "pairs":
            yield field, _pairs(rows("ListModels", "models"), rows("ListAdapters", "adapters"))
        elif field.name in CONFIG_KINDS:
            configs = rows("ListConfigs", "configs", type=CONFIG_KINDS[field.name])
            yield field, [(row["description"] or row["config"], row["id"]) for row in configs]
        elif field.name in PROMPTS_OF and any(each.name == "dataset_id" for each in form):
            yield field, Prompts(rows("ListPrompts", "prompts"), rows("ListDatasets", "datasets"))
        elif field.kind in ("reference", "several"):
            listing = REFERENCES[field.name][0]
            found = rows(listing.message, listing.many)
            yield field, [(_named(row, listing.names) or row[listing.id], row[listing.id]) for row in found]


def _named(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((str(row[name]) for name in names if row.get(name)), "")


def _pairs(models: list[Mapping[str, Any]], adapters: list[Mapping[str, Any]]) -> list[Option]:
    """Every base model, and below it its adapters, as (what is shown, "model:adapter")."""
    made: list[Option] = []
    for model in models:
        made.append((f"{model['name']}  (base)", f"{model['id']}:"))
        made += [
            (f"{model['name']} + {each['name']}", f"{model['id']}:{each['id']}")
            for each in adapters
            if each["model_id"] == model["id"]
        ]
    return made
