"""The rows of an evaluation as the texts that a model was taught: what it was given, and the tokens that it had to say then.

The loss of the expected answers is reckoned on these, EOS included. They are written as training writes them (tokens.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.spec import PromptSource
from core.template import TemplateError, render
from core.types import LossOn
from gpu_runner.chat import Writer
from gpu_runner.data import Row
from gpu_runner.failures import JobError
from gpu_runner.reading import Text
from gpu_runner.scoring import Questions
from gpu_runner.tokens import IGNORED, encoded


def taught(questions: Questions, prompt: PromptSource, tokenizer: Any, loss_on: LossOn) -> list[Text]:
    """Each row's two parts. Where a row can't be written as training would, they are the prompt that is asked and the answer expected.

    Raises JobError when a chat template can't tell the assistant's tokens.
    """
    rows = questions.rows
    if questions.templated:
        made = encoded(rows, prompt, tokenizer, LossOn.completion, Writer(tokenizer))
        return [_parts(ids, labels) for ids, labels in made]
    return [_plain(row, prompt, tokenizer, loss_on) for row in rows]


def _parts(ids: list[int], labels: list[int]) -> Text:
    """What is learned of a row, and what comes before it; a template may write something behind it."""
    first = next((place for place, label in enumerate(labels) if label != IGNORED), len(labels))
    end = next((place for place in range(first, len(labels)) if labels[place] == IGNORED), len(labels))
    return Text(ids[:first], ids[first:end])


def _plain(row: Row, prompt: PromptSource, tokenizer: Any, loss_on: LossOn) -> Text:
    try:
        if loss_on is LossOn.all and (together := _together(row, prompt, tokenizer)) is not None:
            return together
        ((ids, labels),) = encoded([row], prompt, tokenizer, LossOn.completion, None)
        return _parts(ids, labels)
    except JobError:  # its prompt_template is no continuation of what is asked
        asked, expected = (render(each, row) for each in (prompt.input_template, prompt.completion_template))
        own = PromptSource(
            id="", name="", prompt_template="{asked}{expected}", input_template="{asked}", completion_template=""
        )
        ((ids, labels),) = encoded([{"asked": asked, "expected": expected}], own, tokenizer, LossOn.completion, None)
        return _parts(ids, labels)


def _together(row: Row, prompt: PromptSource, tokenizer: Any) -> Text | None:
    """Prompt and answer as one text, as they were learned together; None where it can't be told which tokens are the answer's.

    A token that has characters of both counts as the answer's: nothing of the answer is left out.
    """
    text, asked = render(prompt.prompt_template, row), render(prompt.input_template, row)
    if not tokenizer.is_fast or not text.startswith(asked.rstrip()):
        return None
    start = len(asked) if text.startswith(asked) else len(asked.rstrip())
    ((ids, _),) = encoded([row], prompt, tokenizer, LossOn.all, None)
    ends = [end for _, end in tokenizer(text, return_offsets_mapping=True)["offset_mapping"]]
    first = next((place for place, end in enumerate(ends) if end > start), len(ids) - 1)
    return Text(ids[:first], ids[first:]) if first else None


def texts_of(
    questions: Questions, prompt: PromptSource, tokenizer: Any, loss_on: LossOn
) -> tuple[Sequence[Text] | None, str]:
    """(the texts, ""), or (None, why there are none)."""
    try:
        return taught(questions, prompt, tokenizer, loss_on), ""
    except (JobError, TemplateError) as error:
        return None, str(error)
