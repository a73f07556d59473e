"""Strict `{column}` prompt templates: a template can name a row's columns and nothing else.

Python's str.format would also reach attributes, indexes, conversions and format specs; a template is text from
a user, so those are refused (docs/decisions.md, PR-003 to PR-005). `{{` and `}}` are literal braces.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from string import Formatter

from core.chat import conversation

_BARE = re.compile(r"[^{}!:.\[\]]+")


class TemplateError(ValueError):
    """A template is not made of text and bare {column} placeholders; the message says where it is not."""


def columns(template: str) -> list[str]:
    """Return the columns that `template` names, each once, in order; raise TemplateError when it is malformed."""
    return list(dict.fromkeys(name for _, name in _parts(template) if name is not None))


def problems(template: str, known: Collection[str]) -> list[str]:
    """Return what is wrong with `template` for rows that have the columns `known`; empty when nothing is."""
    try:
        named = columns(template)
    except TemplateError as error:
        return [str(error)]
    listed = ", ".join(known) or "none"
    return [f"{{{name}}} is not a column of the dataset; its columns: {listed}" for name in named if name not in known]


def render(template: str, row: Mapping[str, object]) -> str:
    """Return `template` with each {column} replaced by the row's value; None becomes empty text.

    Raises TemplateError for a malformed template, or when the row lacks a column it names.
    """
    return "".join(text + ("" if name is None else _value(row, name)) for text, name in _parts(template))


def _value(row: Mapping[str, object], name: str) -> str:
    if name not in row:
        raise TemplateError(f"the row has no column {name!r}")
    value = row[name]
    return "" if value is None else conversation(value) or str(value)


def _parts(template: str) -> list[tuple[str, str | None]]:
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise TemplateError(f"{error}; write {{{{ and }}}} for literal braces") from None
    return [(text, _column(name, spec, conversion)) for text, name, spec, conversion in parsed]


def _column(name: str | None, spec: str | None, conversion: str | None) -> str | None:
    if name is None:
        return None
    if spec or conversion or not _BARE.fullmatch(name) or name != name.strip():
        raise TemplateError(f"{{{name}}} is not a bare column name (no dots, indexes, conversions or format specs)")
    return name


def nameable(column: str) -> bool:
    """Whether a template can name that column: some names (with braces, dots, colons, ...) no placeholder can hold."""
    try:
        return columns("{" + column + "}") == [column]
    except TemplateError:
        return False
