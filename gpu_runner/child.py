"""One job, one process: reads `spec.json`, appends to the spool, leaves `exit.json`. It knows no queue, database or MLflow.

`launch.py` has made the session, the lock, the log and the environment before.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.events import Failure, Finished
from core.spec import SPEC, ComparisonSpec, EndpointSpec, EvaluationSpec, ExportSpec, PlanSpec, Spec
from core.types import FailureClass, FineTuningFrameworkType
from gpu_runner.failures import Cancelled, Paused, WorkerLost, failure_of
from gpu_runner.files import Files, read_json, write_json
from gpu_runner.reserve import Reserve
from gpu_runner.spool import Spool, read_records
from gpu_runner.tail import last_lines
from gpu_runner.team import Team

LOOK = 0.5  # seconds between looks at control.json


@dataclass
class Context:
    """What a running job holds: its directory, its spool, its orders, its team. `root` is the artifacts root."""

    directory: Path
    spool: Spool
    token: str | None = None
    looked: float = 0.0
    control: dict[str, Any] = field(default_factory=dict)
    team: Team = field(default_factory=Team)
    saves: int = 0  # checkpoints that were asked for and are under way or saved
    part: int | None = None  # of the attempt, when this is a pod
    again: bool = False  # the attempt was begun before: Cloudera has started its pod anew

    @property
    def root(self) -> Path:
        """The artifacts root: the attempt lies at jobs/<job>/<attempt> below it."""
        return self.directory.parents[2]

    @property
    def attempt(self) -> int:
        """The attempt's number."""
        return int(self.directory.name)

    @property
    def files(self) -> Files:
        """Where it reads and writes."""
        return Files(self.directory, self.part)

    @property
    def alone(self) -> str | None:
        """Of an evaluation whose combinations run apart: the one that runs here, as `part.json` beside the part's spool says."""
        told = read_json(self.files.own / "part.json") if self.part is not None else None
        return told.get("alone") if told else None

    def relative(self, path: Path) -> str:
        """A path as records name it: below the artifacts root when it lies there, else absolute."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def order(self) -> str | None:
        """What the daemon has asked for: cancel, pause or nothing."""
        if time.monotonic() - self.looked >= LOOK:
            self.looked = time.monotonic()
            self.control = read_json(self.directory / "control.json") or {}
        order = self.control.get("order")
        return order if order in ("cancel", "pause") else None

    def save_asked(self) -> bool:
        """Whether a checkpoint was asked for since this was last called."""
        self.order()
        before, self.saves = self.saves, max(self.saves, int(self.control.get("checkpoint", 0)))
        return self.saves > before

    def left_out(self) -> set[str]:
        """The children of an evaluation that were cancelled."""
        self.order()
        return set(self.control.get("cancelled", []))


def run(attempt_dir: Path, token: str | None, place: dict[str, Any] | None = None, part: int | None = None) -> int:
    """Run the attempt's job, or with a `place` this runner's share of it, in this process; return its exit code.

    In a pod it is `part` of the attempt, which has its own spool.

    Whatever happens is told in the spool, unless it is that a worker was killed: then this process dies alike.
    """
    files = Files(attempt_dir, part)
    for left in attempt_dir.parent.glob("*/reserve"):  # of attempts that were killed
        Reserve(left).release()
    again = part is not None and begun(files)
    context = Context(attempt_dir, Spool(files.spool), token, part=part, again=again)
    try:
        finished = _do(json.loads(files.spec.read_text(encoding="utf-8")), context, place)
    except WorkerLost as lost:
        context.spool.log(f"a worker is gone, and the others with it: {lost}", level="error")
        context.spool.sync()
        os.kill(os.getpid(), signal.SIGKILL)
        raise
    except Cancelled:
        finished = Finished(at=time.time(), outcome="cancelled")
    except Paused:
        finished = Finished(at=time.time(), outcome="paused")
    except BaseException as error:
        finished = Finished(at=time.time(), outcome="failed", error=_failure(error, files, context.spool))
    Reserve(files.reserve).release()
    if finished.error is not None and finished.error.kind == FailureClass.disk_full:
        from gpu_runner.holding import given_back

        finished = given_back(context, finished)
    return _end(files, context, finished)


def begun(files: Files) -> bool:
    """Whether an attempt's child has begun before this one, in a pod that is gone."""
    return any(each["type"] == "started" for each in read_records(files.spool, 0, max(1, files.spool_size()))[0])


def _failure(error: BaseException, files: Files, spool: Spool) -> Failure:
    """What ended the job, with the last lines of its log; where a fault of ours is to be found, the log tells too."""
    failure = failure_of(error)
    if failure.kind == FailureClass.bug:
        spool.log(failure.traceback, level="error")
    return failure.model_copy(update={"log_tail": last_lines(files)})


def _do(raw: dict[str, Any], context: Context, place: dict[str, Any] | None) -> Finished:
    spec: Spec = SPEC.validate_python(raw)
    if context.token:
        os.environ["HF_TOKEN"] = context.token
    if isinstance(spec, EvaluationSpec):
        from gpu_runner.evaluate import evaluate

        return evaluate(spec, context)
    if isinstance(spec, ExportSpec):
        from gpu_runner.export import export

        return export(spec, context)
    if isinstance(spec, EndpointSpec):
        from gpu_runner.serve import serve

        return serve(spec, context)
    if isinstance(spec, ComparisonSpec):
        from gpu_runner.compare import compare

        return compare(spec, context)
    if isinstance(spec, PlanSpec):
        from gpu_runner.plan import plan

        return plan(spec, context)
    if spec.user_script:
        from gpu_runner import user_script

        return user_script.run(spec, context)
    if spec.framework == FineTuningFrameworkType.axolotl:
        from gpu_runner import axolotl

        return axolotl.run(spec, context)
    if spec.resources.workers > 1:
        from gpu_runner import distributed
        from gpu_runner.meeting import Place

        return distributed.run(spec, context, Place(**(place or {"workers": spec.resources.workers})))
    from gpu_runner.train import train

    return train(spec, context)


def _end(files: Files, context: Context, finished: Finished) -> int:
    record = finished.model_dump(mode="json", exclude={"at", "type"})
    code = 1 if finished.outcome == "failed" else 0
    context.spool.write("finished", **record)
    for _ in range(60):  # a full disk may get room again; without that record the job would run once more
        if context.spool.flush():
            break
        time.sleep(5)
    with contextlib.suppress(OSError):
        context.spool.end()
        write_json(files.exit, {"outcome": finished.outcome, "code": code})
    return code
