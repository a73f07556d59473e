"""What a file of messages holds: its documents as messages, each with its places, and what is wrong with the file itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.messages.base import faults, find
from core.rules import Breach
from tui.cli import console
from tui.cli.validate_places import BOUNDS, MAX_BYTES, NO_MESSAGE, SYNTAX, TWICE, Document, Malformed, Place, build
from tui.cli.validate_readers import json_tokens, yaml_tokens

# Keys of an Axolotl file, of which one that is no list of messages has at least two.
AXOLOTL = frozenset({"base_model", "adapter", "datasets", "sequence_len", "micro_batch_size", "num_epochs"})
AXOLOTL |= {"gradient_accumulation_steps", "learning_rate", "optimizer", "lr_scheduler", "lora_r", "lora_alpha"}
AXOLOTL |= {"output_dir", "load_in_4bit", "load_in_8bit", "val_set_size", "sample_packing", "tokenizer_type"}
LINES = {".jsonl", ".ndjson"}
_LINE = re.compile(r"\bline (\d+)")  # of the config's text, in a breach that knows it


@dataclass(frozen=True)
class Finding:
    """A breach and where it is; `name` is the message's, empty when the file itself is wrong."""

    file: str
    line: int
    column: int
    name: str
    breach: Breach


@dataclass(frozen=True)
class Checked:
    """How many messages a file holds, and what is wrong with it."""

    messages: int
    findings: list[Finding]


def check_file(path: str, config: str | None) -> Checked:
    """Check one file (`-`: standard input); `config` takes it as one config of that type. Raises OSError."""
    name = "<stdin>" if path == "-" else path
    reading = _Reading(name, config)
    try:
        text = _text(path)
        for document in _documents(text, Path(path).suffix.lower(), reading):
            reading.document(document, text)
    except Malformed as error:
        reading.malformed(error)
    if not reading.messages and not reading.findings:
        reading.malformed(Malformed(NO_MESSAGE, "the file holds no message"))
    return Checked(reading.messages, sorted(reading.findings, key=lambda each: (each.line, each.column)))


