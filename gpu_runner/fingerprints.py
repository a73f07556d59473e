"""Which rows a training learned, kept as fingerprints, so that an evaluation leaves them out wherever it meets them.

A row is known by its values, however the file writes them, by the conversations in it, and by the texts that prompts make
of it, whatever else it holds: these are what a model sees. Neither blanks nor the order of columns matter, nor what other
programs write otherwise: case, numbers, lists. A fingerprint has 64 bits: that one row of
ten thousand is taken for another of a million learned ones happens once in a billion evaluations, and costs a row.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from core.chat import conversation
from core.spec import FineTuningSpec, PromptSource
from core.template import TemplateError, render
from gpu_runner.child import Context
from gpu_runner.data import Row
from gpu_runner.holding import Writing, with_room
from gpu_runner.team import Team

BYTES = 8
STRUCTURED = ("[", "{")
UNSEEN = {"Cc", "Cf"}  # kinds of characters: control, and such as zero-width blanks
NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?", re.ASCII)  # longer ones are names rather than numbers
Prints = NDArray[numpy.uint64]


def of_row(row: Row, prompts: Iterable[PromptSource]) -> set[int]:
    """The fingerprints of a row: of its values, and of what each prompt that fits it makes of it; as they are, and loosely."""
    prompts = list(prompts)
    loose = {name: _loose(value) for name, value in row.items()}
    return set(map(_print, _said(row, prompts) | _said(loose, prompts)))


def _said(row: Row, prompts: Sequence[PromptSource]) -> set[str]:
    values = {str(name): told for name, value in row.items() if (told := _value(value))}
    texts = {text for prompt in prompts for text in _texts(row, prompt)}
    texts |= {_squeezed(said) for value in row.values() if (said := conversation(value))}
    return {json.dumps(values, sort_keys=True), *texts}


def of_rows(rows: Sequence[Row], prompt: PromptSource) -> Prints:
    """The fingerprints of rows that are learned by this prompt, each once, in order."""
    found = {each for row in rows for each in of_row(row, [prompt])}
    return numpy.array(sorted(found), dtype=numpy.uint64)


def keep(spec: FineTuningSpec, context: Context, rows: Sequence[Row]) -> None:
    """Write down which rows the job learns, once for all its attempts, when there is room. Raises Cancelled, Paused."""
    path = context.root / spec.training.rows
    if path.exists() or not context.team.first:
        return
    raw = of_rows(rows, spec.prompt).astype("<u8").tobytes()
    writing = Writing("what is noted of the rows", len(raw), context.root, spare=0)
    with_room(context, writing, [lambda: _publish(raw, context.directory / "rows.draft", path)], team=Team())


def _publish(raw: bytes, draft: Path, path: Path) -> None:
    """Whole or not at all; the draft is the attempt's own: an older one may still be at it."""
    path.parent.mkdir(exist_ok=True)
    with draft.open("wb") as file:
        file.write(raw)
        os.fsync(file.fileno())
    draft.replace(path)


def read(path: Path) -> Prints | None:
    """What `keep` wrote; None when it is not there, or not whole."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    return numpy.frombuffer(raw, dtype="<u8") if len(raw) % BYTES == 0 else None


def _texts(row: Row, prompt: PromptSource) -> Iterable[str]:
    """The texts of a prompt that fit the row, without blanks."""
    both = prompt.input_template + prompt.completion_template
    for template in (prompt.prompt_template, both):
        try:
            text = _squeezed(render(template, row))
        except TemplateError:
            continue
        if text:
            yield text


def _value(value: Any) -> Any:
    """A value as it counts: a number as its text, since a CSV file knows no other; what is empty does not count."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return {str(name): told for name, each in value.items() if (told := _value(each))}
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    return _squeezed(str(value))


def _loose(value: Any) -> Any:
    """A value as another program may write it: in upper or lower case, 1 or 1.0, a list or its JSON, characters that no one sees."""
    if isinstance(value, Mapping):
        return {name: _loose(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_loose(each) for each in value]
    if value is None:
        return None
    text = str(value)
    if not text.isascii():
        shown = (each for each in unicodedata.normalize("NFKC", text) if unicodedata.category(each) not in UNSEEN)
        text = "".join(shown)
    if text[:1] in STRUCTURED and (read := _as_json(text)) is not None:
        return _loose(read)
    return str(float(text)) if NUMBER.fullmatch(text.strip()) else text.casefold()


def _as_json(text: str) -> Any:
    """The list or mapping that a text is; None when it is none."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, list | dict) else None


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _print(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=BYTES).digest(), "little")
