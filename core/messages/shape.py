"""What is wrong with a message's shape, told by its fields; and with it what else is wrong, so that all comes at once."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from core.rules import LOCAL, Breach, NoWorld, Rule, rules_of
from core.text import plain
from core.types import Severity

if TYPE_CHECKING:
    from core.messages.base import Message

_SHAPE = {"missing": "MS-103", "extra_forbidden": "MS-102"}
_SHOULD = "Input should "


def shape_breaches(error: ValidationError, kind: type[BaseModel] | None = None) -> list[Breach]:
    """What pydantic found in a `kind`, as breaches: MS-101 wrong type or range, MS-102 unknown field, MS-103 missing field."""
    return [
        Breach(
            rule=_SHAPE.get(each["type"], "MS-101"),
            field=".".join(str(part) for part in each["loc"]),
            severity=Severity.ERROR,
            message=_told(dict(each), kind),
        )
        for each in error.errors(include_url=False)
    ]


def whole(kind: type[Message[Any]], payload: Mapping[str, Any], told: list[Breach]) -> list[Breach]:
    """`told` of a payload's shape, and what the rules that need nothing but the message say of its other fields.

    A field of a wrong shape is taken out, and no rule that reads it has a say: what it was meant to be is not known.
    """
    if any(not each.field for each in told):
        return told
    rest = _without(payload, [each.field for each in told])
    lacking = [
        each.field for each in told if each.field in kind.EXAMPLE and kind.model_fields[each.field].is_required()
    ]
    rest |= {field: kind.EXAMPLE[field] for field in lacking}
    try:
        message = kind.model_validate_json(json.dumps(rest), strict=True)
    except (ValidationError, TypeError, ValueError, RecursionError):
        return told
    unknown = [each.field for each in told if each.rule != "MS-102"]
    for field in unknown:
        _forget(message, field.split("."))
    more = [each for rule in rules_of(kind) if rule.need in LOCAL for each in _said(rule, message)]
    return told + [each for each in more if not any(_of_one(each.field, other) for other in unknown)]


def _said(rule: Rule, message: Message[Any]) -> list[Breach]:
    """What the rule says; nothing when it reads what is not there."""
    try:
        return list(rule.breaches(message, NoWorld()))
    except AttributeError as error:
        if isinstance(error.obj, BaseModel) and error.name in type(error.obj).model_fields:
            return []
        raise


def _forget(value: Any, way: Sequence[str]) -> None:
    """Let the field at the end of the way be read no more; of a list's item, the whole list."""
    if isinstance(value, BaseModel):
        inner = value.__dict__.get(way[0])
        if len(way) > 1 and isinstance(inner, BaseModel):
            _forget(inner, way[1:])
        else:
            value.__dict__.pop(way[0], None)


def _without(payload: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The payload without the fields; of one that is an item of a list the whole list goes."""
    made = copy.deepcopy(dict(payload))
    for field in fields:
        holder: Any = made
        *way, last = field.split(".")
        for part in way:
            holder = holder[int(part)] if isinstance(holder, list) and part.isdecimal() else holder.get(part, {})
            if not isinstance(holder, dict | list):
                break
        if isinstance(holder, dict) and last in holder:
            del holder[last]
        else:
            made.pop(field.partition(".")[0], None)
    return made


def _of_one(field: str, other: str) -> bool:
    """Whether one of the two is in the other."""
    return f"{field}.".startswith(f"{other}.") or f"{other}.".startswith(f"{field}.")


def _told(wrong: dict[str, Any], kind: type[BaseModel] | None) -> str:
    *above, name = wrong["loc"] or ("",)
    if wrong["type"] == "missing":
        return f"{name} is required"
    if wrong["type"] == "extra_forbidden":
        return f"there is no field {name!r}{nearest(str(name), _fields(kind, above))}"
    text, called = str(wrong["msg"]), f"item {name}" if isinstance(name, int) else name
    if not text.startswith(_SHOULD):
        return text
    return f"{called} must {text.removeprefix(_SHOULD)}, not {_shown(wrong['input'])}"


def _shown(value: object) -> str:
    """A value in few characters."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "null" if value is None else plain(json.dumps(value, ensure_ascii=False, default=str), limit=60)


def _fields(kind: type[BaseModel] | None, above: list[Any]) -> Iterable[str]:
    """The names of the fields of a message, or of the part of it that lies below `above`."""
    for step in above:
        if kind is not None and isinstance(step, str):
            kind = next(_parts(kind.model_fields[step].annotation), None) if step in kind.model_fields else None
    return kind.model_fields if kind is not None else ()


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _parts(each)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` where a known name is near to this one; else nothing."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
