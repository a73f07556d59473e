"""Strict `{column}` prompt templates: a template can name a row's columns and nothing else.

Python's str.format would also reach attributes, indexes, conversions and format specs; a template is text from
a user, so those are refused (docs/decisions.md, PR-003 to PR-005). `{{` and `}}` are literal braces.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache

from core.chat import conversation

Part = tuple[str, str | None]
# Literal braces, a bare name between braces (no blanks at its ends), or text.
_TOKEN = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<name>(?!\s)[^{}!:.\[\]]+(?<!\s))\}|[^{}]+")


TOLD = 20  # places of one template: whoever mends those finds the rest


class TemplateError(ValueError):
    """A template is not made of text and bare {column} placeholders; the message says where it is not."""


def columns(template: str) -> list[str]:
    """Return the columns that `template` names, each once, in order; raise TemplateError when it is malformed."""
    return _named(_parts(template))


def malformed(template: str) -> list[str]:
    """Return what is wrong with `template` whatever columns there are, from left to right; empty when nothing is."""
    return list(_read(template)[1])


def unknown(template: str, known: Collection[str]) -> list[str]:
    """Return which columns `template` names, as far as it can be read, that are none of `known`."""
    listed = ", ".join(known) or "none"
    named = _named(_read(template)[0])
    return [f"{{{name}}} is not a column of the dataset; its columns: {listed}" for name in named if name not in known]


def problems(template: str, known: Collection[str]) -> list[str]:
    """Return what is wrong with `template` for rows that have the columns `known`; empty when nothing is."""
    return malformed(template) + unknown(template, known)


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


def _parts(template: str) -> list[Part]:
    """(text, the column behind it or None) from left to right; raises TemplateError with all that is wrong."""
    parts, wrong = _read(template)
    if wrong:
        raise TemplateError("; ".join(wrong))
    return parts


def _named(parts: list[Part]) -> list[str]:
    return list(dict.fromkeys(name for _, name in parts if name is not None))


@lru_cache(maxsize=16)  # a template is rendered for every row
def _read(template: str) -> tuple[list[Part], list[str]]:
    """The parts that can be read, and why the others can't. Not to be changed."""
    parts: list[Part] = []
    wrong: list[str] = []
    text, place = "", 0
    while place < len(template) and len(wrong) < TOLD:
        token = _TOKEN.match(template, place)
        if token is None:
            told, place = _wrong(template, place)
            wrong.append(told)
            continue
        if token["name"] is None:
            text += token[0][0] if token["brace"] else token[0]
        else:
            parts.append((text, token["name"]))
            text = ""
        place = token.end()
    return [*parts, (text, None)], wrong


def _wrong(template: str, place: int) -> tuple[str, int]:
    """Why nothing legal stands at `place`, where a brace is, and where to read on."""
    name, end, _ = template[place + 1 :].partition("}")
    if template[place] == "{" and end:
        told = f"{{{name}}} is not a bare column name (no dots, indexes, conversions or format specs)"
        return told, place + len(name) + 2
    return f"a single {template[place]} at character {place + 1}; write {{{{ and }}}} for literal braces", place + 1


def nameable(column: str) -> bool:
    """Whether a template can name that column: some names (with braces, dots, colons, ...) no placeholder can hold."""
    try:
        return columns("{" + column + "}") == [column]
    except TemplateError:
        return False
