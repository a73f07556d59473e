"""A whole studio in a project of the stand-in's: real actors and daemon, the tests' Valkey, and Cloudera's pods as processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import SecretStr

from core.client import StudioClient
from core.messages.runners import ListRunners
from core.settings import Settings
from gpu_runner.files import Files
from tests.cml import pods
from tests.cml.standin import StandIn
from tests.whole import ROWS, Work, until

COMMANDS = {
    "actors": ("actors.app", "commands", "runners", "slow"),
    "daemon": ("gpu_runner.daemon", "--backend", "cml"),
}
QUICK = {
    "FTS_CML_POLL": "0.1",
    "FTS_CML_SECONDS": "2",
    "FTS_CML_CPUS": "3",
    "FTS_REPORT_SECONDS": "0.5",
    "FTS_LEASE_SECONDS": "10",
    "FTS_TRACKING": "false",
}


class Workshop(Work):
    """The studio, whose home and project lie in Cloudera's project directory; `environment` is laid over a pod's."""

    def __init__(self, cloudera: StandIn, url: str, ns: str, model: Path, **environment: str) -> None:
        self.cloudera, self.project = cloudera, cloudera.cloud.project
        shutil.copytree(model, self.project / "models" / "tiny")
        (self.project / "rows.csv").write_text(ROWS)
        for room in ("core", "gpu_runner", "configs"):  # the project is a copy of the studio's
            (self.project / room).symlink_to(pods.HERE.parents[1] / room)
        self.settings = Settings(
            home=self.project / ".app", project=self.project, namespace=ns, FTS_REDIS_URL=SecretStr(url)
        )
        told = {
            "FTS_HOME": str(self.settings.root),
            "FTS_PROJECT": str(self.project),
            "FTS_REDIS_URL": url,
            "FTS_NAMESPACE": ns,
        }
        self.environment = {**pods.base(), **cloudera.environment(), **QUICK, **told, **environment}
        self.ids: dict[str, str] = {}  # of dataset, model and prompt, once they are added
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.client = StudioClient(self.settings)

    def start(self, name: str, as_name: str = "", **environment: str) -> None:
        """Start one of the studio's processes; another of the same kind under another name."""
        self.settings.root.mkdir(exist_ok=True)
        with (self.settings.root / f"{as_name or name}.log").open("ab") as log:
            self.processes[as_name or name] = subprocess.Popen(
                [sys.executable, "-m", *COMMANDS[name]],
                cwd=self.project, env={**self.environment, **environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def up(self) -> None:
        """Start it, and wait for its runner."""
        self.start("actors")
        self.start("daemon")
        until(lambda: self.client.call(ListRunners(), timeout=60).runners, 60, "a runner registers")

    def end_process(self, name: str, number: signal.Signals) -> None:
        """End one of the studio's processes with a signal; no matter if it is dead."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(60)

    def down(self) -> None:
        """End it with all that it started."""
        for name in list(self.processes):
            self.end_process(name, signal.SIGKILL)
        self.client.close()
        for lock in self.settings.artifacts_root.glob("jobs/*/*/lock"):
            files = Files(lock.parent)
            if files.locked() and (child := files.child()) is not None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)

    def steward(self, job_id: str, attempt: int = 1) -> psutil.Process:
        """The process that looks after an attempt."""
        directory = self.settings.artifacts_root / "jobs" / job_id / str(attempt)

        def found() -> psutil.Process | None:
            child = Files(directory).child()
            with suppress(psutil.Error):
                return psutil.Process(child.pid) if child else None
            return None

        return until(found, 60, "a steward looks after the job")

    def rests(self) -> None:
        """Wait until nothing runs at Cloudera's: a job is over with its pod's last word, which leaves after that."""
        until(lambda: not self.cloudera.active(), 60, "the last run ends")

    def logs(self) -> str:
        """What the studio's processes have printed."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')}" for path in self.settings.root.glob("*.log")
        )
