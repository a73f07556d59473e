"""An evaluation batch, from top to bottom: every base model is loaded once, its adapters are swapped in place."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import groupby
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from core.events import Finished
from core.spec import Combination, EvaluationSpec, ModelSource
from gpu_runner.answers import read_lines, text_of
from gpu_runner.baseline import Baseline
from gpu_runner.child import Context
from gpu_runner.data import Row
from gpu_runner.device import Device, Warn, choose_device, cpu_has_bf16
from gpu_runner.failures import Cancelled, JobError, LeftOut, Paused, failure_of
from gpu_runner.folding import folded
from gpu_runner.generate import Generated, generate, losses, marks_of
from gpu_runner.grading import Grader
from gpu_runner.keeping import keep, keep_results, nothing, scored_before, scored_in
from gpu_runner.models import stored_in_half
from gpu_runner.reading import Text
from gpu_runner.scoring import Questions, answer_lines, ask, ask_in_turns
from gpu_runner.swapping import Base
from gpu_runner.taught import texts_of
from gpu_runner.unseen import choose_rows

LIBRARIES = ("torch", "transformers", "peft")


def evaluate(spec: EvaluationSpec, context: Context) -> Finished:
    """Run the batch; a combination that fails fails alone. Raises JobError when all fail, Cancelled when none is left.

    Where combinations run apart, it is one of them that runs (`context.alone`): it is compared with nothing, and the
    results are written by who puts the parts together.
    """
    spool, alone, began = context.spool, context.alone, time.monotonic()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(spec.resources.cpus)

    # ─── rows ─────────────────────────────────────────────────────────────────────────────────────
    spool.phase("reading the rows")
    rows = choose_rows(spec, context)
    asked = [each for each in spec.combinations if alone in (None, each.job_id)]
    plain = ask(rows, spec.prompt) if not all(each.chat_template for each in asked) else None
    work = Work(spec, context, rows, asked, plain)
    first = spec.baseline if spec.baseline in asked else asked[0]
    device = work.choose_device(first.model)
    spool.write(
        "started",
        pid=os.getpid(),
        device=device.name,
        total_steps=work.total,
        versions={name: version(name) for name in LIBRARIES},
        details={"rows": len(rows), "combinations": len(asked), "precision": device.precision},
    )

    # ─── combinations, those of a base model together ─────────────────────────────────────────────
    earlier = scored_before(context.directory) if alone is None else {}
    work.take_over(earlier | (scored_in(context.files.spool, context.root) if context.again else {}))
    try:
        for group in _by_model(asked, first):
            _score_all(group, work)
            gc.collect()
            torch.cuda.empty_cache()
    except Paused:
        return Finished(at=time.time(), outcome="paused")
    work.compare_anew()

    # ─── what came of it ──────────────────────────────────────────────────────────────────────────
    if not work.succeeded:
        if work.failures:
            raise JobError(
                f"no combination could be evaluated: {work.failures[0]}", "The log tells why each one failed."
            )
        raise Cancelled
    seconds = round(time.monotonic() - began, 2)
    summary: dict[str, Any] = {
        "rows": len(rows),
        "seconds": seconds,
        "evaluated": len(work.succeeded),
        "failed": len(work.failures),
    }
    if alone is None:
        summary["results"] = keep_results(context, spec, work.succeeded)
    return Finished(at=time.time(), outcome="succeeded", summary=summary)


def device_for(model: ModelSource, gpus: int, token: str | None, warn: Warn, *, quantised: bool = False) -> Device:
    """Where a model is asked, and in which precision: on a GPU the half precision that it computes fastest. On a processor the
    model's own: there half precision would save more time than anything, and change answers that are near ties.
    """
    if gpus > 0 and torch.cuda.is_available():
        asked = {"bf16": True} if torch.cuda.is_bf16_supported() else {"fp16": True}
    else:
        half = not quantised and cpu_has_bf16() and stored_in_half(model, token)
        asked = {"bf16": True} if half else {}
    return choose_device(gpus, asked, warn)


@dataclass
class Work:
    """A running batch: what is asked, how far it is, what became of the combinations."""

    spec: EvaluationSpec
    context: Context
    rows: Sequence[Row]
    combinations: Sequence[Combination]  # those that are scored here
    plain: Questions | None  # the questions of all combinations that no chat template asks
    device: Device = field(init=False)  # the model's that is asked now
    grader: Grader = field(init=False)
    baseline: Baseline = field(init=False)
    done: int = 0  # rows of combinations that are over
    answered: int = 0  # rows that this attempt answered
    succeeded: dict[str, dict[str, Any]] = field(default_factory=dict)  # what was told of them, by id
    failures: list[str] = field(default_factory=list)
    taken: list[Combination] = field(default_factory=list)  # what earlier attempts had scored
    told: set[str] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.grader = Grader(self.spec, self.context, self.warn)
        self.baseline = Baseline(self.spec, self.warn)

    def choose_device(self, model: ModelSource) -> Device:
        """Where this base model is asked, from now on."""
        bnb, gpus = self.spec.adapter_bnb or self.spec.model_bnb, self.spec.resources.gpus
        self.device = device_for(model, gpus, self.context.token, self.warn, quantised=bnb is not None)
        return self.device

    @property
    def total(self) -> int:
        """Rows of all combinations."""
        return len(self.rows) * len(self.combinations)

    def questions(self, combination: Combination, tokenizer: Any) -> Questions:
        """The rows as this combination was taught to read them. Raises JobError."""
        if self.plain is None or combination.chat_template:
            return ask_in_turns(self.rows, self.spec.prompt, tokenizer)
        return self.plain

    def take_over(self, earlier: dict[str, dict[str, Any]]) -> None:
        """Count what an earlier attempt scored, and say it again: the studio may not have heard. What it asked of other rows is void."""
        earlier = {id: told for id, told in earlier.items() if told.get("rows") == len(self.rows)}
        for combination in self.combinations:
            if combination.job_id in earlier:
                self.say(combination, "succeeded", **earlier[combination.job_id])
                self.taken.append(combination)
                self.over()
        if (done := earlier.get(self.spec.baseline.job_id)) is not None:
            self.baseline.remember(done, read_lines(self.context.root / str(done["answers"])))

    def compare_anew(self) -> None:
        """What was scored while there was no baseline is compared with the one that this attempt has scored."""
        for combination in self.taken:
            told = self.succeeded[combination.job_id]
            answers = self.context.root / str(told["answers"])
            anew = self.baseline.anew(combination, told, partial(read_lines, answers), nothing)
            if anew is not None:
                self.say(combination, "succeeded", **{**told, "statistics": anew})

    def look(self, combination: Combination) -> None:
        """Obey. Raises Cancelled, Paused, or LeftOut when only this combination was cancelled."""
        order = self.context.order()
        if order == "cancel":
            raise Cancelled
        if order == "pause":
            raise Paused
        if combination.job_id in self.context.left_out():
            raise LeftOut

    def batch(self, combination: Combination, done: int, before: int) -> None:
        """`done` rows of a combination are answered; `before` rows this attempt had answered when it began."""
        self.answered = before + done
        rate = (time.monotonic() - self.began) / self.answered
        rows = self.done + done
        eta = round(rate * (self.total - rows), 1)
        self.context.spool.write("progress", step=rows, total_steps=self.total, eta_seconds=eta)
        self.look(combination)

    def over(self) -> None:
        """A combination is over, whatever became of it."""
        self.done += len(self.rows)
        self.context.spool.write("progress", step=self.done, total_steps=self.total)

    def warn(self, text: str) -> None:
        """A warning that all combinations share is told once."""
        if text not in self.told:
            self.told.add(text)
            self.context.spool.warn(text)

    def say(self, combination: Combination, status: str, **fields: Any) -> None:
        """What became of a combination."""
        self.context.spool.write("scored", job_id=combination.job_id, status=status, **fields)
        if status == "succeeded":
            self.succeeded[combination.job_id] = fields


def _by_model(combinations: Sequence[Combination], first: Combination) -> Iterator[list[Combination]]:
    """The combinations of each base model; the baseline is the first of all, as the others are compared with it."""

    def place(each: Combination) -> tuple[bool, str, bool, int]:
        return each.model.id != first.model.id, each.model.id, each.job_id != first.job_id, each.run_number

    ordered = sorted(combinations, key=place)
    for _, group in groupby(ordered, key=lambda each: each.model.id):
        yield list(group)


def _score_all(group: list[Combination], work: Work) -> None:
    """Score the combinations of one base model, which is let go with this call."""
    bnb = work.spec.adapter_bnb or work.spec.model_bnb
    model = group[0].model
    base = Base(model, work.choose_device(model), bnb, work.context.token)
    for combination in group:
        if combination.job_id in work.succeeded:
            continue
        try:
            work.look(combination)
            work.say(combination, "running")
            _score(combination, base, work)
        except LeftOut:
            work.say(combination, "cancelled")
        except Cancelled:
            work.say(combination, "cancelled")
            raise
        except Paused:
            raise
        except Exception as error:
            failure = failure_of(error)
            work.context.spool.log(f"{combination.called}: {failure.traceback}", level="error")
            work.failures.append(failure.message)
            work.say(combination, "failed", error=". ".join(filter(None, (failure.message, failure.hint))))
        work.over()


def _score(combination: Combination, base: Base, work: Work) -> None:
    """Answer every question and tell how many answers are right."""
    spec, context, look = work.spec, work.context, partial(work.look, combination)
    name = combination.adapter.name if combination.adapter else f"{combination.model.name} (base)"
    context.spool.phase(f"loading {name}")
    with base.wearing(combination.adapter) as model, folded(model, work.device):
        context.spool.phase(f"evaluating {name}")
        torch.manual_seed(spec.seed)
        questions = work.questions(combination, base.tokenizer)
        texts, lacking = texts_of(questions, spec.prompt, base.tokenizer, combination.loss_on)
        if texts is None:
            work.warn(f"loss and perplexity are left out: {lacking}")
        began, before = time.monotonic(), work.answered
        answers = generate(
            model,
            base.tokenizer,
            questions.prompts,
            spec.generation,
            work.device,
            templated=questions.templated,
            expected=texts,
            on_batch=lambda done: work.batch(combination, done, before),
            warn=work.warn,
        )
        took = time.monotonic() - began
        context.spool.phase(f"scoring {name}")
        lines = answer_lines(questions, answers, spec.selected_features)
        if texts is not None:
            odd = _put_losses(lines, answers, texts, model, base.tokenizer, look, work.device)
            if odd:
                work.warn(f"{name}: the loss of {odd} of {len(lines)} rows is no number (NaN or infinite) and left out")
        tasks = work.grader.tasks(combination, model, base.tokenizer, look)
    marks = work.grader.grade(combination, lines, questions.rows, took, tasks, work.device, look)
    told: dict[str, Any] = {"marks": marks.told()}
    if context.alone is None:
        sure = work.baseline.statistics(combination, marks, look)
        told = {"statistics": {metric: each.model_dump() for metric, each in sure.items()}}
    written = text_of(lines)
    path, digest = keep(context, f"answers-{combination.job_id}.jsonl", lambda: [written], len(written), look)
    answers_at = context.relative(path)
    context.spool.write(
        "artifact", kind="answers", path=answers_at, job_id=combination.job_id, files={path.name: digest}
    )
    values = {
        metric: each if each is not None and math.isfinite(each) else None for metric, each in marks.values.items()
    }
    work.say(combination, "succeeded", values=values, **told, rows=len(questions), answers=answers_at)
    context.spool.log(
        f"{combination.called}: {name}: exact match {marks.values['exact_match']:.1%} of {len(questions)} rows"
    )


def _put_losses(
    lines: list[dict[str, Any]],
    answers: Sequence[Generated],
    texts: Sequence[Text],
    model: Any,
    tokenizer: Any,
    look: Callable[[], None],
    device: Device,
) -> int:
    """The loss of each expected answer, a mean over its tokens: what answering has not told is read now. Of how many it is no number."""
    left = [place for place, each in enumerate(answers) if each.loss is None and texts[place].after]
    read = losses(model, [texts[place] for place in left], marks_of(model, tokenizer), device, look)
    found = {place: each.loss for place, each in enumerate(answers)} | dict(zip(left, read, strict=True))
    known = {place: loss for place, loss in found.items() if loss is not None and loss.tokens}
    for place, loss in known.items():
        if math.isfinite(loss.total):
            lines[place]["scores"]["loss"], lines[place]["expected_tokens"] = loss.mean, loss.tokens
    return sum(not math.isfinite(loss.total) for loss in known.values())
