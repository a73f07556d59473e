"""What is said to the studio, each with what is known of it: good values, wrong ones and hostile ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BLANK = ("", " ", "\t\n", "\u3000")
NAMES = (
    "alpha",
    "beta",
    " alpha ",
    "Alpha",
    "gamma",
    "ünï cødé \U0001f600",
    "'; DROP TABLE models; --",
    "[red]a%_b[/red]",
    "\x1b[31mred\u202e",
    "x" * 255,
)
DESCRIPTIONS = (None, "tells something", "", "  ", "alpha", "\x1b]0;title\x07", "é" * 2000)
STRANGE_IDS = ("gone", "", " ", "' OR 1=1 --", "../../etc", "i" * 500)
# Letters, digits and hyphens, at least one that is no hyphen.
ADAPTER_NAMES = ("tickets", "tickets-1", "a", "A", "0-", "x" * 200)
NO_ADAPTER_NAMES = ("", "-", "a b", "a_b", "a\n", "é", "a/../b", "٣")

# path -> columns, of files that can be read; the extension tells the type.
ROWS = ("q", "a")
FILES: dict[str, tuple[str, ...]] = {
    "rows.csv": ROWS,
    "sub dir/ünï.csv": ("text", "intent"),
    "UPPER.CSV": ROWS,
    "pairs.jsonl": ("instruction", "output"),
    "talks.jsonl": ("messages",),
    "list.json": ROWS,
    "odd.json": ("a.b", "q"),
    "rows.parquet": ROWS,
}
COUNT = 9  # rows of a file: whatever share of them is asked for, one is left to train on
SAVED = {"saved": ROWS}  # directories of the type project, of one row
BAD_FILES = (
    "ragged.csv",
    "empty.csv",
    "broken.jsonl",
    "nowhere.csv",
    "folder",
    "folder.csv",
    "notes.txt",
    "../outside.csv",
    "/etc/passwd",
    "~nobody/rows.csv",
    "link.csv",
    " ",
    "y" * 5000 + ".csv",
)
SUFFIXES = {
    "project_csv": ".csv",
    "project_json": ".json",
    "project_jsonl": ".jsonl",
    "project_parquet": ".parquet",
}
DATASET_TYPES = ("huggingface", "project", *SUFFIXES)
NO_TYPES = ("", "zip", "Project", "project ")

MODEL_TYPES = ("huggingface", "project", "model_registry")
# path -> family, of directories that hold a model
MODELS: dict[str, str | None] = {"models/tiny": "LlamaForCausalLM", "models/plain": None, "models/other/": "Strange"}
BAD_MODELS = ("models/none", "models/pickled", "models/broken", "../..", "nowhere", "rows.csv", " ", "/proc/self")

# path -> the base model that it names, of directories that hold an adapter
ADAPTERS: dict[str, str | None] = {
    "adapters/tiny": "/elsewhere/tiny",
    "adapters/hub": "org/base",
    "adapters/stranger": "org/unknown",
    "adapters/none": None,
}
BAD_ADAPTERS = ("adapters/pickled", "adapters/list", "adapters", "nowhere", "../..", " ")

# The Hub: org/name -> what is found there.
HUB_MODELS: dict[str, str | None] = {"org/base": "LlamaForCausalLM", "org/other": None, "org/third": "GPT2LMHeadModel"}
HUB_DATASETS = {"org/rows": ROWS, "org/talks": ("messages",)}
HUB_ADAPTERS = {"org/adapter": "org/base", "org/lost": None}
# The registry: id -> the base model that an adapter of that id names.
REGISTERED: dict[str, str | None] = {"7": "org/base", "8 ": None, "models:/nine/1": "elsewhere"}
REVISIONS = ("", "@main", "@v2", " @ main")
NO_REPOSITORIES = ("org/nothing", " ", "@main", "org/base/../x", "'; --")

BASE_TEMPLATES = {
    "{q}": ("q",),
    "{q}{a}": ("q", "a"),
    "Q: {q}\nA:": ("q",),
    " {a}": ("a",),
    "{text} is {intent}": ("text", "intent"),
    "{instruction}": ("instruction",),
    "plain": (),
    "{{q}} }}": (),
    "\x1b[0m{q}\u202e": ("q",),
}
NO_TEMPLATES = ("", " ", "{", "}", "{a.b}", "{q!r}", "{q:>9}", "{q[0]}", "{ q }", "{}", "{q}}", "{{q}")


@dataclass(frozen=True)
class Text:
    """A config's text: what its rules have against it, what they note, and a name that it shares with equal contents."""

    kind: str
    text: str
    content: str = ""
    errors: frozenset[str] = frozenset()
    notes: frozenset[str] = frozenset()
    formats: tuple[str, Any] | None = None  # of a dataset format: the name it gives itself, its columns
    declares: object = None  # of an axolotl config: datasets[0].type

    @property
    def unread(self) -> bool:
        """Whether it is no mapping at all."""
        return bool(self.errors & {"CF-002", "CF-003"})


def _text(kind: str, text: str, content: str = "", errors: str = "", notes: str = "", **more: object) -> Text:
    return Text(kind, text, content, frozenset(errors.split()), frozenset(notes.split()), **more)  # type: ignore[arg-type]


