"""Rows as conversations, written by the model's own chat template, and which of their characters are the assistant's.

Templates that mark the assistant's text ({% generation %}) tell it themselves. Of others it is told by differences: what
the template writes for the messages before a turn, with its invitation to answer, is what the model is asked with; what
comes then, up to the end of the turn, is what it must answer. A template that writes a beginning otherwise once more
follows can't be masked so, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from transformers.utils import chat_template_utils

from core.chat import chat_column
from core.spec import PromptSource
from core.template import TemplateError, render
from core.types import LossOn
from gpu_runner.data import Row
from gpu_runner.failures import JobError

Message = dict[str, Any]
Span = tuple[int, int]  # characters: from, up to

MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
ROLES = {"human": "user", "gpt": "assistant"}  # ShareGPT's names
ROW_HINT = "Check the dataset's columns against the prompt's."


@dataclass(frozen=True)
class Written:
    """A conversation as text, and the spans of it that are learned."""

    text: str
    spans: list[Span]


class Conversations:
    """How rows become messages: the conversations they hold, as the first row tells, else the prompt's input and completion
    as two turns."""

    def __init__(self, rows: Sequence[Row], prompt: PromptSource) -> None:
        self.prompt = prompt
        self.column = chat_column(rows[0], rows[:1]) if rows else None

    def messages(self, row: Row) -> list[Message]:
        """The row's turns. Raises JobError."""
        if self.column is not None:
            return _turns(row.get(self.column), self.column)
        try:
            said = (render(template, row) for template in (self.prompt.input_template, self.prompt.completion_template))
            user, assistant = (text.strip() for text in said)
        except TemplateError as error:
            raise JobError(f"a row does not fit the prompt: {error}", ROW_HINT) from error
        return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]


def _turns(value: Any, column: str) -> list[Message]:
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise JobError(f"a row's {column} is no list of messages", "Mend the row and add the dataset again.")
    return [_message(each) for each in value]


def _message(given: Mapping[str, Any]) -> Message:
    """A message as templates know it: OpenAI's as it is, ShareGPT's by today's names."""
    if "role" in given:
        return {name: value for name, value in given.items() if value is not None}
    speaker = str(given.get("from"))
    return {"role": ROLES.get(speaker, speaker), "content": given.get("value")}


def question(messages: Sequence[Message]) -> tuple[list[Message], str]:
    """(the turns before the assistant's last one, what it says then). Raises JobError when it says nothing."""
    last = _last_answer(messages)
    if last is None:
        raise JobError("a conversation has no turn of the assistant", "Leave such rows out of the dataset.")
    return list(messages[:last]), str(messages[last].get("content") or "")


def _last_answer(messages: Sequence[Message]) -> int | None:
    places = [place for place, each in enumerate(messages) if each.get("role") == "assistant"]
    return places[-1] if places else None


class Writer:
    """A model's chat template. `day` is the date that templates which tell it are told: a resumed job reads the same rows."""

    def __init__(self, tokenizer: Any, day: date | None = None) -> None:
        if not tokenizer.chat_template:
            raise JobError(
                "the model's tokenizer has no chat template",
                "Start the job without chat_template, or with a model that was made for conversations.",
            )
        self.tokenizer = tokenizer
        self.template: str = tokenizer.get_chat_template()
        if day is not None:  # the environment's own function tells the clock's date
            compiled = chat_template_utils._compile_jinja_template(self.template)
            compiled.globals["strftime_now"] = lambda form: day.strftime(form)

    def asked(self, messages: Sequence[Message]) -> str:
        """What the model is asked with: the messages and the invitation to answer. Raises JobError."""
        return self._render(messages, asking=True)[0]

    def write(self, messages: Sequence[Message], loss_on: LossOn) -> Written:
        """A whole conversation; one that does not end with the assistant's turn is cut there unless all is learned.

        No spans: nothing in it can be learned. Raises JobError when the template can't be masked.
        """
        if loss_on is LossOn.all:
            text, _ = self._render(messages)
            return Written(text, [(0, len(text))])
        last = _last_answer(messages)
        if last is None:
            return Written("", [])
        messages = messages[: last + 1]
        if loss_on is LossOn.assistant and MARKED.search(self.template):
            text, spans = self._render(messages, marked=True)
        else:
            text, _ = self._render(messages)
            spans = self._differences(messages, text, only_last=loss_on is LossOn.completion)
        return Written(text, [self._to_the_end_of_the_turn(text, span) for span in spans])

    def _differences(self, messages: Sequence[Message], text: str, *, only_last: bool) -> list[Span]:
        answers = [place for place, each in enumerate(messages) if each.get("role") == "assistant"]
        return [self._difference(messages, place, text) for place in (answers[-1:] if only_last else answers)]

    def _difference(self, messages: Sequence[Message], place: int, text: str) -> Span:
        before = self.asked(messages[:place])
        through = text if place == len(messages) - 1 else self._render(messages[: place + 1])[0]
        if not (text.startswith(before) and text.startswith(through) and len(before) <= len(through)):
            raise JobError(
                "the model's chat template writes a conversation's beginning otherwise when more follows, so that the "
                f"assistant's tokens can't be told apart (turn {place + 1} of {len(messages)})",
                "Use loss_on completion, which learns the last turn only, or loss_on all.",
            )
        return len(before), len(through)

    def _to_the_end_of_the_turn(self, text: str, span: Span) -> Span:
        """The span with the EOS that ends it, which marks may leave out, and without what follows it."""
        start, end = span
        eos = self.tokenizer.eos_token
        if text.startswith(eos, end):
            return start, end + len(eos)
        found = text.rfind(eos, start, end)
        return (start, found + len(eos)) if found >= 0 else span

    def _render(
        self, messages: Sequence[Message], *, asking: bool = False, marked: bool = False
    ) -> tuple[str, list[Span]]:
        try:
            texts, marks = chat_template_utils.render_jinja_template(
                conversations=[list(messages)],
                chat_template=self.template,
                add_generation_prompt=asking,
                return_assistant_tokens_mask=marked,
                **self.tokenizer.special_tokens_map,
            )
        except Exception as error:  # a template is a program: whatever it raises is its refusal of these messages
            roles = ", ".join(str(each.get("role")) for each in messages) or "none"
            raise JobError(
                f"the model's chat template refuses a conversation (turns: {roles}): {error}",
                "Mend the rows, or start the job without chat_template.",
            ) from error
        return texts[0], [tuple(each) for each in marks[0]] if marked else []
