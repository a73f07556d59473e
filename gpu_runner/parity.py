"""Whether an export answers like base and adapter: the same logits within a tolerance, and the same greedy text.

What a merge rounds away in half precision is no fault of the merge, and tells nothing of it either. So it is compared
three times: merged against base and adapter in fp32, and reopened against what was written, both strictly; then reopened
against base and adapter, where half precision may differ by what rounding does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from core.spec import ExportSpec, FineTuningSpec, Parity
from gpu_runner.child import Context
from gpu_runner.data import load_rows, sample_and_split
from gpu_runner.failures import JobError
from gpu_runner.generate import Marks, marks_of, options_of
from gpu_runner.scoring import ask, ask_in_turns

PROMPTS = 8
NEW_TOKENS = 24
LONGEST = 200  # tokens of a prompt
POSITIONS = 8  # last tokens of a prompt whose logits are compared
# Shares of the logits' spread. Measured on SmolLM2: a merge differs by 2e-6, one layer left out by 3e-5 at least, rounding
# to bf16 by 4e-3.
EXACT, ROUNDED = 2e-5, 2e-2
KEPT = ("repetition_penalty", "no_repeat_ngram_size", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens")
FIXED = (
    "What are the three primary colors?",
    "Write one sentence about the sea.",
    "def add(a, b):",
    "The capital of France is",
    "Summarise: the train was late, and the passengers waited for an hour.",
    "1, 2, 3, 4,",
    "My card was charged twice. What shall I do?",
    "Translate to German: Good morning!",
)


@dataclass(frozen=True)
class Opened:
    """An export in its final form, loaded: its model, and how it answers a prompt greedily, in at most so many tokens."""

    model: Any
    tokenizer: Any
    answer: Callable[[str, int], str]


@dataclass(frozen=True)
class Answer:
    """A greedy answer's tokens, its text, and by how much each token's logit was above the next best one's."""

    ids: list[int]
    text: str
    margins: list[float]


@dataclass
class Expected:
    """What base and adapter answer, which every form of the export is compared with. Logits are (positions, vocabulary)."""

    tokenizer: Any
    prompts: list[str]
    settings: dict[str, Any]
    logits: list[torch.Tensor]
    answers: list[Answer]
    written: list[torch.Tensor] = field(default_factory=list)  # logits of what was written, when it was rounded
    sums: dict[str, int] = field(
        default_factory=dict
    )  # of its weights' bits: rounding hides from logits what they show

    @classmethod
    def of(cls, model: Any, tokenizer: Any, prompts: Sequence[str], generation: dict[str, Any]) -> Expected:
        """Ask base and adapter."""
        fitting = [fit(model, tokenizer, prompt) for prompt in prompts]
        settings, marks = _settings(generation), marks_of(model, tokenizer)
        answers = [greedy(model, tokenizer, prompt, settings, marks) for prompt in fitting]
        return cls(tokenizer, fitting, settings, logits_of(model, tokenizer, fitting), answers)

    @property
    def spread(self) -> float:
        """Between the largest and the smallest logit."""
        return max(float(each.max() - each.min()) for each in self.logits)

    def merged(self, model: Any) -> None:
        """Raise JobError unless the merged model, in the same precision, has the same logits."""
        self._near(self.logits, model, EXACT, "the merged model does not answer like base and adapter")

    def rounded(self, model: Any) -> None:
        """Note the logits of the model as it is written, in half precision."""
        self.written, self.sums = logits_of(model, self.tokenizer, self.prompts), sums_of(model)

    def compare(self, opened: Opened) -> Parity:
        """Raise JobError unless the export, in its final form, is what was written and answers like base and adapter."""
        what = "the export, opened again, does not answer like base and adapter"
        half = next(opened.model.parameters()).dtype != torch.float32
        if self.written:
            if half and sums_of(opened.model) != self.sums:
                raise _differs("the export, opened again, has not the weights that were written")
            self._near(self.written, opened.model, ROUNDED / 10, "the export, opened again, is not what was written")
        difference = self._near(self.logits, opened.model, ROUNDED if half else EXACT, what)
        same = near = 0
        for prompt, answer in zip(self.prompts, self.answers, strict=True):
            text = opened.answer(prompt, NEW_TOKENS)
            if text.strip() == answer.text.strip():
                same += 1
            elif self._margin(answer, text) <= 2 * difference:
                near += 1
            else:
                raise _differs(f"{what}: {text!r} instead of {answer.text!r}")
        return Parity(prompts=len(self.prompts), max_logit_difference=difference, same_text=same, near_ties=near)

    def _near(self, expected: list[torch.Tensor], model: Any, share: float, what: str) -> float:
        found = logits_of(model, self.tokenizer, self.prompts)
        largest = [(one - other).abs().max() for one, other in zip(expected, found, strict=True)]
        difference = float(torch.stack(largest).max())  # nan when any is: Python's max may pass it by
        allowed = share * max(1.0, self.spread)
        if not difference <= allowed:  # nan is no number that is near
            raise _differs(f"{what}: the logits differ by {difference:.2g}, and {allowed:.2g} is allowed")
        return difference

    def _margin(self, answer: Answer, text: str) -> float:
        """By how much the first token that differs in `text` was preferred; 0.0 past the end."""
        for place in range(len(answer.ids)):
            if not text.strip().startswith(
                self.tokenizer.decode(answer.ids[: place + 1], skip_special_tokens=True).strip()
            ):
                return answer.margins[place]
        return answer.margins[-1] if answer.margins else 0.0


