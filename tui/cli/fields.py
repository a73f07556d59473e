"""Message fields as command-line options: one declaration, so that a new field is an option the same day."""

from __future__ import annotations

import argparse
import json
import re
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.messages import Message
from core.messages.base import Part
from core.messages.common import choices, meaning
from core.moments import EXAMPLES, NoMoment, moment
from core.presets import presets
from tui.cli import console
from tui.cli.parsing import offer, refer
from tui.cli.references import REFERENCES, places


@dataclass(frozen=True)
class Option:
    """One option: `path` is where its value goes in the payload."""

    flag: str
    path: tuple[str, ...]
    read: Callable[[str], Any]
    many: bool
    help: str
    choices: tuple[str, ...] = ()


def options(message: type[Message[Any]]) -> Iterator[Option]:
    """Every field of the message as an option; fields of a single nested part are options of their own."""
    yield from _options(message, ())


def _options(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[Option]:
    for name, field in model.model_fields.items():
        kind = bare(field.annotation)
        if isinstance(kind, type) and issubclass(kind, Part):
            yield from _options(kind, (*above, name))
        else:
            yield _option(name, field, kind, (*above, name))


def _option(name: str, field: FieldInfo, kind: Any, path: tuple[str, ...]) -> Option:
    inner = bare(get_args(kind)[0]) if get_origin(kind) is list else None
    many = inner in (str, int, float)
    extra = field.json_schema_extra
    is_moment = isinstance(extra, dict) and "x-moment" in extra
    read: Callable[[str], Any] = when if is_moment else _Several(_reader(inner)) if many else _reader(kind)
    text = meaning(field)
    if not field.is_required() and field.default not in (None, "", [], {}) and field.default_factory is None:
        text = f"{text} [{field.default}]".strip()
    if is_moment:
        text = re.sub(r"[Uu]nix seconds", f"a time such as {EXAMPLES}", text)
    if name in REFERENCES:
        text = f"{text} ({REFERENCES[name][0].help})" if text else REFERENCES[name][0].help
    if many:
        text = f"{text} Again for each, or a JSON list.".strip()
    offers = choices(field) or (tuple(presets()) if name == "preset" else ())
    return Option("--" + name.replace("_", "-"), path, read, many, text.replace("%", "%%"), offers)


def add_options(
    parser: argparse.ArgumentParser, message: type[Message[Any]], *, without: Sequence[str | None] = ()
) -> None:
    """Give the parser an option for every field but those `without`; what is not given is left to the message's defaults.

    A field that holds an id has a short flag too: `--dataset-id` is `--dataset`, and takes a name as well.
    """
    for option in options(message):
        if option.path[0] in without and len(option.path) == 1:
            continue
        if option.read is _switch:
            parser.add_argument(
                option.flag, dest=_dest(option), action=argparse.BooleanOptionalAction, default=None, help=option.help
            )
        else:
            action = parser.add_argument(
                *_flags(option, message),
                dest=_dest(option),
                type=option.read,
                action="extend" if option.many else "store",
                default=None,
                metavar=_metavar(option),
                help=option.help,
            )
            offer(action, option.choices)
            refer(action, places(option.path[-1], message.__name__))


def _flags(option: Option, message: type[Message[Any]]) -> list[str]:
    field = option.path[-1]
    short = field.removesuffix("_ids").removesuffix("_id")
    if short == field or field not in REFERENCES or short in message.model_fields:
        return [option.flag]
    return [f"--{short.replace('_', '-')}", option.flag]


def _metavar(option: Option) -> str:
    listings = REFERENCES.get(option.path[-1])
    return (listings[0].noun if listings else option.path[-1].rsplit("_", 1)[-1]).upper()


def payload(arguments: argparse.Namespace, message: type[Message[Any]]) -> dict[str, Any]:
    """The payload that the options given make."""
    made: dict[str, Any] = {}
    for option in options(message):
        value = getattr(arguments, _dest(option), None)
        if value is not None:
            into = made
            for step in option.path[:-1]:
                into = into.setdefault(step, {})
            into[option.path[-1]] = value
    return made


def _dest(option: Option) -> str:
    return "field_" + "__".join(option.path)


def bare(annotation: Any) -> Any:
    """The type without Annotated and without None."""
    if hasattr(annotation, "__metadata__"):
        return bare(annotation.__origin__)
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [each for each in get_args(annotation) if each is not type(None)]
        return bare(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def _reader(kind: Any) -> Callable[[str], Any]:
    if kind is bool:
        return _switch
    if kind in (int, float):
        return _Number(kind)
    if kind is str or get_origin(kind) is Literal:
        return as_text
    return as_json


class _Number:
    """Reads a number, and says which kind is wanted when it is none."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind
        self.wanted = "a whole number" if kind is int else "a number"

    def __call__(self, text: str) -> int | float:
        try:
            return self.kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{self.wanted} is wanted, not {text!r}") from None


class _Several:
    """Reads one of several values, since the option may be given again for each, or a JSON list of them."""

    def __init__(self, one: Callable[[str], Any]) -> None:
        self.one = one

    def __call__(self, text: str) -> list[Any]:
        try:
            listed = json.loads(text) if text.startswith("[") else None
        except ValueError:
            listed = None  # a name that begins with a bracket
        return listed if isinstance(listed, list) else [self.one(text)]


def _switch(text: str) -> bool:
    return text == "true"


def when(text: str) -> float:
    """A time as people type it; unix seconds."""
    try:
        return moment(text)
    except NoMoment as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seconds(text: str) -> float:
    """A time to wait: a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"seconds above 0 are wanted, not {text!r}")
    return value


def as_text(text: str) -> str:
    """The text itself; `@FILE` is the file's content, `@-` standard input, `@@` a literal @."""
    if text.startswith("@@"):
        return text[1:]
    if not text.startswith("@"):
        return text
    try:
        if text == "@-":
            return console.standard_input().read()
        return Path(console.readable(text[1:])).read_text(encoding="utf-8")
    except OSError as error:
        raise argparse.ArgumentTypeError(f"can't read {text[1:]}: {error.strerror}") from None
    except ValueError as error:  # no UTF-8, or a NUL in the path
        raise argparse.ArgumentTypeError(f"can't read {text[1:]}: {error}") from None


def as_json(text: str) -> Any:
    """What JSON text, or a file of it, holds."""
    try:
        return json.loads(as_text(text))
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