def _text(path: str) -> str:
    raw = console.standard_input().buffer.read(MAX_BYTES + 1) if path == "-" else _read(console.readable(path))
    if len(raw) > MAX_BYTES:
        raise Malformed(BOUNDS, f"the file is larger than {MAX_BYTES // 2**20} MiB")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Malformed(SYNTAX, "the file is UTF-16; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        told = f"the file is not UTF-8 text: byte 0x{raw[error.start]:02x} at offset {error.start}"
        raise Malformed(SYNTAX, told, line) from None


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _documents(text: str, suffix: str, reading: _Reading) -> Iterator[Document]:
    form = _form(text, suffix)
    if form == "lines":
        yield from _lines(text, reading)
    else:
        yield from build(json_tokens(text) if form == "json" else yaml_tokens(text))


def _form(text: str, suffix: str) -> str:
    """json, lines or yaml: by the file's ending, else by what it holds."""
    if suffix in LINES:
        return "lines"
    if suffix in (".json", ".yaml", ".yml"):
        return "json" if suffix == ".json" else "yaml"
    if not text.lstrip().startswith(("{", "[")):
        return "yaml"
    if _is_json(text):
        return "json"
    return "lines" if _is_json(text.strip().split("\n", 1)[0]) else "yaml"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(text: str, reading: _Reading) -> Iterator[Document]:
    """A document a line; what is wrong with one leaves the others to be read."""
    begin = 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                for document in build(json_tokens(line, number)):
                    document.begin, document.end = begin, begin + len(line)
                    yield document
            except Malformed as error:
                reading.malformed(error)
        begin += len(line) + 1


class _Reading:
    """The findings of one file as they come."""

    def __init__(self, file: str, config: str | None) -> None:
        self.file, self.config = file, config
        self.messages = 0
        self.findings: list[Finding] = []

    def malformed(self, error: Malformed) -> None:
        """Take down that the file can't be read on from there."""
        self._add(error.line, error.column, "", Breach(rule=error.rule, field="", message=error.message))

    def document(self, document: Document, text: str) -> None:
        """Check what a document of the file's text holds."""
        for each in document.twice:
            told = f"key {each.key!r} is there twice (first on line {each.first})"
            self._add(each.line, each.column, "", Breach(rule=TWICE, field=each.key, message=told))
        root = document.root
        if kind := self.config or ("axolotl" if _is_axolotl(root.value) else None):
            self._config(kind, document, text)
        elif isinstance(root.value, list):
            for index in range(len(root.value)):
                self._message(root.parts[index])
        elif root.value is not None:
            self._message(root)

    def _message(self, place: Place) -> None:
        self.messages += 1
        value = place.value
        if not isinstance(value, dict) or not isinstance(value.get("name"), str) or set(value) - {"name", "payload"}:
            told = "a message is a mapping with name (text) and payload (a mapping), and nothing else; "
            told += "for files of configs say so: --config TYPE, or --axolotl"
            self._add(place.line, place.column, "", Breach(rule=NO_MESSAGE, field="", message=told))
            return
        payload = place.parts.get("payload") or Place({}, place.line, place.column)
        at = place.parts["name"] if "payload" not in place.parts else payload
        for breach in faults(value["name"], payload.value):
            named = breach.rule == "MS-104"  # no such message: that is told of its name
            line, column = where(payload, breach, place.parts["name"] if named else at, _older(value["name"]))
            self._add(line, column, value["name"], breach)

    def _config(self, kind: str, document: Document, text: str) -> None:
        """Check the document's text as a config; a key that was told to be there twice hides nothing else."""
        self.messages += 1
        root, body = document.root, text[document.begin : document.end]
        if document.twice:
            body = json.dumps(root.value)
        for breach in faults("AddConfig", {"type": kind, "config": body}):
            line, column = _key_of(root, breach.message)
            if not document.twice and (said := _LINE.search(breach.message)):
                line, column = text.count("\n", 0, document.begin) + int(said[1]), 1
            self._add(line, column, "AddConfig", breach)

    def _add(self, line: int, column: int, name: str, breach: Breach) -> None:
        self.findings.append(Finding(self.file, line, column, name, breach))


def where(payload: Place, breach: Breach, otherwise: Place, older: Mapping[str, Sequence[str]]) -> tuple[int, int]:
    """Line and column of the breach's field: of its value; of its key when there should be none; else of what lacks it."""
    place, found = payload, otherwise
    for part in breach.field.split(".") if breach.field else ():
        names: list[str | int] = [part, *older.get(part, ()), *([int(part)] if part.isdecimal() else [])]
        name = next((each for each in names if each in place.parts), None)
        if name is None:
            break
        if breach.rule == "MS-102" and name in place.keys:
            return place.keys[str(name)]
        place = found = place.parts[name]
    return found.line, found.column


def _older(name: str) -> dict[str, list[str]]:
    """Each field that a file may write by several names, with all of them (docs/decisions.md, D-002)."""
    message = find(name)
    fields = message.model_fields if message else {}
    aliases = {field: getattr(info.validation_alias, "choices", []) for field, info in fields.items()}
    return {each: [str(other) for other in names] for names in aliases.values() for each in map(str, names)}


def _key_of(root: Place, message: str) -> tuple[int, int]:
    """Where the key stands with which the message begins: complaints about a config's content begin with it."""
    word = message.split(maxsplit=1)[0].strip("'\":,") if message.strip() else ""
    word = re.sub(r"\[(\d+)\]", r".\1", word)
    return where(root, Breach(rule="", field=word, message=""), root, {})


def _is_axolotl(value: object) -> bool:
    return isinstance(value, dict) and "name" not in value and len(AXOLOTL & set(value)) > 1
