"""The questions of an evaluation, how their answers score, and the file they are kept in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.spec import PromptSource
from core.template import TemplateError, render
from gpu_runner.answers import Line
from gpu_runner.chat import Conversations, Writer, question
from gpu_runner.child import Context
from gpu_runner.data import Row
from gpu_runner.failures import JobError
from gpu_runner.files import Files, earlier_attempts
from gpu_runner.generate import Generated
from gpu_runner.overlap import exact
from gpu_runner.spool import read_records


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


def scored_before(context: Context) -> dict[str, dict[str, object]]:
    """What earlier attempts have scored, by the combination's job id: `values`, `statistics`, `rows`, and `answers` that are still there."""
    found: dict[str, dict[str, object]] = {}
    for number in reversed(earlier_attempts(context.directory)):
        files = Files(context.directory.parent / str(number))
        records, _ = read_records(files.spool, 0, max(1, files.spool_size()))
        for each in records:
            done = each["type"] == "scored" and each.get("status") == "succeeded"
            if done and (context.root / str(each.get("answers"))).is_file():
                names = ("values", "statistics", "rows", "answers")
                found[each["job_id"]] = {name: each[name] for name in names if name in each}
    return found
