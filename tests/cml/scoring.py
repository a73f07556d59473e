"""A pod that keeps the contract of an evaluation's part and asks no model: the script of a template.

What it does is in the project's scoring.json, which it reads again at each row, by the combination's id: rows (how many, 6
without it), right (of these), hold (stay at this row), die (so many pods end without a word at their first row), fail, deaf.
Who began which part is added to begun.txt in the attempt's directory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from core.spec import EvaluationSpec
from gpu_runner.answers import text_of
from gpu_runner.child import Context
from gpu_runner.cml.pod import Task, prepared
from gpu_runner.files import read_json, write_json
from gpu_runner.launch import Launch, enter
from gpu_runner.spool import Spool

SCRIPT = "from tests.cml.scoring import main\nmain()\n"
ROWS = 6
PLAN = "scoring.json"


def plan(project: Path, **said: Any) -> None:
    """Say what pods do from now on, by ids whose dashes are underscores."""
    write_json(project / PLAN, {name.replace("_", "-"): each for name, each in said.items()})


def told(id: str) -> dict[str, Any]:
    return {"rows": ROWS, "right": 3, **((read_json(Path(PLAN)) or {}).get(id) or {})}


def lines(rows: int, right: int) -> list[dict[str, Any]]:
    """Answers, the first so many of them right."""
    return [
        {
            "row": row, "prompt": f"p{row}", "expected": "a", "answer": "a" if row < right else "b",
            "correct": row < right, "stopped_by_eos": True, "new_tokens": 1, "seconds": 0.1, "expected_tokens": None,
            "features": {}, "scores": {"exact_match": float(row < right)},
        }
        for row in range(rows)
    ]  # fmt: skip


def main() -> None:
    """Be the pod that the environment tells."""
    task = Task.told()
    launch = prepared(task)
    if not isinstance(launch, Launch):
        sys.exit(launch)
    enter(launch)
    context = Context(task.files.directory, Spool(task.files.spool), part=task.part)
    spec = EvaluationSpec.model_validate_json(task.files.spec.read_bytes())
    asked = [each.job_id for each in spec.combinations if context.alone in (None, each.job_id)]
    with (task.files.directory / "begun.txt").open("a") as begun:
        begun.write(f"{context.alone}\n")
    _end(context, _score(context, asked[0]))


def _score(context: Context, id: str) -> str:
    spool, what = context.spool, told(id)
    spool.write("started", pid=os.getpid(), total_steps=what["rows"], details={"rows": what["rows"]})
    spool.write("scored", job_id=id, status="running")
    spool.warn("told by all")
    for row in range(what["rows"]):
        while True:
            what = told(id)
            if (ordered := _ordered(context, id)) and not what.get("deaf"):
                if ordered == "cancelled":
                    spool.write("scored", job_id=id, status="cancelled")
                return ordered
            if context.part is not None and context.part // 3 < what.get("die", 0):
                os._exit(1)
            if row != what.get("hold"):
                break
            time.sleep(0.02)
        spool.write("progress", step=row + 1, total_steps=what["rows"])
    if what.get("fail"):
        spool.write("scored", job_id=id, status="failed", error=what["fail"])
        return "failed"
    made = lines(what["rows"], what["right"])
    path = context.directory / f"answers-{id}.jsonl"
    path.write_text(text_of(made))
    values = {"exact_match": what["right"] / what["rows"]}
    spool.write(
        "scored", job_id=id, status="succeeded", values=values, rows=what["rows"], answers=context.relative(path),
        marks={"lower_is_better": [], "tasks": None},
    )  # fmt: skip
    spool.log(f"after {id}")
    return "succeeded"


def _ordered(context: Context, id: str) -> str | None:
    control = read_json(context.files.control) or {}
    if control.get("order") == "pause":
        return "paused"
    return "cancelled" if control.get("order") == "cancel" or id in control.get("cancelled", []) else None


def _end(context: Context, outcome: str) -> None:
    error = {"kind": "user_error", "message": "as planned"} if outcome == "failed" else None
    context.spool.write("finished", outcome=outcome, error=error, summary={})
    code = 1 if outcome == "failed" else 0
    context.files.exit.write_text(json.dumps({"outcome": outcome, "code": code}))
    sys.exit(code)
