"""From rows to tokens: the template, the EOS that a model must learn to end with, and the padding token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.spec import PromptSource
from core.template import TemplateError, render
from core.types import LossOn
from gpu_runner.chat import Conversations, Writer, Written
from gpu_runner.data import Row
from gpu_runner.failures import JobError

TRAINING_DATA_TEXT_FIELD = "prediction"  # guide, "Training Constants"
IGNORED = -100  # the label of a token that is not learned


@dataclass
class Tokenized:
    """Token ids and labels of each row (lists of equal length), and what happened to rows on the way."""

    input_ids: list[list[int]] = field(default_factory=list)
    labels: list[list[int]] = field(default_factory=list)
    cut: int = 0
    dropped: int = 0

    @property
    def tokens(self) -> int:
        """All tokens."""
        return sum(map(len, self.input_ids))

    def add(self, ids: list[int], labels: list[int], max_length: int) -> None:
        """Take a row in, cut to `max_length`; one without anything to learn is left out."""
        if len(ids) > max_length:
            self.cut += 1
            ids, labels = ids[:max_length], labels[:max_length]
        if all(label == IGNORED for label in labels):
            self.dropped += 1
            return
        self.input_ids.append(ids)
        self.labels.append(labels)


def tokenize(
    rows: Sequence[Row],
    prompt: PromptSource,
    tokenizer: Any,
    max_length: int,
    loss_on: LossOn,
    writer: Writer | None = None,
) -> Tokenized:
    """Write, tokenize and end every row with EOS, which is always learned; rows longer than `max_length` are cut.

    With a `writer` rows are conversations in the model's own chat template. With loss_on completion the prompt's tokens are
    not learned; a prompt and its completion are tokenized apart, as they are when the model is asked. Raises JobError when
    no row is left, and for a row that does not fit.
    """
    made = Tokenized()
    for ids, labels in encoded(rows, prompt, tokenizer, loss_on, writer):
        made.add(ids, labels, max_length)
    if rows and not made.input_ids:
        raise nothing_left(max_length)
    return made


def nothing_left(max_length: int) -> JobError:
    """What is said when no row is left."""
    return JobError(
        f"no row has anything left to learn: max_length {max_length} cuts every row before it, or none answers",
        "Raise max_length, shorten the prompt, or look at the rows.",
    )


def encoded(
    rows: Sequence[Row], prompt: PromptSource, tokenizer: Any, loss_on: LossOn, writer: Writer | None
) -> Iterator[tuple[list[int], list[int]]]:
    """(token ids, labels) of each row, not cut yet."""
    if writer is not None:
        conversations = Conversations(rows, prompt)
        for row in rows:
            yield _marked(writer.write(conversations.messages(row), loss_on), tokenizer)
        return
    encode = _whole if loss_on is LossOn.all else _apart
    for row in rows:
        yield encode(row, prompt, tokenizer)


def _marked(written: Written, tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokens of a conversation; those that begin in a span are learned, and the EOS that a template may leave out."""
    if not tokenizer.is_fast:
        raise JobError(
            "the model's tokenizer does not tell which characters a token stands for",
            "Start the job without chat_template, or with another model.",
        )
    encoded = tokenizer(written.text, add_special_tokens=False, return_offsets_mapping=True)
    ids, starts = list(encoded["input_ids"]), [start for start, _ in encoded["offset_mapping"]]
    spans = iter(written.spans)
    span = next(spans, None)
    labels = []
    for id, start in zip(ids, starts, strict=True):
        while span is not None and start >= span[1]:
            span = next(spans, None)
        labels.append(id if span is not None and span[0] <= start else IGNORED)
    if written.spans and not written.text.rstrip().endswith(tokenizer.eos_token):
        ids.append(tokenizer.eos_token_id)
        labels.append(tokenizer.eos_token_id)
    return ids, labels


def _whole(row: Row, prompt: PromptSource, tokenizer: Any) -> tuple[list[int], list[int]]:
    ids = _ended(tokenizer(_rendered(prompt.prompt_template, row))["input_ids"], tokenizer)
    return ids, list(ids)


def _apart(row: Row, prompt: PromptSource, tokenizer: Any) -> tuple[list[int], list[int]]:
    text, asked = _rendered(prompt.prompt_template, row), _rendered(prompt.input_template, row)
    start = asked if text.startswith(asked) else asked.rstrip()
    if not text.startswith(start):
        raise JobError(
            "loss on the completion needs a prompt_template that begins with the input_template",
            "Make prompt_template the input_template followed by the completion_template, or use loss_on all.",
        )
    before = _unended(tokenizer(start)["input_ids"], tokenizer)
    after = _ended(tokenizer(text[len(start) :], add_special_tokens=False)["input_ids"], tokenizer)
    return before + after, [IGNORED] * len(before) + after


def _rendered(template: str, row: Row) -> str:
    try:
        return render(template, row)
    except TemplateError as error:
        raise JobError(
            f"a row does not fit the prompt: {error}", "Check the dataset's columns against the prompt's."
        ) from error


def _ended(ids: list[int], tokenizer: Any) -> list[int]:
    return ids if ids and ids[-1] == tokenizer.eos_token_id else [*ids, tokenizer.eos_token_id]


def _unended(ids: list[int], tokenizer: Any) -> list[int]:
    return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id and ids[-1] != tokenizer.bos_token_id else list(ids)


def set_padding(tokenizer: Any, preferred: str | None = None, tell: Callable[[str], None] = lambda text: None) -> str:
    """Give the tokenizer a padding token and return it: see docs/decisions.md for the chain.

    EOS comes last: padding is masked in the labels by position, not by id, so the EOS that ends a row is still learned.
    """
    if tokenizer.eos_token is None:
        raise JobError(
            "the tokenizer has no EOS token: a model trained with it would never stop",
            "Use a model whose tokenizer has one.",
        )
    chosen = next(
        filter(None, (choose(tokenizer, preferred) for choose in (_own, _given, _unknown, _added))), tokenizer.eos_token
    )
    if chosen != tokenizer.pad_token:
        tell(f"rows are padded with {chosen!r}")
    tokenizer.pad_token = chosen
    tokenizer.padding_side = "right"
    return str(chosen)


def _own(tokenizer: Any, preferred: str | None) -> str | None:
    return (
        tokenizer.pad_token
        if tokenizer.pad_token not in (None, tokenizer.eos_token) and tokenizer.pad_token_id != -1
        else None
    )


def _given(tokenizer: Any, preferred: str | None) -> str | None:
    return preferred if preferred and preferred in tokenizer.get_vocab() else None


def _unknown(tokenizer: Any, preferred: str | None) -> str | None:
    return tokenizer.unk_token if tokenizer.unk_token not in (None, tokenizer.eos_token) else None


def _added(tokenizer: Any, preferred: str | None) -> str | None:
    added = [str(token) for token in tokenizer.get_added_vocab()]
    return next((token for part in ("pad", "reserved") for token in added if part in token.lower()), None)
