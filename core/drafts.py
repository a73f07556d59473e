"""Drafts of prompt templates, from a dataset's columns and first rows. Pure: what they make, AddPrompt accepts.

The prompt is always the input followed by the completion, and a space belongs to the completion: so a model is asked
with just the tokens that it was trained on ("Answer:" and " yes", never "Answer: " and "yes").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.chat import chat_column
from core.output_columns import output_column
from core.template import nameable
from core.types import PromptStyle

Rows = Sequence[Mapping[str, Any]]
_TASK = "Read the fields below. Write what belongs into the last one."
_CLASSIFY = "Read the fields below. Name the one label that fits."
_SHORT, _WORDS = 40, 4  # a label has at most so many characters and words
_ENOUGH = 3  # rows that must be seen before repeated values say something
_INSTRUCTION = ("instruction", "prompt", "query", "question", "task")
_INPUT = ("input", "context", "article", "document")
# Words in the name of a column that holds one of a few labels.
_LABELS = frozenset(
    (
        "label",
        "intent",
        "category",
        "class",
        "classification",
        "sentiment",
        "toxicity",
        "emotion",
        "stance",
        "topic",
        "is",
    )
)
_OUTPUT = ("output", "response", "answer", "completion")


class NoDraft(ValueError):
    """No template can be made that way; the message says why."""


@dataclass(frozen=True)
class Columns:
    """What is known of a dataset."""

    names: Sequence[str]
    rows: Rows = ()
    is_chat: bool = False

    @property
    def nameable(self) -> list[str]:
        """The columns that a template can name."""
        return [name for name in self.names if nameable(name)]


@dataclass(frozen=True)
class Draft:
    """Templates, and how they came about."""

    style: PromptStyle
    input_template: str
    completion_template: str
    inputs: list[str]
    output: str
    why: list[str] = field(default_factory=list)

    @property
    def prompt_template(self) -> str:
        """What is trained on."""
        return self.input_template + self.completion_template


def draft(known: Columns, style: PromptStyle | None = None) -> Draft:
    """Make templates in that style, or in the one that fits; raises NoDraft."""
    names = known.nameable
    if not names:
        told = ", ".join(map(repr, known.names)) or "none"
        raise NoDraft(f"no column can be named in a template; the dataset's columns: {told}")
    makers = {
        PromptStyle.chat: _chat,
        PromptStyle.instruction: _instruction,
        PromptStyle.classification: _classification,
        PromptStyle.columns: _columns,
    }
    if style is not None:
        return makers[style](known, names)
    return next(made for made in _fitting(known, names) if made is not None)


def unnameable(known: Columns) -> list[str]:
    """The columns that no template can name."""
    return [name for name in known.names if not nameable(name)]


def label(column: str) -> str:
    """A column's name as a reader sees it before its value: one line, capitalised."""
    return " ".join(column.split()).capitalize()


def lines(columns: Sequence[str]) -> str:
    """`<Column>: {column}`, a line each."""
    return "".join(f"{label(name)}: {{{name}}}\n" for name in columns)


def _fitting(known: Columns, names: list[str]) -> Iterator[Draft | None]:
    if chat_column(names, known.rows, is_chat=known.is_chat):
        yield _chat(known, names)
    if _one_of(("instruction",), names) and _one_of(_OUTPUT, names):
        yield _instruction(known, names)
    if _why_labels(output_column(names)[0], known.rows):
        yield _classification(known, names)
    yield _columns(known, names)


def _columns(known: Columns, names: list[str]) -> Draft:
    output, why = output_column(names)
    return _asked(PromptStyle.columns, f"{_TASK}\n\n", names, output, [why])


def _classification(known: Columns, names: list[str]) -> Draft:
    labels = [name for name in names if _why_labels(name, known.rows)]
    output, why = output_column(labels or names)
    told = _why_labels(output, known.rows) or "the first rows don't show labels, so the name decides"
    return _asked(PromptStyle.classification, f"{_CLASSIFY}\n\n", names, output, [why, told])


def _instruction(known: Columns, names: list[str]) -> Draft:
    asked, output = _one_of(_INSTRUCTION, names), _one_of(_OUTPUT, names)
    if asked is None or output is None or asked == output:
        wanted = f"an instruction ({', '.join(_INSTRUCTION)}) and an output ({', '.join(_OUTPUT)})"
        raise NoDraft(f"no columns are named as {wanted}; the columns: {', '.join(map(repr, names))}")
    given = _one_of(_INPUT, names)
    inputs = [name for name in (asked, given) if name is not None]
    why = f"{output!r} is the output: it answers {asked!r}" + (f", with {given!r} to work on" if given else "")
    return _asked(PromptStyle.instruction, "", [*inputs, output], output, [why])


def _chat(known: Columns, names: list[str]) -> Draft:
    column = chat_column(names, known.rows, is_chat=known.is_chat)
    if column is None:
        raise NoDraft(f"no column holds a list of messages; the columns: {', '.join(map(repr, names))}")
    why = f"{column!r} holds conversations: each is written out, a line a message, and learned whole"
    return Draft(PromptStyle.chat, f"{label(column)}:", f"\n{{{column}}}", [], column, [why])


def _asked(style: PromptStyle, task: str, names: Sequence[str], output: str, why: list[str]) -> Draft:
    inputs = [name for name in names if name != output]
    return Draft(style, f"{task}{lines(inputs)}{label(output)}:", f" {{{output}}}", inputs, output, why)


def _one_of(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for each in wanted for name in names if name.lower() == each), None)


def _why_labels(column: str, rows: Rows) -> str | None:
    """Why the column's values are labels, as far as the first rows tell; None when they are not."""
    values = [row.get(column) for row in rows]
    if not values or not all(map(_is_short, values)):
        return None
    if len(values) >= _ENOUGH and len({str(value) for value in values}) < len(values):
        return f"the values of {column!r} in the first rows are short and come again: they are labels"
    if _LABELS & set(column.lower().replace("-", "_").split("_")):
        return f"{column!r} is called as labels are, and its values in the first rows are short"
    return None


def _is_short(value: object) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= _SHORT and len(value.split()) <= _WORDS
    return isinstance(value, bool | int)
