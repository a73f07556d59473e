"""Rows of a dataset, and a row as the model will see it, as lines of a panel. Knows nothing of Textual."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.messages.models import TOKENIZERS
from core.text import counted, plain
from tui.view.describe import size
from tui.view.planned import Line

ROWS = 5  # that are shown whole
LONGEST = 240  # characters of a value in a panel
LONGEST_TEXT = 4_000  # characters of a rendered text


def value(given: Any, limit: int = LONGEST) -> str:
    """A value of a row in a line; what is no text as JSON."""
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return plain(text.replace("\r\n", "\n").replace("\n", "⏎"), limit=limit)


def brief(reply: Mapping[str, Any]) -> Line:
    """What a narrow screen has room for."""
    columns = list(reply["columns"])
    names = plain(", ".join(columns), limit=60)
    return [("✓ ", "good"), (f"{counted(len(columns), 'column')}: {names}", ""), (_size(reply), "dim")]


def _size(reply: Mapping[str, Any]) -> str:
    return f" · {counted(reply['total'], 'row')}" if reply.get("total") else ""


def rows(reply: Mapping[str, Any]) -> list[Line]:
    """Columns with their types, then the first rows."""
    return list(_rows(reply))


def _rows(reply: Mapping[str, Any]) -> Iterator[Line]:
    types = reply.get("column_types") or {}
    chat = "   conversations" if reply.get("is_chat") else ""
    yield [(counted(len(reply["columns"]), "column"), "bold"), (f"{_size(reply)}{chat}", "dim")]
    wide = min(24, max((len(plain(name, limit=24)) for name in reply["columns"]), default=0))
    for name in reply["columns"]:
        yield [(f"  {plain(name, limit=24):<{wide}}  ", ""), (plain(types.get(name, ""), limit=48), "dim")]
    if len(reply.get("splits") or {}) > 1:
        yield [("splits  ", "bold"), (plain(", ".join(map(str, reply["splits"])), limit=200), "")]
    for number, row in enumerate(reply["rows"][:ROWS], 1 + int(reply.get("after") or 0)):
        yield [("", "")]
        yield [(f"row {number}", "bold")]
        for name in reply["columns"]:
            yield [(f"  {plain(name, limit=24):<{wide}}  ", "dim"), (value(row.get(name)), "")]
    if reply.get("note"):
        yield [("", "")]
        yield [(plain(reply["note"], limit=200), "dim")]


def model(directory: str, files: Mapping[str, int]) -> tuple[list[Line], Line]:
    """What a directory holds of a model and what it lacks, and the same in a line. `files`: bytes by name."""
    if not files:
        nothing: Line = [("✗ ", "bad"), (plain(f"there is no directory {directory} with files in it", limit=200), "")]
        return [nothing], nothing
    weights = [count for name, count in files.items() if name.endswith(".safetensors")]
    tokenizer = next((name for name in TOKENIZERS if name in files), None)
    has = {
        "config.json": "config.json" if "config.json" in files else None,
        f"tokenizer ({', '.join(TOKENIZERS)})": tokenizer,
        "*.safetensors weights": f"{counted(len(weights), 'file')} of weights, {size(sum(weights))}"
        if weights
        else None,
    }
    lines: list[Line] = [
        [("✓ ", "good"), (told, "")] if told else [("✗ ", "bad"), (f"no {name}", "")] for name, told in has.items()
    ]
    if not weights and any(name.endswith((".bin", ".pt", ".pth")) for name in files):
        lines.append(
            [("▲ ", "wait"), ("pickled weights can run code and are not loaded: convert them to safetensors", "")]
        )
    lacks = [f"no {name.partition(' (')[0]}" for name, told in has.items() if not told]
    mark = ("✗ ", "bad") if lacks else ("✓ ", "good")
    return lines, [mark, (", ".join(lacks or filter(None, has.values())), "")]


def record(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """A row whole, column by column, to read."""
    parts = []
    for name in columns:
        given = row.get(name)
        text = given if isinstance(given, str) else json.dumps(given, indent=2, ensure_ascii=False)
        parts.append(f"── {plain(name, limit=100)}\n{plain(text, limit=20_000, lines=True)}")
    return "\n\n".join(parts)


def rendered(preview: Mapping[str, Any], key: str = "ctrl+l another") -> list[Line]:
    """A row as text: what is trained on, what is asked, what is expected. `key` shows another row."""
    return list(_rendered(preview, key))


def _rendered(preview: Mapping[str, Any], key: str) -> Iterator[Line]:
    text, asked, eos = str(preview["text"]), str(preview["input"]), str(preview["eos"])
    start = asked if text.startswith(asked) else asked.rstrip()
    apart = text.startswith(start) and bool(start)
    yield [
        (f"row {int(preview['row']) + 1} of the first {preview['rows']}", "bold"),
        (f"   {plain(key, limit=40)}", "dim"),
    ]
    yield [("", "")]
    yield [("trained on", "bold"), ("   ⟦ ⟧ is what a loss on completions learns" if apart else "", "dim")]
    whole = f"{start}⟦{text[len(start) : len(text) - len(eos)]}{eos}⟧" if apart else text
    yield from _lines(whole, "")
    if not apart:
        yield [("▲ ", "wait"), ("it does not begin with the input: the loss can't be on the completion alone", "")]
    yield [("", "")]
    yield [("asked in an evaluation", "bold")]
    yield from _lines(asked, "")
    yield [("", "")]
    yield [("the answer that is expected", "bold")]
    yield from _lines(str(preview["expected"]), "right")


def _lines(text: str, style: str) -> Iterator[Line]:
    for line in plain(text, limit=LONGEST_TEXT, lines=True).split("\n"):
        yield [("│ ", "dim"), (line, style)]


def asked(preview: Mapping[str, Any]) -> Line:
    """A rendered row where there is room for a line: the end of what is asked, and the answer."""
    end = str(preview["input"])[-40:]
    return [("✓ …", "good"), (value(end), ""), (" → ", "dim"), (value(preview["expected"], 30), "right")]


def columns(dataset: Mapping[str, Any]) -> list[Line]:
    """What templates may name, with the first row's values."""
    first = (dataset.get("preview") or [{}])[0]
    named = {name: f"{{{plain(name, limit=40)}}}" for name in dataset.get("features") or []}
    wide = min(26, max(map(len, named.values()), default=0))
    lines: list[Line] = [[("Columns that templates may name:", "bold")]]
    lines += [
        [(f"  {shown:<{wide}}  ", "bar"), (value(first.get(name, ""), 120), "dim")] for name, shown in named.items()
    ]
    return [*lines, [("", "")], [("ctrl+g writes templates from them.", "dim")]]
