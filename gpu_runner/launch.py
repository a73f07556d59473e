"""What a job's process does before the job: a session of its own, its environment, its name in `child.json`.

`python -m gpu_runner.launch JSON` starts a job cold; the warm process calls `enter` in the child it forked.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import signal
import socket
import sys
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from gpu_runner import bnb
from gpu_runner.files import Child, Files, read_json
from gpu_runner.processes import started_at

# A job knows nothing of the queue, the store or the Hub's token (which comes through a pipe when it needs it).
SECRETS = (
    "HUGGINGFACE_ACCESS_TOKEN",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "FTS_REDIS_URL",
    "FTS_DATABASE_URL",
    "FTS_NOTIFY_WEBHOOK",
    "FTS_NOTIFY_WEBHOOK_SECRET",
    "CDSW_APIV2_KEY",
    "CDSW_API_KEY",
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Launch:
    """How a job is started. `env` is laid over the environment; descriptors are the receiving process's, -1 for none."""

    attempt_dir: str
    runner_id: str
    cpus: int = 1
    gpus: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    place: dict[str, Any] | None = None  # among the runners of the job, when there are several (meeting.Place)
    part: int | None = None  # of the attempt, when it runs in pods
    lock_fd: int = -1
    token_fd: int = -1

    @property
    def files(self) -> Files:
        """Where it reads and writes."""
        return Files(Path(self.attempt_dir), self.part)

    def to_json(self) -> str:
        """The launch as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Launch:
        """The launch of such a line."""
        fields = json.loads(text)
        return cls(**{**fields, "gpus": tuple(fields["gpus"])})


def clean_environment() -> dict[str, str]:
    """This process's environment without secrets."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}


def cold_command(launch: Launch) -> list[str]:
    """The command that starts the job from nothing."""
    return [sys.executable, "-m", "gpu_runner.launch", launch.to_json()]


def enter(launch: Launch) -> None:
    """Make this process the job's: session, streams, signals, environment, and who it is. Raises OSError."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    files = launch.files
    _redirect(files.log)
    faulthandler.enable(2)  # a crash in native code leaves its stack in the log
    os.environ.update(launch.env)
    os.environ.update(dict.fromkeys(THREADS, str(launch.cpus)))
    host, engine = socket.gethostname(), os.environ.get("CDSW_ENGINE_ID", "")
    files.write_child(Child(os.getpid(), started_at(os.getpid()), launch.runner_id, launch.gpus, host, engine))


def run(launch: Launch) -> NoReturn:
    """Run the job in this process and end with its code."""
    code = 1
    try:
        from gpu_runner.child import run as run_job  # late: the daemon imports this module and must not pay for it

        code = run_job(Path(launch.attempt_dir), read_token(launch.token_fd), launch.place, launch.part)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def again_cold(launch: Launch) -> NoReturn:
    """Start the job anew in this same process, from nothing; lock and token go along."""
    for descriptor in (launch.lock_fd, launch.token_fd):
        if descriptor >= 0:
            os.set_inheritable(descriptor, True)
    command = cold_command(launch)
    os.execv(command[0], command)


def read_token(descriptor: int) -> str | None:
    """The Hub token from its pipe, None when there is no pipe."""
    if descriptor < 0:
        return None
    with os.fdopen(descriptor, "r", encoding="utf-8") as pipe:
        return pipe.read() or None


def _redirect(log: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    printed = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.close(printed)
    sys.stdout, sys.stderr = _printer(1), _printer(2)


class _Print(io.FileIO):
    """What a job prints. On a full disk that is lost, and ends no job."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _printer(descriptor: int) -> io.TextIOWrapper:
    raw = _Print(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)


def begin(launch: Launch) -> NoReturn:
    """Start the job in this process, which has imported nothing for it yet. Raises OSError."""
    for descriptor in (launch.lock_fd, launch.token_fd):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)  # programs that the job starts must not hold them
    enter(launch)
    if not bnb.needed(read_json(Path(launch.attempt_dir) / "spec.json") or {}):
        bnb.keep_out()
    run(launch)


def main() -> NoReturn:
    """Start the job that the command line tells, cold."""
    begin(Launch.from_json(sys.argv[1]))


if __name__ == "__main__":
    main()
