"""From a message's fields to a form, and back to its payload. Knows nothing of Textual."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from core.messages import REGISTRY, Message
from core.messages.base import Part
from core.messages.common import choices as known_choices
from core.presets import presets
from core.presets import values as preset_values
from core.rules import Breach
from core.types import ModelExportType
from tui.cli.fields import bare
from tui.cli.references import REFERENCES
from tui.cli.verbs import VERBS
from tui.grouping import ADDED_BY, CONFIG_KINDS, GROUPS, HIDDEN, LONG, PATHS, WHEN, When
from tui.labels import TITLES, hint, label

NOTE = "note: "  # how what only is worth knowing begins
# What is chosen from and is no enumeration.
CHOICES = {("StartFineTuningJob", "preset"): tuple(presets())}
PRESET_FIELDS = {name for preset in presets().values() for name in preset["fields"]}
# Fields that give others a default of theirs, and which.
GIVES = {"preset": PRESET_FIELDS, "type": {"num_gpu"}}
# How what is not typed is chosen, by a field's kind.
CHOSEN = {
    "choice": "letters or ← → choose",
    "switch": "y n or ← → choose",
    "reference": "letters find one",
    "several": "space marks",
    "pairs": "space marks",
}


@dataclass(frozen=True)
class Field:
    """One field of a form. `kind` is text, path, long, lines, number, switch, choice, reference, several or pairs; `path` its
    place in the payload; `label` what people call it; `when` another field and the values of it with which it is asked for.
    """

    name: str
    path: tuple[str, ...]
    kind: str
    default: Any
    hint: str
    group: str
    label: str = ""
    choices: tuple[str, ...] = ()
    whole: bool = False
    aliases: tuple[str, ...] = ()
    when: When | None = None

    @property
    def key(self) -> str:
        """The field's name in breaches: its path."""
        return ".".join(self.path)

    @property
    def id(self) -> str:
        """The same, as a part of widgets' ids."""
        return "-".join(self.path)

    @property
    def told(self) -> str:
        """What it is for, its name on the wire, and the keys that help in it."""
        keys = [CHOSEN.get(self.kind, ""), "ctrl+n adds one" if self.name in ADDED_BY else ""]
        return "  ·  ".join(filter(None, [f"{self.hint}  ({self.name})", *keys])).strip()

    def is_meant(self, by: str) -> bool:
        """Whether a breach's field is this one, by its path, its last part, or the name that the guide's tables have for it."""
        return by in (self.key, *self.aliases) or by.startswith(f"{self.key}.") or self.key.endswith(f".{by}")

    def asked(self, values: Mapping[str, Any]) -> bool:
        """Whether the form asks for it while the others have these values; "*" stands for any."""
        if self.when is None:
            return True
        other, wanted = self.when
        value = str(values.get(other) or "")
        return value in wanted or ("*" in wanted and bool(value.strip()))


def fields(name: str) -> list[Field]:
    """The fields of the message's form, grouped; what no group names comes last."""
    found = {field.name: field for field in _fields(name, REGISTRY[name].model_fields, ())}
    groups = GROUPS.get(name, ())
    listed = {each for _, names in groups for each in names}
    rest = ("More" if groups else "", tuple(each for each in found if each not in listed))
    return [replace(found[each], group=group) for group, names in (*groups, rest) for each in names]


def _fields(name: str, model: Mapping[str, FieldInfo], above: tuple[str, ...]) -> Iterator[Field]:
    for field, info in model.items():
        if field in HIDDEN.get(name, ()):
            continue
        kind = bare(info.annotation)
        if isinstance(kind, type) and issubclass(kind, Part):
            yield from _fields(name, kind.model_fields, (*above, field))
            continue
        choices = known_choices(info) or CHOICES.get((name, field), ())
        yield Field(
            name=field,
            path=(*above, field),
            kind=_kind(field, kind, choices),
            default=None if info.is_required() or info.default_factory is not None else info.default,
            hint=hint(name, field) or info.description or "",
            group="",
            label=label(name, field),
            choices=choices,
            whole=kind is int,
            aliases=tuple(str(each) for each in getattr(info.validation_alias, "choices", ())),
            when=WHEN.get((name, field)),
        )


def _kind(field: str, kind: Any, choices: tuple[str, ...]) -> str:
    named = {**dict.fromkeys(CONFIG_KINDS, "reference"), "model_adapter_combinations": "pairs"}
    named |= {**dict.fromkeys(LONG, "long"), **dict.fromkeys(PATHS, "path")}
    if choices:
        return "choice"
    if field in REFERENCES:
        return "several" if field.endswith("_ids") else "reference"
    if field in named:
        return named[field]
    if get_origin(kind) is list and bare(get_args(kind)[0]) is str:
        return "lines"
    if kind is bool:
        return "switch"
    return "number" if kind in (int, float) else "text"


