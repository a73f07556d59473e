"""Tasks of lm-evaluation-harness, on the model in memory. The harness is no part of the studio: a runner has it or not.

It tells a standard error of each figure and no rows: intervals and the comparison with the baseline come from those, as of
samples that have nothing to do with each other. They are the same questions, so a difference may be surer than it is told.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from core.events import Statistic
from gpu_runner.failures import Cancelled, LeftOut, Paused

BATCH = 16
WIDTH = NormalDist().inv_cdf(0.975)  # standard errors on each side of a 95 % interval


STOPS = (Cancelled, Paused, LeftOut)


class NoTasks(Exception):
    """The tasks came to nothing; the message tells why."""


@dataclass(frozen=True)
class Tasks:
    """Figures by TASK.METRIC, the standard errors of those that have one, and whether higher is better."""

    values: dict[str, float]
    errors: dict[str, float]
    better: dict[str, bool]


def evaluate(
    tasks: Sequence[str], model: Any, tokenizer: Any, *, seed: int, templated: bool, look: Callable[[], None]
) -> Tasks:
    """Evaluate the model on the tasks; `look` is called before each batch, and may raise to stop. Raises NoTasks."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    class Watched(HFLM):  # type: ignore[misc]
        def _model_call(self, *args: Any, **named: Any) -> Any:
            look()
            return super()._model_call(*args, **named)

        def _model_generate(self, *args: Any, **named: Any) -> Any:
            look()
            return super()._model_generate(*args, **named)

    logging.getLogger("lm_eval").setLevel(logging.WARNING)
    seeds = dict.fromkeys(("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed"), seed)
    try:
        told = lm_eval.simple_evaluate(
            model=Watched(pretrained=model, tokenizer=tokenizer, batch_size=BATCH),
            tasks=list(tasks),
            apply_chat_template=templated,
            log_samples=False,
            confirm_run_unsafe_code=False,
            **seeds,
        )
    except STOPS:
        raise
    except Exception as error:  # whatever the harness, its tasks and the Hub raise
        reason = str(error).partition("\n")[0]
        raise NoTasks(f"{type(error).__name__}: {reason}") from error
    return _figures(told or {})


def _figures(told: Mapping[str, Any]) -> Tasks:
    """What the harness tells, {task: {"acc,none": 0.5, "acc_stderr,none": 0.1}}, by names of ours."""
    values, errors, better = dict[str, float](), dict[str, float](), dict[str, bool]()
    for task, found in told.get("results", {}).items():
        for named, value in found.items():
            metric, _, used = named.partition(",")
            if not used or not isinstance(value, int | float) or not math.isfinite(value):
                continue
            name = f"{task}.{metric.removesuffix('_stderr')}" + ("" if used == "none" else f".{used}")
            if metric.endswith("_stderr"):
                errors[name] = float(value)
            else:
                values[name] = float(value)
                better[name] = bool(told.get("higher_is_better", {}).get(task, {}).get(metric, True))
    return Tasks(values, errors, better)


def statistics(own: Tasks, values: Mapping[str, float], known: Mapping[str, Statistic]) -> dict[str, Statistic]:
    """How sure the figures are, and how they differ from the baseline's `values`, of which `known` tells how sure they are."""
    made = {}
    for name, value in own.values.items():
        error = own.errors.get(name)
        sure: dict[str, Any] = {"higher_is_better": own.better[name]}
        if error is not None:
            sure |= {"low": value - WIDTH * error, "high": value + WIDTH * error}
        if name in values:
            sure |= _difference(value - values[name], error, known.get(name))
        made[name] = Statistic(**sure)
    return made


def _difference(delta: float, own: float | None, baseline: Statistic | None) -> dict[str, float]:
    """The difference, and as of two independent samples its interval and two-sided p."""
    if own is None or baseline is None or baseline.low is None or baseline.high is None:
        return {"delta": delta}
    error = math.hypot(own, (baseline.high - baseline.low) / (2 * WIDTH))
    chance = 2 * NormalDist().cdf(-abs(delta) / error) if error else float(delta == 0)
    return {"delta": delta, "delta_low": delta - WIDTH * error, "delta_high": delta + WIDTH * error, "p": chance}
