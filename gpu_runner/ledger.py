"""An evaluation's answers in MLflow by the call that it supports for them: figures, and a table with every row's scores.

The answers are there already and so are their scores: nothing is asked or reckoned again, no metric of MLflow's own is used
(some would fetch data from the network), and doing it twice leaves each figure and each row once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gpu_runner.runs import Run, key

TABLE = "eval_results_table.json"  # MLflow's own name
SHOWN = ("row", "prompt", "expected", "answer", "stopped_by_eos", "new_tokens", "seconds")


def write(
    uri: str,
    run: Run,
    lines: Sequence[Mapping[str, Any]],
    values: Mapping[str, float | None],
    better: Mapping[str, bool],
) -> None:
    """Write the table, and those figures that rows have scores of; nothing when the run has its table. Raises what the store does.

    `better` tells of a metric whether higher is better.
    """
    if run.has_artifact(TABLE):
        return
    import mlflow
    import pandas

    logging.getLogger("mlflow.models.evaluation").setLevel(logging.WARNING)
    metrics = [
        mlflow.metrics.make_metric(
            eval_fn=_told([line.get("scores", {}).get(name) for line in lines], name, None if run.has(name) else value),
            greater_is_better=better.get(name, True),
            name=key(name),
        )
        for name, value in values.items()
        if any(name in line.get("scores", {}) for line in lines)
    ]
    frame = pandas.DataFrame([{**_features(line), **{name: line.get(name) for name in SHOWN}} for line in lines])
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=run.id):
        mlflow.models.evaluate(
            data=frame, targets="expected", predictions="answer", extra_metrics=metrics, evaluators="default"
        )


def _told(scores: list[Any], name: str, value: float | None) -> Callable[..., Any]:
    """A metric's function that answers what is known: each row's score, and the figure of all unless the run has it."""

    def told(predictions: Any, targets: Any, metrics: Any) -> Any:
        from mlflow.metrics import MetricValue

        return MetricValue(scores=scores, aggregate_results={} if value is None else {key(name): value})

    return told


def _features(line: Mapping[str, Any]) -> dict[str, Any]:
    """Selected columns, under names that are no others' of the table; what is no plain value as JSON."""
    given = line.get("features") or {}
    return {
        f"features.{name}": each if isinstance(each, str | int | float | None) else json.dumps(each, default=str)
        for name, each in given.items()
    }
