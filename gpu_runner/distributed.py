"""A job of several workers: torchrun's agent inside of the job's process, and each worker forked from it.

The agent is torch.distributed.elastic's own, as torchrun runs it, so a worker finds what it finds under torchrun: RANK,
WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and so on. Forked from a process that has the libraries and has not computed, a worker
starts in a fraction of a second. When one dies the others are ended and the attempt is over: there are no restarts here,
the studio gives the job out again, from its last checkpoint.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from core.events import Finished
from core.spec import FineTuningSpec
from gpu_runner.child import Context
from gpu_runner.failures import Cancelled, JobError, Paused, WorkerLost, failure_of
from gpu_runner.last_words import LastWords
from gpu_runner.meeting import Meeting, Place, Stopped, name_the_way
from gpu_runner.processes import die_with_parent
from gpu_runner.spool import Silent, Spool
from gpu_runner.team import Ranks

LOST = 75  # exit code of a worker that misses another one
# How torch's backends tell that another worker, or the one that holds the store, is gone.
MISSING = (
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
    "socket timeout",
    "timed out waiting",
    "nccl communicator was aborted",
    "remote process exited",
    "watchdog caught collective operation timeout",
)


def run(spec: FineTuningSpec, context: Context, place: Place) -> Finished:
    """Train with this runner's workers, and those of the other runners; raises WorkerLost."""
    from torch.distributed.elastic.agent.server.api import WorkerSpec
    from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs

    import gpu_runner.train  # noqa: F401  # once, before the fork

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGQUIT"  # SIGTERM ends us and our workers, as it does any job
    words = LastWords(place.workers)
    worker = WorkerSpec(
        role="worker",
        local_world_size=place.workers,
        rdzv_handler=Meeting(place, context),
        entrypoint=work,
        args=(
            Part(
                spec, place.main_directory(context.directory), context.files.spool, context.again, context.token, words
            ),
        ),
        max_restarts=0,
        monitor_interval=0.1,
    )
    logs = DefaultLogsSpecs(log_dir=str(context.directory / "workers"))
    name_the_way(place)
    try:
        result = LocalElasticAgent(worker, logs, start_method="fork").run()
    except Stopped as stopped:
        if stopped.order == "cancel":
            raise Cancelled from None
        return Finished(at=time.time(), outcome="paused")
    except Exception as error:
        if misses_another(error):
            raise WorkerLost(f"the other runners were not met: {error}") from error
        raise
    if not result.is_failed():
        told = result.return_values.get(0)
        return Finished.model_validate(told) if told else Finished(at=time.time(), outcome="succeeded")
    failure = words.first()
    if failure is None:
        raise WorkerLost("; ".join(f"worker {rank}: {_words(each)}" for rank, each in result.failures.items()))
    return Finished(at=time.time(), outcome="failed", error=failure)


def _words(failure: Any) -> str:
    name = failure.signal_name()
    return f"killed by {name}" if name != "<N/A>" else f"ended with code {failure.exitcode}"


@dataclass(frozen=True)
class Part:
    """What a worker is told. Not as texts: the agent puts values in place of what looks like `$name` in those."""

    spec: FineTuningSpec
    directory: Path
    spool: Path
    again: bool
    token: str | None
    words: LastWords


def work(part: Part) -> dict[str, Any] | None:
    """Be a worker, in a process of its own: what its train() says, for the first one's is the job's."""
    _die_with_the_agent()
    rank = int(os.environ["RANK"])
    try:
        finished = _train(part.spec, _join(part, rank))
        return finished.model_dump(mode="json") if rank == 0 else None
    except BaseException as error:
        _leave(rank, error, part.words)


def _train(spec: FineTuningSpec, context: Context) -> Finished:
    from gpu_runner.train import train

    try:
        return train(spec, context)
    except Cancelled:
        return Finished(at=time.time(), outcome="cancelled")
    except Paused:
        return Finished(at=time.time(), outcome="paused")


def _join(part: Part, rank: int) -> Context:
    """Meet the other workers. Raises JobError when they are more or fewer than the job has."""
    import torch
    import torch.distributed as dist

    spec = part.spec
    threads = spec.resources.cpus
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)))
    torch.set_num_threads(threads)
    if spec.resources.gpus > 0 and torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(
            visible[:: spec.resources.gpus]
        )  # one a worker: LOCAL_RANK names it
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl")
    else:
        dist.init_process_group("gloo")
    team = Ranks()
    if team.world != spec.resources.workers:
        raise JobError(f"{team.world} workers have met, but the job has {spec.resources.workers}", kind="bug")
    spool = Spool(part.spool) if rank == 0 else Silent()
    return Context(part.directory, spool, part.token, team=team, again=part.again)


def _leave(rank: int, error: BaseException, words: LastWords) -> NoReturn:
    """End this worker, which ends the others; why is told, unless it only misses another one."""
    failure = failure_of(error)
    sys.stderr.write(f"worker {rank} ends:\n{failure.traceback}")
    sys.stderr.flush()
    if misses_another(error):
        os._exit(LOST)
    words.say(int(os.environ["LOCAL_RANK"]), failure)
    os._exit(1)


def misses_another(error: BaseException) -> bool:
    """Whether the error is that another worker is gone."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or (
        isinstance(error, RuntimeError) and any(part in str(error).lower() for part in MISSING)
    )


def _die_with_the_agent() -> None:
    """A worker must not outlive the process that holds the attempt's lock; SIGTERM and SIGINT mean what they mean."""
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
