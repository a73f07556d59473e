"""Axolotl's dataset formats: which one fits a dataset, and the prompt that it comes to (guide, "Axolotl Integration")."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.axolotl_keys import key_problems
from core.drafts import label, lines
from core.facts import CONFIGS
from core.template import nameable

OPTIONAL = "optional"  # what the type of a column ends with that a dataset may lack


class FormatError(ValueError):
    """No format is named that is known, or none fits the dataset; the message says why."""


@dataclass(frozen=True)
class Format:
    """A dataset format: its name as Axolotl's datasets[].type has it, and its columns with their types, in order."""

    name: str
    columns: Mapping[str, object]

    @property
    def required(self) -> set[str]:
        """The columns that a dataset must have."""
        return {name for name, kind in self.columns.items() if not str(kind).endswith(OPTIONAL)}

    def present(self, features: Iterable[str]) -> list[str]:
        """Its columns that the dataset has, in its own order."""
        known = set(features)
        return [name for name in self.columns if name in known]

    def lacking(self, features: Iterable[str]) -> list[str]:
        """Its required columns that the dataset lacks."""
        known = set(features)
        return [name for name in self.columns if name in self.required and name not in known]


@lru_cache(maxsize=1)
def shipped_formats() -> Mapping[str, Mapping[str, Any]]:
    """The guide's collection: name -> {"name", "description", "format"}."""
    text = (CONFIGS / "axolotl" / "dataset_formats.json").read_text(encoding="utf-8")
    formats: dict[str, dict[str, Any]] = json.loads(text)["dataset_formats"]
    return formats


def shipped_template() -> str:
    """The YAML text of the shipped training config."""
    return (CONFIGS / "axolotl" / "template.yaml").read_text(encoding="utf-8")


def format_columns(content: Mapping[str, Any]) -> Mapping[str, object]:
    """The columns of a config of type axolotl_dataset_formats: its `format`, or all of it in the original's flat form."""
    columns = content.get("format")
    return columns if isinstance(columns, Mapping) else content


def format_problems(content: Mapping[str, Any]) -> Iterator[str]:
    """Tell what is wrong with a dataset format's content."""
    columns = format_columns(content)
    if not columns:
        yield "a dataset format must name at least one column"
    yield from (f"a column's name can't be blank: {name!r}" for name in columns if not name.strip())
    if columns is not content:
        yield from (
            f"{key} must be text" for key in ("name", "description") if not isinstance(content.get(key, ""), str)
        )
        if more := sorted(content.keys() - {"name", "description", "format"}):
            yield f"beside format there may be name and description only, not {', '.join(more)}"


def axolotl_problems(content: Mapping[str, Any]) -> Iterator[str]:
    """Tell what is wrong with an Axolotl config as far as one key alone tells; what keys mean together is Axolotl's."""
    yield from key_problems(content)
    yield from _datasets_problems(content.get("datasets"))


def _datasets_problems(datasets: object) -> Iterator[str]:
    if datasets is None:
        return
    if not isinstance(datasets, list):
        yield "datasets must be a list of mappings with path and type"
        return
    for number, each in enumerate(datasets):
        if not isinstance(each, dict):
            yield f"datasets[{number}] must be a mapping with path and type, not {each!r}"
        elif not isinstance(each.get("type"), str | dict | None):
            yield f"datasets[{number}].type must be a format's name or a mapping, not {each['type']!r}"


def stored_formats(rows: Iterable[Mapping[str, Any]]) -> list[Format]:
    """The formats that configs hold, by their description; what can't be read is passed over.

    Of a name twice a user's is meant before a shipped one, and the oldest of several.
    """
    found: dict[str, Format] = {}
    for row in sorted(rows, key=_meant_first):
        try:
            content = json.loads(row["config"] or "{}")
        except ValueError:
            continue
        if isinstance(content, dict) and (name := row.get("description") or content.get("description")):
            found.setdefault(name, Format(name, format_columns(content)))
    return list(found.values())


def _meant_first(row: Mapping[str, Any]) -> tuple[int, float, str]:
    return (row.get("is_default") or 0, row.get("created_at") or 0.0, row.get("id") or "")


def ranked(features: Sequence[str], formats: Iterable[Format]) -> list[Format]:
    """The formats that share columns with the dataset, the best first: whole ones, then by how many names they share.

    Of equals the one with fewest columns wins, then the first in the list.
    """
    shared = [each for each in formats if each.present(features)]
    return sorted(
        shared,
        key=lambda each: (
            bool(each.lacking(features)),
            -len(each.present(features)),
            len(each.columns),
            _shipped(each),
        ),
    )


def _shipped(format: Format) -> int:
    names = list(shipped_formats())
    return names.index(format.name) if format.name in names else -1


def declared_type(config: Mapping[str, Any]) -> object:
    """`datasets[0].type` of an Axolotl config; None when it says none."""
    datasets = config.get("datasets")
    first = datasets[0] if isinstance(datasets, list) and datasets else None
    return first.get("type") if isinstance(first, dict) else None


def format_for(config: Mapping[str, Any], features: Sequence[str], formats: Sequence[Format]) -> Format:
    """The format that the config names, else the one that fits the dataset's columns best; raises FormatError."""
    named = declared_type(config)
    if named is None:
        return _fitting(features, formats)
    if not isinstance(named, str):
        raise FormatError(
            "datasets[0].type describes a format of its own, of which no prompt can be made; give a prompt_id"
        )
    found = next((each for each in formats if each.name == named), None)
    if found is None:
        known = ", ".join(sorted(each.name for each in formats)) or "none"
        raise FormatError(f"there is no dataset format {named!r}; give a prompt_id, or use one of: {known}")
    return _whole(found, features)


def _fitting(features: Sequence[str], formats: Sequence[Format]) -> Format:
    best = ranked(features, formats)
    if not best:
        raise FormatError(
            f"no dataset format has one of the dataset's columns ({_listed(features)}); name one in datasets[0].type, "
            "or give a prompt_id"
        )
    return _whole(best[0], features)


def _whole(format: Format, features: Sequence[str]) -> Format:
    if lacking := format.lacking(features):
        raise FormatError(
            f"the dataset lacks {_listed(lacking)} of format {format.name}; its columns: {_listed(features)}"
        )
    if odd := [name for name in format.columns if not nameable(name)]:
        raise FormatError(f"no template can name {_listed(odd)} of format {format.name}; give a prompt_id")
    return format


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


@dataclass(frozen=True)
class AutoPrompt:
    """The templates of a format's prompt: a line a column; the last column is what is answered."""

    prompt_template: str
    input_template: str
    completion_template: str


def auto_prompt(format: Format, features: Sequence[str]) -> AutoPrompt:
    """`<Feature>: {feature}` and a line break for each of the format's columns that the dataset has (decision D-012)."""
    *given, last = format.present(features)
    asked = f"{lines(given)}{label(last)}:"
    return AutoPrompt(lines([*given, last]), asked, f" {{{last}}}\n")