def _differs(text: str) -> JobError:
    hint = "Nothing was published. The log has the numbers; export base and adapter apart, or tell the studio's makers."
    return JobError(text, hint)


def prompts(spec: ExportSpec, context: Context) -> list[str]:
    """Prompts from the rows that the adapter's own training held out; a fixed set where there are none, or too few."""
    found: list[str] = []
    if spec.training is not None:
        try:
            found = _held_out(spec.training, context)
        except Exception as error:  # rows that are gone, changed or out of reach stop no export
            context.spool.log(f"the adapter's own rows can't be asked ({error}); a fixed set of prompts is")
    return [*found, *FIXED][:PROMPTS]


def _held_out(training: FineTuningSpec, context: Context) -> list[str]:
    _, rows = sample_and_split(load_rows(training.dataset, context.token), training.sampling)
    chosen = [rows[place * len(rows) // PROMPTS] for place in range(PROMPTS)] if len(rows) > PROMPTS else list(rows)
    if not chosen:
        return []
    if training.chat_template:
        from gpu_runner.models import load_tokenizer

        return ask_in_turns(chosen, training.prompt, load_tokenizer(training.model, context.token)).prompts
    return ask(chosen, training.prompt).prompts


def fit(model: Any, tokenizer: Any, prompt: str) -> str:
    """The prompt, its end when it is longer than the model has room for."""
    room = (getattr(model.config, "max_position_embeddings", None) or 1 << 30) - NEW_TOKENS
    limit = max(1, min(LONGEST, room) - 8)  # a text that is cut may take some tokens more
    ids = tokenizer(prompt)["input_ids"]
    return prompt if len(ids) <= limit else str(tokenizer.decode(ids[-limit:], skip_special_tokens=True))


def logits_of(model: Any, tokenizer: Any, asked: Sequence[str]) -> list[torch.Tensor]:
    """The logits at the last tokens of every prompt, in fp32."""
    found = []
    with torch.inference_mode():
        for prompt in asked:
            logits = model(input_ids=_ids(model, tokenizer, prompt)).logits[0, -POSITIONS:]
            found.append(logits.float().cpu())
    return found


def sums_of(model: Any) -> dict[str, int]:
    """name -> the sum of the bits of a model's weights in half precision, read as numbers."""
    halves = {name: each.detach() for name, each in model.named_parameters() if each.element_size() == 2}
    return {name: int(each.view(torch.int16).sum(dtype=torch.int64)) for name, each in halves.items()}


def greedy(model: Any, tokenizer: Any, prompt: str, settings: dict[str, Any], marks: Marks) -> Answer:
    """The greedy answer to one prompt."""
    ids = _ids(model, tokenizer, prompt)
    special = {"pad_token_id": marks.pad, "eos_token_id": list(marks.eos), "bos_token_id": marks.bos}
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            return_dict_in_generate=True,
            output_scores=True,
            **settings,
            **special,
        )
    new = out.sequences[0, ids.shape[1] :].tolist()
    best = [scores[0].float().topk(2).values for scores in out.scores]
    return Answer(new, tokenizer.decode(new, skip_special_tokens=True), [float(two[0] - two[1]) for two in best])


def opened_directory(model: Any, tokenizer: Any, generation: dict[str, Any]) -> Opened:
    """A model that was loaded from a directory, asked by our own code."""
    settings, marks = _settings(generation), marks_of(model, tokenizer)

    def answer(prompt: str, new: int) -> str:
        return greedy(model, tokenizer, prompt, {**settings, "max_new_tokens": new}, marks).text

    return Opened(model, tokenizer, answer)


def _settings(generation: dict[str, Any]) -> dict[str, Any]:
    """The generation config, greedy and short: what it says of repetition stays."""
    kept = {name: value for name, value in generation.items() if name in KEPT}
    return options_of({**kept, "do_sample": False, "num_beams": 1, "max_new_tokens": NEW_TOKENS})


def _ids(model: Any, tokenizer: Any, prompt: str) -> torch.Tensor:
    """(1, tokens), as everyone who knows only the text makes them."""
    return torch.tensor([tokenizer(prompt)["input_ids"]], device=model.device)
