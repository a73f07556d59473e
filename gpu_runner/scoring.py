"""The questions of an evaluation, and what is kept of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.spec import PromptSource
from core.template import TemplateError, render
from gpu_runner.answers import Line
from gpu_runner.chat import Conversations, Writer, question
from gpu_runner.data import Row
from gpu_runner.failures import JobError
from gpu_runner.generate import Generated
from gpu_runner.overlap import exact


@dataclass(frozen=True)
class Questions:
    """The rows that are asked, each with its prompt and the answer expected. Of a chat template's prompts `templated` is true."""

    rows: Sequence[Row]
    prompts: list[str]
    expected: list[str]
    templated: bool = False

    def __len__(self) -> int:
        return len(self.rows)


def ask(rows: Sequence[Row], prompt: PromptSource) -> Questions:
    """Rows as questions: the input template is the prompt, the completion template the answer. Raises JobError."""
    try:
        prompts = [render(prompt.input_template, row) for row in rows]
        return Questions(rows, prompts, [render(prompt.completion_template, row) for row in rows])
    except TemplateError as error:
        hint = "Check the dataset's columns against the prompt's."
        raise JobError(f"a row does not fit the prompt: {error}", hint) from error


def ask_in_turns(rows: Sequence[Row], prompt: PromptSource, tokenizer: Any) -> Questions:
    """Rows as conversations up to the assistant's last turn, which is the answer. Raises JobError."""
    writer, conversations = Writer(tokenizer), Conversations(rows, prompt)
    asked = [question(conversations.messages(row)) for row in rows]
    return Questions(
        rows, [writer.asked(before) for before, _ in asked], [expected for _, expected in asked], templated=True
    )


def answer_lines(questions: Questions, answers: Sequence[Generated], features: Sequence[str]) -> list[Line]:
    """What is kept of every row; its scores come to it later (grading.py)."""
    return [
        {
            "row": index,
            "prompt": questions.prompts[index],
            "expected": questions.expected[index].strip(),
            "answer": answer.text.strip(),
            "correct": exact(answer.text, questions.expected[index]),
            "stopped_by_eos": answer.stopped_by_eos,
            "new_tokens": answer.new_tokens,
            "seconds": round(answer.seconds, 5),
            "expected_tokens": None,
            "features": {name: questions.rows[index].get(name) for name in features},
            "scores": {},
        }
        for index, answer in enumerate(answers)
    ]
