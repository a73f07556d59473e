"""What is typed to narrow a log: words, and name:value for what has a name, such as level:error since:2h."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from core.moments import NoMoment, moment

_NAMED = re.compile(r"(?P<name>[a-z]+):(?P<value>\"[^\"]*\"|\S*)")


class NotSought(ValueError):
    """A part of the text can't be looked for; the message says why."""


def fields(text: str, names: Mapping[str, str], choices: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """The fields of a query that the text asks for; `names` maps what is typed to fields, `choices` tells their values.

    A value may be the beginning of one that there is. Times are such as people type; those with blanks stand in quotes.
    Raises NotSought.
    """
    made: dict[str, Any] = {}
    for found in _NAMED.finditer(text):
        name, value = found["name"], found["value"].strip('"')
        if name in names and value:
            made[names[name]] = _value(name, value, choices.get(name))
    words = _NAMED.sub(lambda found: "" if found["name"] in names else found[0], text).split()
    return {**made, "contains": " ".join(words)} if words else made


def _value(name: str, value: str, known: Iterable[str] | None) -> Any:
    if name in ("since", "until"):
        try:
            return moment(value.replace("_", " "))
        except NoMoment as error:
            raise NotSought(str(error)) from None
    if known is None:
        return value
    fitting = [each for each in known if each.lower().startswith(value.lower())]
    if not fitting:
        raise NotSought(f"there is no {name} {value}: {', '.join(known)}")
    return next((each for each in fitting if each.lower() == value.lower()), fitting[0])
