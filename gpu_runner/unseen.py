"""The rows that an evaluation asks: held out of training, and learned by none of the models and adapters of the batch."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy

from core.paths import PathRefused, inside
from core.spec import EvaluationSpec, PromptSource, Sampling, Training
from core.splits import HELD_OUT, TRAIN
from gpu_runner import fingerprints
from gpu_runner.child import Context
from gpu_runner.data import Row, Splits, load_rows, sample_and_split
from gpu_runner.failures import JobError
from gpu_runner.fingerprints import Prints


def choose_rows(spec: EvaluationSpec, context: Context) -> list[Row]:
    """The held-out rows of the adapter's own job, or all rows of another dataset; of these the fraction, in their order.

    Another dataset that has a held-out split is asked that one. Rows that any training of the batch learned are left out
    wherever they come from, which is told. Raises JobError when there are no rows, and when it can't be told what was learned.
    """
    rows = candidates(load_rows(spec.dataset, context.token), spec.sampling)
    if not rows:
        hint = "Choose another dataset, or train with train_test_split below 1."
        raise JobError("there are no held-out rows to evaluate on", hint)
    rows = _unseen(rows, spec, context)
    if spec.fraction < 1:
        count = max(1, round(len(rows) * spec.fraction))
        rows = [rows[index] for index in sorted(random.Random(spec.seed).sample(range(len(rows)), count))]
    return rows


def candidates(splits: Splits, sampling: Sampling | None) -> list[Row]:
    """What may be asked of a dataset: the rows that a training held out, or those of a split that is held out by its name."""
    if sampling is not None:
        return sample_and_split(splits, sampling)[1]
    names = (*reversed(HELD_OUT), TRAIN, *splits)
    return list(splits[next(name for name in names if name in splits)])


def _unseen(rows: Sequence[Row], spec: EvaluationSpec, context: Context) -> list[Row]:
    """The rows that no training learned."""
    for name in spec.untold:
        context.spool.warn(f"{name} was not trained here: whether it has learned rows that it is asked can't be told")
    left = unlearned(rows, spec.prompt, spec.learned, context)
    if not left:
        raise JobError(
            f"none of the {len(rows)} rows can be asked: models or adapters of this batch learned all of them",
            "Evaluate on another dataset, or on adapters that were trained on the same part of this one.",
        )
    if len(left) < len(rows):
        text = f"{len(rows) - len(left)} of {len(rows)} rows are left out: a model or adapter of this batch learned rows like them"
        context.spool.warn(text)
    return left


def unlearned(rows: Sequence[Row], prompt: PromptSource, trainings: Sequence[Training], context: Context) -> list[Row]:
    """The rows that none of the trainings learned, nor any that the prompts write alike. Raises JobError when that can't be told."""
    if not trainings:
        return list(rows)
    prompts = [prompt, *(each.prompt for each in trainings)]
    seen = numpy.unique(numpy.concatenate([_learned(each, context) for each in trainings]))
    return [row for row in rows if not _among(fingerprints.of_row(row, prompts), seen)]


def _learned(training: Training, context: Context) -> Prints:
    """What a training learned, as it wrote down itself; of one that did not, by reading its rows again. Raises JobError."""
    if (kept := _noted(training, context)) is not None:
        return kept
    try:
        learned, _ = sample_and_split(load_rows(training.dataset, context.token), training.sampling)
    except JobError as error:
        raise JobError(
            f"it can't be told which rows job {training.job_id} learned, whose result is in this batch: {error}",
            "Put its data back as they were, or leave out what it trained.",
        ) from error
    return fingerprints.of_rows(learned, training.prompt)


def _noted(training: Training, context: Context) -> Prints | None:
    try:
        return fingerprints.read(inside(context.root, training.rows))
    except PathRefused:
        return None  # the id of an imported job may be any text


def _among(prints: set[int], seen: Prints) -> bool:
    """Whether one of the fingerprints is among those, which are in order."""
    asked = numpy.array(sorted(prints), dtype=numpy.uint64)
    places = numpy.searchsorted(seen, asked)
    inside = places < len(seen)
    return bool((seen[places[inside]] == asked[inside]).any())
