"""From a message's fields to a form, and back to its payload. Knows nothing of Textual."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from core.messages import REGISTRY, Message
from core.messages.base import Part
from core.messages.common import choices as known_choices
from core.presets import presets
from core.presets import values as preset_values
from core.rules import Breach
from tui.cli.fields import bare
from tui.cli.references import REFERENCES
from tui.cli.verbs import VERBS

LONG = {"prompt_template", "input_template", "completion_template", "config"}
# What is chosen from and is no enumeration.
CHOICES = {("StartFineTuningJob", "preset"): tuple(presets())}
CONFIG_KINDS = {
    "training_arguments_config_id": "training_arguments",
    "lora_config_id": "lora_config",
    "model_bnb_config_id": "bitsandbytes_config",
    "adapter_bnb_config_id": "bitsandbytes_config",
    "user_config_id": "custom",
    "axolotl_config_id": "axolotl",
    "generation_config": "generation_config",
}
LEFT_OUT = {"promote_dataset_id", "promote_prompt_id"}  # not chosen for people, even where there is but one
GROUPS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "StartFineTuningJob": (
        ("What to train", ("adapter_name", "base_model_id", "dataset_id", "prompt_id", "chat_template")),
        (
            "How",
            (
                "preset",
                "method",
                "training_arguments_config_id",
                "lora_config_id",
                "model_bnb_config_id",
                "num_epochs",
                "learning_rate",
                "max_length",
                "packing",
                "loss_on",
                "length_grouped",
            ),
        ),
        (
            "Rows",
            (
                "dataset_fraction",
                "train_test_split",
                "train_splits",
                "eval_split",
                "early_stopping_patience",
                "keep_best",
            ),
        ),
        ("Where", ("num_cpu", "num_gpu", "num_memory", "num_workers", "priority", "out_dir", "auto_add_adapter")),
        ("Register it if it is better", ("promote_as", "promote_metric", "promote_dataset_id", "promote_prompt_id")),
        ("More", ()),
    ),
    "ExportModel": (
        ("What", ("adapter_id", "base_model_id", "type", "model_name", "model_description")),
        ("Model registry", ("merge", "alias")),
        ("Hugging Face Hub", ("hub_name", "private")),
        ("Where and how", ("artifact_location", "generation_config")),
        ("On", ("num_cpu", "num_gpu", "num_memory", "priority")),
    ),
}
PRESET_FIELDS = {name for preset in presets().values() for name in preset["fields"]}
HIDDEN = {
    "StartFineTuningJob": {
        "training_arguments_config",
        "lora_config",
        "model_bnb_config",
        "adapter_bnb_config",
        "user_config",
    },
    "StartEndpoint": {"key_sha256"},  # the form makes a key itself
    "AddPrompt": {"id", "type"},  # one is given out, and there is one type
}


@dataclass(frozen=True)
class Field:
    """One field of a form. `kind` is text, long, number, switch, choice, reference, several or pairs; `path` its place in the payload."""

    name: str
    path: tuple[str, ...]
    kind: str
    default: Any
    hint: str
    group: str
    choices: tuple[str, ...] = ()
    whole: bool = False
    many: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The field's name in breaches: its path."""
        return ".".join(self.path)

    def is_meant(self, by: str) -> bool:
        """Whether a breach's field is this one, by its path, its last part, or the name that the guide's tables have for it."""
        return by in (self.key, *self.aliases) or by.startswith(f"{self.key}.") or self.key.endswith(f".{by}")


def fields(name: str) -> list[Field]:
    """The fields of the message's form, grouped."""
    found = {field.name: field for field in _fields(name, REGISTRY[name].model_fields, ())}
    ordered = []
    for group, names in GROUPS.get(name, (("", ()),)):
        chosen = names or [each for each in found if all(each not in listed for _, listed in GROUPS.get(name, ()))]
        ordered += [Field(**{**vars(found[each]), "group": group}) for each in chosen]
    return ordered


def _fields(name: str, model: Mapping[str, FieldInfo], above: tuple[str, ...]) -> Iterator[Field]:
    for field, info in model.items():
        if field in HIDDEN.get(name, set()):
            continue
        kind = bare(info.annotation)
        if isinstance(kind, type) and issubclass(kind, Part):
            yield from _fields(name, kind.model_fields, (*above, field))
            continue
        default = None if info.is_required() or info.default_factory is not None else info.default
        choices = known_choices(info) or CHOICES.get((name, field), ())
        yield Field(
            field,
            (*above, field),
            _kind(name, field, kind, choices),
            default,
            info.description or "",
            "",
            choices,
            kind is int,
            get_origin(kind) is list and get_args(kind)[0] is str,
            tuple(str(each) for each in getattr(info.validation_alias, "choices", ())),
        )


def _kind(name: str, field: str, kind: Any, choices: tuple[str, ...]) -> str:
    if choices:
        return "choice"
    if field in REFERENCES and field.endswith("_ids"):
        return "several"
    if field in REFERENCES or field in CONFIG_KINDS:
        return "reference"
    if field == "model_adapter_combinations":
        return "pairs"
    if field in LONG:
        return "long"
    if kind is bool:
        return "switch"
    return "number" if kind in (int, float) else "text"


def payload(form: list[Field], values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """(the payload that the values make, what can't be read by field); fields left at their default are left out.

    The default is the preset's, where one is chosen: it gives what is left out.
    """
    made: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    preset = preset_values(values.get("preset"))
    for field in form:
        try:
            value = _read(field, values.get(field.key))
        except ValueError as error:
            wrong[field.key] = str(error)
            continue
        if value is not None and value != preset.get(field.key, field.default):
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
    if field.many:
        return str(value).split()
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
        mark = "" if breach.severity.value == "ERROR" else "note: "
        found.setdefault(key, []).append(f"{mark}{breach.message} ({breach.rule})")
    return found


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
        words += [_word(value)] if field == verb.positional else _options(field, value)
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
    """What the form is for: the first clause of what the message says of itself."""
    return re.split(r"[.:;]", (message.__doc__ or message.__name__).strip(), maxsplit=1)[0]