def given_by(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields of GIVES give others that are left alone, by their values."""
    clouderas = values.get("type") == ModelExportType.cml_model
    return preset_values(values.get("preset")) | ({"num_gpu": 1} if clouderas else {})


def payload(form: list[Field], values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """(the payload that the values make, what can't be read by field); fields left at their default are left out.

    The default is the preset's, where one is chosen: it gives what is left out; so does where an export goes to. What is not
    asked for is left out too.
    """
    made: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    asked = [field for field in form if field.asked(values)]
    given = given_by(values) if any(field.name in GIVES for field in asked) else {}
    for field in asked:
        try:
            value = _read(field, values.get(field.key))
        except ValueError as error:
            wrong[field.key] = str(error)
            continue
        if value is not None and value != given.get(field.key, field.default):
            into = made
            for step in field.path[:-1]:
                into = into.setdefault(step, {})
            into[field.path[-1]] = value
    return made, wrong


def _read(field: Field, value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip() and field.kind != "long"):
        return None
    if field.kind == "number":
        return _number(field, str(value).strip())
    if field.kind == "pairs":
        return [_pair(each) for each in str(value).split()]
    if field.kind == "several":
        return str(value).split()
    if field.kind == "lines":
        return [each.strip() for each in str(value).splitlines() if each.strip()]
    return value if field.kind != "long" or value else None


def _number(field: Field, text: str) -> int | float:
    try:
        return int(text) if field.whole else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no {'whole ' if field.whole else ''}number") from None


def _pair(text: str) -> dict[str, str | None]:
    model, _, adapter = text.partition(":")
    return {"base_model_id": model, "adapter_id": adapter or None}


def by_field(form: list[Field], breaches: list[Breach]) -> dict[str, list[str]]:
    """Breaches by the field they are shown at; "" for those that belong to none."""
    found: dict[str, list[str]] = {}
    for breach in breaches:
        key = next((field.key for field in form if field.is_meant(breach.field)), "")
        mark = "" if breach.severity.value == "ERROR" else NOTE
        found.setdefault(key, []).append(f"{mark}{worded(form, breach.message)} ({breach.rule})")
    return found


def worded(form: list[Field], text: str) -> str:
    """What is said of fields by the names that they have on the wire, with the words that stand before them in the form."""
    text = re.sub(r" must be one of [^']*, not ''$", ": choose one", text)
    labels = {field.name: field.label for field in form if "_" in field.name}
    first = next((field for field in form if re.match(rf"{field.name}[ :]", text)), None)
    if first is not None:
        text = first.label + text.removeprefix(first.name)
    return re.sub(r"\b[a-z]+(?:_[a-z]+)+\b", lambda found: labels.get(found[0], found[0]), text)


def as_code(name: str, made: dict[str, Any]) -> str:
    """The request as CLI, Python and JSON."""
    python = f"from core.client import StudioClient\nfrom core.messages import parse\n\nwith StudioClient() as studio:\n    print(studio.call(parse({name!r}, {made!r})))"
    lines = json.dumps(made, indent=2, ensure_ascii=False)
    return f"── CLI\n{command_line(name, made)}\n\n── Python\n{python}\n\n── JSON ({name})\n{lines}"


def command_line(name: str, made: dict[str, Any]) -> str:
    """The request as a line for a shell."""
    verb = next((each for each in VERBS if each.message == name), None)
    if verb is None:
        return f"fts send {name} --json {shlex.quote(json.dumps(made, ensure_ascii=False))}"
    words = [f"fts {verb.noun} {verb.verb}"]
    for field, value in _flat(made):
        many = value if isinstance(value, list) else [value]
        words += map(_word, many) if field == verb.positional else _options(field, value)
    return " ".join(words)


def _flat(made: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in made.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value


def _options(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    if name == "model_adapter_combinations":
        return [f"--pair {_word(':'.join(filter(None, pair.values())))}" for pair in value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return [f"{flag} {_word(each)}" for each in value]
    text = _word(value)
    return [f"{flag}={text}" if str(value).startswith("-") else f"{flag} {text}"]


def _word(value: Any) -> str:
    """A value as the shell and the command line read it back."""
    if not isinstance(value, str):
        return shlex.quote(json.dumps(value, ensure_ascii=False))
    return shlex.quote(f"@{value}" if value.startswith("@") else value)


def title(message: type[Message[Any]]) -> str:
    """What the form is called: the guide's page, else the first clause of what the message says of itself."""
    return (
        TITLES.get(message.__name__) or re.split(r"[.:;]", (message.__doc__ or message.__name__).strip(), maxsplit=1)[0]
    )
