"""An evaluation batch, from top to bottom: every base model is loaded once, its adapters are swapped in place."""

from __future__ import annotations

import gc
import json
import os
import random
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import groupby
from typing import Any

import torch
from peft import PeftModel
from transformers.utils import logging as transformers_logging

from core.events import Finished
from core.spec import Combination, EvaluationSpec
from core.template import render
from gpu_runner.checkpoint import publish_file
from gpu_runner.child import Context
from gpu_runner.data import HELD_OUT, Row, load_rows, sample_and_split
from gpu_runner.device import Device, choose_device, cpu_has_bf16
from gpu_runner.failures import Cancelled, JobError, failure_of
from gpu_runner.generate import Generated, generate
from gpu_runner.models import adapter_path, load_model, load_tokenizer
from gpu_runner.tokens import set_padding


def evaluate(spec: EvaluationSpec, context: Context) -> Finished:
    """Run the batch; a combination that fails fails alone. Raises JobError when none can be run, Cancelled."""
    spool, began = context.spool, time.monotonic()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(spec.resources.cpus)
    device = choose_device(spec.resources.gpus, {"bf16": spec.resources.gpus > 0 or cpu_has_bf16()}, spool.warn)

    # ─── rows ─────────────────────────────────────────────────────────────────────────────────────
    spool.phase("reading the rows")
    rows = choose_rows(spec, context)
    prompts = [render(spec.prompt.input_template, row) for row in rows]
    expected = [render(spec.prompt.completion_template, row) for row in rows]
    total = len(rows) * len(spec.combinations)
    details = {"rows": len(rows), "combinations": len(spec.combinations), "precision": device.precision}
    spool.write(
        "started",
        pid=os.getpid(),
        device=device.name,
        total_steps=total,
        versions={"transformers": version("transformers")},
        details=details,
    )

    # ─── combinations, those of a base model together ─────────────────────────────────────────────
    progress = Progress(context, total)
    succeeded = 0
    for _, same in groupby(
        sorted(spec.combinations, key=lambda each: (each.model.id, each.run_number)), key=lambda each: each.model.id
    ):
        group = list(same)
        for combination, model, tokenizer in _models(group, spec, context, device):
            succeeded += _score(combination, model, tokenizer, spec, context, device, rows, prompts, expected, progress)
        gc.collect()
    if not succeeded:
        raise JobError("no combination could be evaluated", "The log tells why each one failed.")
    return Finished(
        at=time.time(),
        outcome="succeeded",
        summary={"rows": len(rows), "seconds": round(time.monotonic() - began, 2), "evaluated": succeeded},
    )


def choose_rows(spec: EvaluationSpec, context: Context) -> list[Row]:
    """The held-out rows of the adapter's own job, or all rows of another dataset (its held-out split when it has one); then the fraction."""
    splits = load_rows(spec.dataset, context.token)
    if spec.sampling is not None:
        _, rows = sample_and_split(splits, spec.sampling)
    else:
        rows = list(splits[next((name for name in reversed(HELD_OUT) if name in splits), "train")])
    if not rows:
        raise JobError(
            "there are no held-out rows to evaluate on",
            "Choose another dataset, or train with train_test_split below 1.",
        )
    if spec.fraction < 1:
        kept = sorted(random.Random(spec.seed).sample(range(len(rows)), max(1, round(len(rows) * spec.fraction))))
        rows = [rows[index] for index in kept]
    return rows


def _models(
    group: list[Combination], spec: EvaluationSpec, context: Context, device: Device
) -> Iterator[tuple[Combination, Any, Any]]:
    """Each combination with its model: one load of the base, adapters swapped in place. One that can't be loaded is failed."""
    first = group[0]
    context.spool.phase(f"loading {first.model.name}")
    tokenizer = load_tokenizer(first.model, context.token)
    set_padding(tokenizer)
    base = load_model(first.model, device, spec.adapter_bnb or spec.model_bnb, context.token).eval()
    for combination in group:
        if combination.job_id in context.left_out():
            continue
        if combination.adapter is None:
            yield combination, base, tokenizer
            continue
        try:
            adapted = PeftModel.from_pretrained(base, adapter_path(combination.adapter, context.token)).eval()
        except (OSError, ValueError, RuntimeError, JobError) as error:
            _fail(combination, error, context)
            continue
        yield combination, adapted, tokenizer
        base = adapted.unload()


