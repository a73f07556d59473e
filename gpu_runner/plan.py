"""What would come of a training, found out without a model: rows in tokens, batches, steps (docs/preflight.md).

It runs on a runner's warm process, since the tokenizer and the training's own code live there, and takes seconds: of a
large dataset it looks at as many rows as there is time for, drawn evenly, and tells how many.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from transformers.utils import logging as transformers_logging
from trl.data_utils import pack_dataset

from core.events import Finished
from core.spec import FineTuningSpec, PlanSpec
from gpu_runner.batches import Workload, workload
from gpu_runner.chat import Writer
from gpu_runner.child import Context
from gpu_runner.data import Row, load_rows, sample_and_split
from gpu_runner.device import cpu_has_bf16
from gpu_runner.failures import Cancelled
from gpu_runner.measure import shape_of
from gpu_runner.models import load_tokenizer
from gpu_runner.tokens import IGNORED, Tokenized, encoded, nothing_left, set_padding

SECONDS = 4.0  # that rows are written and counted for
LEAST = 200  # rows that are looked at however long it takes
PART = 50  # rows between looks at the clock
BINS = 12
EXAMPLES = 3
SHOWN = 400  # tokens of an example
PROBE = 1024  # rows and columns of the matrices that a processor is tried with


def plan(spec: PlanSpec, context: Context) -> Finished:
    """Look at the rows as the training would read them. Raises JobError for what it would fail with, Cancelled."""
    began, asked = time.monotonic(), spec.request
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    context.spool.write("started", pid=os.getpid(), device="cpu")

    # ─── rows and tokens ──────────────────────────────────────────────────────────────────────────
    context.spool.phase("reading the rows")
    train_rows, eval_rows = sample_and_split(load_rows(asked.dataset, context.token), asked.sampling)
    tokenizer = load_tokenizer(asked.model, context.token)
    notes: list[str] = []
    set_padding(tokenizer, asked.training_arguments.get("pad_token"), notes.append)
    context.spool.phase("counting tokens")
    looked, seen = _look(asked, tokenizer, train_rows, context)

    # ─── batches and steps ────────────────────────────────────────────────────────────────────────
    lengths, learned = [len(ids) for ids in seen.input_ids], [_learned(labels) for labels in seen.labels]
    share = len(train_rows) / looked
    work = _work(asked, lengths, learned, share)

    # ─── what it computes with ────────────────────────────────────────────────────────────────────
    shape = shape_of(asked.model, context.token)
    summary = {
        "rows": len(train_rows) - round(seen.dropped * share),
        "held_out": len(eval_rows),
        "looked_at": looked,
        "tokens": round(seen.tokens * share),
        "learned": round(sum(learned) * share),
        "longest": max(lengths),
        "cut": round(seen.cut * share),
        "dropped": round(seen.dropped * share),
        "histogram": histogram(lengths, share),
        "examples": examples(seen, tokenizer),
        **vars(work),
        "notes": notes,
        "shape": None if shape is None else shape.model_dump(),
        "bf16": cpu_has_bf16(),
        "rate": rate(asked.resources.cpus),
        "took": round(time.monotonic() - began, 2),
    }
    return Finished(at=time.time(), outcome="succeeded", summary=summary)


def _look(asked: FineTuningSpec, tokenizer: Any, rows: Sequence[Row], context: Context) -> tuple[int, Tokenized]:
    """(how many rows were looked at, those in tokens), in an order that tells of all of them when time runs out."""
    writer = Writer(tokenizer, asked.day) if asked.chat_template else None
    order = random.Random(0).sample(range(len(rows)), len(rows)) if len(rows) > LEAST else range(len(rows))
    seen, until, looked = Tokenized(), time.monotonic() + SECONDS, 0
    made = encoded([rows[place] for place in order], asked.prompt, tokenizer, asked.loss_on, writer)
    for ids, labels in made:
        seen.add(ids, labels, asked.max_length)
        looked += 1
        if looked % PART == 0:
            if context.order() == "cancel":
                raise Cancelled
            if looked >= LEAST and time.monotonic() > until:
                break
    if not seen.input_ids:
        raise nothing_left(asked.max_length)
    return looked, seen


def _work(asked: FineTuningSpec, lengths: list[int], learned: list[int], share: float) -> Workload:
    """The batches of all rows: those that were looked at stand for as many like them."""
    if asked.packing:
        lengths, learned = _packed(lengths, learned, asked.max_length)
    whole = max(1, round(len(lengths) * share))
    times = whole // len(lengths) + 1
    return workload(
        (lengths * times)[:whole],
        asked.training_arguments,
        packing=asked.packing,
        learned=(learned * times)[:whole],
        grouped=asked.length_grouped and not asked.packing,
        workers=asked.resources.workers,
    )


def _packed(lengths: list[int], learned: list[int], max_length: int) -> tuple[list[int], list[int]]:
    """(lengths, learned tokens) of the sequences that TRL packs such rows into."""
    marks = [[1] * count + [0] * (length - count) for length, count in zip(lengths, learned, strict=True)]
    packed = pack_dataset(Dataset.from_dict({"input_ids": marks}), max_length, "bfd")["input_ids"]
    return [len(each) for each in packed], [sum(each) for each in packed]


def _learned(labels: list[int]) -> int:
    return sum(label != IGNORED for label in labels)


def histogram(lengths: Sequence[int], share: float = 1.0) -> list[dict[str, int]]:
    """At most BINS ranges of equal width, the last one with its end, and the rows in each; `share` rows stand behind each."""
    low, high = min(lengths), max(lengths) + 1
    width = max(1, -(-(high - low) // BINS))
    bins = []
    for start in range(low, high, width):
        rows = sum(start <= length < start + width for length in lengths)
        bins.append({"low": start, "high": min(start + width, high), "rows": round(rows * share)})
    return bins


def examples(seen: Tokenized, tokenizer: Any) -> list[list[tuple[str, bool, bool]]]:
    """The first rows and the longest one, token by token: (text, whether it is learned, whether it is the EOS)."""
    places = list(range(min(EXAMPLES - 1, len(seen.input_ids))))
    longest = max(range(len(seen.input_ids)), key=lambda place: len(seen.input_ids[place]))
    if longest not in places:
        places.append(longest)
    return [_example(seen.input_ids[place], seen.labels[place], tokenizer) for place in places]


def _example(ids: list[int], labels: list[int], tokenizer: Any) -> list[tuple[str, bool, bool]]:
    """Of a long row its beginning and its end, which tells whether it is cut."""
    texts = pieces(ids, tokenizer)
    rows = [
        (text, label != IGNORED, id == tokenizer.eos_token_id)
        for text, id, label in zip(texts, ids, labels, strict=True)
    ]
    if len(rows) <= SHOWN:
        return rows
    half = SHOWN // 2
    return [*rows[:half], (f" … {len(rows) - 2 * half} tokens … ", False, False), *rows[-half:]]


def pieces(ids: list[int], tokenizer: Any) -> list[str]:
    """The text of each token as it reads behind those before it; a character of several tokens stands with its last one."""
    texts, window = [], 8  # tokens that are decoded before the one in question: for blanks and parts of characters
    for place in range(len(ids)):
        before = tokenizer.decode(ids[max(0, place - window) : place]).rstrip("\ufffd")
        now = tokenizer.decode(ids[max(0, place - window) : place + 1])
        whole = now if place == len(ids) - 1 else now.rstrip("\ufffd")
        texts.append(whole[len(before) :] if whole.startswith(before) else tokenizer.decode([ids[place]]))
    return texts


def rate(cpus: int) -> float:
    """Operations a second that so many of this host's cores do now, in products of matrices."""
    torch.set_num_threads(max(1, min(cpus, os.cpu_count() or 1)))
    one = torch.ones(PROBE, PROBE)
    one.mm(one)
    began, done = time.perf_counter(), 0
    while done < 2 or time.perf_counter() - began < 0.1:
        one.mm(one)
        done += 1
    return 2.0 * PROBE**3 * done / (time.perf_counter() - began)