DEEP = '{"a":' * 3000 + "1" + "}" * 3000
TEXTS = (
    _text("lora_config", '{"r": 8}', "r8"),
    _text("lora_config", '{ "r" : 8 }', "r8"),
    _text("lora_config", '{"r": 8, "lora_alpha": 16}', "r8a16"),
    _text("lora_config", '{"lora_alpha": 16, "r": 8}', "r8a16"),
    _text("lora_config", '{"rank": 8}', "rank", "CF-102"),
    _text("lora_config", '{"r": "8"}', "r text", "CF-102"),
    _text("lora_config", '{"r": 8', "", "CF-002"),
    _text("lora_config", "[1]", "", "CF-002"),
    _text("lora_config", "", "", "CF-002"),
    _text("lora_config", '{"lora_alpha": 1e400}', "", "CF-002"),
    _text("lora_config", '{"r": 8, "r": 9}', "", "CF-002"),
    _text("training_arguments", '{"num_train_epochs": 2}', "e2"),
    _text("training_arguments", '{"num_train_epochs": 2.0}', "e2.0"),
    _text("training_arguments", '{"warmup_ratio": 0.03}', "warm", "", "CF-103"),
    _text("training_arguments", '{"push_to_hub": true}', "push", "CF-102"),
    _text("training_arguments", '{"output_dir": "/x"}', "out", "CF-102"),
    _text("bitsandbytes_config", '{"load_in_8bit": true}', "8bit"),
    _text("bitsandbytes_config", '{"load_in_9bit": true}', "9bit", "CF-102"),
    _text("generation_config", '{"max_new_tokens": 8}', "8"),
    _text("generation_config", ' {"max_new_tokens":8}', "8"),
    _text("generation_config", '{"max_tokens": 8}', "max_tokens", "CF-102"),
    _text("generation_config", "{", "", "CF-002"),
    _text("custom", '{"x": 1}', "1"),
    _text("custom", '{"x": 1.0}', "1.0"),
    _text("custom", '{"x": true}', "true"),
    _text("custom", '{"x": {"b": [1, {}], "a": null}}', "nested"),
    _text("custom", '{"x": {"a": null, "b": [1, {}]}}', "nested"),
    _text("custom", '{"x": "\\u0000"}', "", "CF-002"),
    _text("custom", '{"x": 123456789012345678901234567890}', "", "CF-002"),
    _text("custom", '{"x": 9007199254740993, "y": 1e308}', "big"),
    _text("custom", '{"x": NaN}', "", "CF-002"),
    _text("custom", '{"x": "\\ud800"}', "", "CF-002"),
    _text("custom", DEEP, "", "CF-002"),
    _text("axolotl", "base_model: x", "base x"),
    _text("axolotl", "# told\nbase_model: x\n", "base x"),
    _text("axolotl", "datasets: [{path: , type: alpaca}]", "alpaca", declares="alpaca"),
    _text("axolotl", "datasets: [{path: , type: nothing}]", "nothing", declares="nothing"),
    _text("axolotl", "datasets: [{type: {field_output: x}}]", "own type", declares={}),
    _text("axolotl", "a: [1", "", "CF-003"),
    _text("axolotl", "- 1", "", "CF-003"),
    _text("axolotl", "at: 2020-01-01", "", "CF-003"),
    _text("axolotl", "a: .nan", "", "CF-003"),
    _text("axolotl", "a: &a [*a]", "", "CF-003"),
    _text("axolotl", "!!python/object/apply:os.system ['true']", "", "CF-003"),
    _text("axolotl", "learning_rate: high", "high", "CF-104"),
    _text("axolotl", "lora_r: -1", "below", "CF-104"),
    _text("axolotl", "base_model: x\nown: 1", "base x own", "", "CF-106"),
    _text("axolotl", "1: 2", "", "CF-003"),
    _text("axolotl", "a: {1: 2, b: 3}", "", "CF-003"),
    _text("axolotl", "a: 1\na: 2", "", "CF-003"),
    _text("axolotl", 'a: "\\uD800"', "", "CF-003"),
    _text("axolotl", "datasets: rows.jsonl", "rows", "CF-104"),
    _text("axolotl_dataset_formats", '{"q": "string", "a": "string"}', "q a", formats=("", ROWS)),
    _text("axolotl_dataset_formats", '{"format": {"q": "s"}, "description": "qs"}', "qs", formats=("qs", ("q",))),
    _text("axolotl_dataset_formats", '{"text": "s", "intent": "s", "z": "s"}', "z", formats=("", ("text", "intent", "z"))),
    _text("axolotl_dataset_formats", "{}", "none", "CF-105"),
    _text("axolotl_dataset_formats", '{"format": {"a": "s"}, "more": 1}', "more", "CF-105"),
    _text("axolotl_dataset_formats", '{" ": "string"}', "blank", "CF-105"),
    _text("toml", "{}", "toml", "CF-001"),
    _text("", '{"r": 8}', "typeless", "CF-001"),
    _text("lora", "a = 1", "", "CF-001 CF-002"),
)  # fmt: skip
BY_TEXT = {(each.kind, each.text): each for each in TEXTS}


def texts(kind: str, *, good: bool) -> list[str]:
    """The texts of that type that its rules have nothing, or something, against."""
    return [each.text for each in TEXTS if each.kind == kind and (not each.errors) is good]