def _score(
    combination: Combination,
    model: Any,
    tokenizer: Any,
    spec: EvaluationSpec,
    context: Context,
    device: Device,
    rows: list[Row],
    prompts: list[str],
    expected: list[str],
    progress: Progress,
) -> int:
    """Answer and score one combination; 1 when it succeeded."""
    name = combination.adapter.name if combination.adapter else f"{combination.model.name} (base)"
    context.spool.phase(f"evaluating {name}")
    context.spool.write("scored", job_id=combination.job_id, status="running")
    began = time.monotonic()
    try:
        torch.manual_seed(spec.seed)
        answers = generate(
            model, tokenizer, prompts, spec.generation, device, on_batch=lambda done: progress.batch(combination, done)
        )
        values = scores(answers, expected, time.monotonic() - began)
        path = _write_answers(combination, spec, context, rows, prompts, expected, answers)
    except Cancelled:
        context.spool.write("scored", job_id=combination.job_id, status="cancelled")
        raise
    except LeftOut:
        context.spool.write("scored", job_id=combination.job_id, status="cancelled")
        return 0
    except Exception as error:
        _fail(combination, error, context)
        return 0
    finally:
        progress.end(len(prompts))
    context.spool.write(
        "scored", job_id=combination.job_id, status="succeeded", values=values, rows=len(rows), answers=path
    )
    context.spool.log(f"{name}: exact match {values['exact_match']:.1%} of {len(rows)} rows")
    return 1


def scores(answers: list[Generated], expected: list[str], seconds: float) -> dict[str, float]:
    """Shares in 0..1 (exact_match after stripping, stopped_by_eos), mean new tokens, and tokens a second."""
    count = max(1, len(answers))
    tokens = sum(each.new_tokens for each in answers)
    return {
        "exact_match": sum(each.text.strip() == text.strip() for each, text in zip(answers, expected, strict=True))
        / count,
        "stopped_by_eos": sum(each.stopped_by_eos for each in answers) / count,
        "new_tokens": tokens / count,
        "tokens_per_second": round(tokens / max(1e-9, seconds), 2),
    }


def _write_answers(
    combination: Combination,
    spec: EvaluationSpec,
    context: Context,
    rows: list[Row],
    prompts: list[str],
    expected: list[str],
    answers: list[Generated],
) -> str:
    lines = [
        json.dumps(
            {
                "row": index,
                "prompt": prompts[index],
                "expected": expected[index].strip(),
                "answer": answer.text.strip(),
                "correct": answer.text.strip() == expected[index].strip(),
                "stopped_by_eos": answer.stopped_by_eos,
                "new_tokens": answer.new_tokens,
                "features": {name: rows[index].get(name) for name in spec.selected_features},
            },
            ensure_ascii=False,
            default=str,
        )
        for index, answer in enumerate(answers)
    ]
    path = context.directory / f"answers-{combination.job_id}.jsonl"
    hash = publish_file(path, "\n".join(lines) + "\n")
    relative = context.relative(path)
    context.spool.write("artifact", kind="answers", path=relative, job_id=combination.job_id, files={path.name: hash})
    return relative


def _fail(combination: Combination, error: Exception, context: Context) -> None:
    failure = failure_of(error)
    context.spool.log(failure.traceback, level="error")
    context.spool.write(
        "scored", job_id=combination.job_id, status="failed", error=f"{failure.message}. {failure.hint}".strip()
    )


class LeftOut(Exception):
    """This combination was cancelled; the others go on."""


class Progress:
    """Rows answered so far, of all combinations; the place where orders are obeyed."""

    def __init__(self, context: Context, total: int) -> None:
        self.context, self.total = context, total
        self.before, self.began = 0, time.monotonic()

    def batch(self, combination: Combination, done: int) -> None:
        """A batch of a combination is answered. Raises Cancelled or LeftOut when that was asked for."""
        rows = self.before + done
        rate = (time.monotonic() - self.began) / max(1, rows)
        self.context.spool.write(
            "progress", step=rows, total_steps=self.total, eta_seconds=round(rate * (self.total - rows), 1)
        )
        if self.context.order() is not None:
            raise Cancelled
        if combination.job_id in self.context.left_out():
            raise LeftOut

    def end(self, rows: int) -> None:
        """A combination is over."""
        self.before += rows
