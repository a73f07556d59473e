"""Attempts that are run at the stand-in, with pods that compute nothing (fast_pod.py)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.settings import Settings
from gpu_runner.cml import single
from gpu_runner.cml.book import Book
from gpu_runner.cml.errand import Errand
from gpu_runner.files import Files, write_json
from gpu_runner.spool import read_records
from tests.cml.standin import StandIn
from tests.runner.studio import spec_of

POLL = 0.05
TEMPLATE = "Finetuning_Base_Job"
SCRIPT = "from tests.cml.fast_pod import main\nmain()\n"


class Attempt:
    """An attempt of a job, its files, and what Cloudera has of it."""

    def __init__(self, cloudera: StandIn, job_id: str = "job", number: int = 1, **extra: Any) -> None:
        self.cloudera, self.job_id, self.number = cloudera, job_id, number
        self.home = cloudera.cloud.project / ".app"
        self.files = Files(self.home / "artifacts" / "jobs" / job_id / str(number))
        self.files.directory.mkdir(parents=True)
        (self.home / "artifacts" / ".fts-artifacts").write_text("marker\n")
        how = {name: extra.pop(name) for name in ("records", "rate", "deaf", "mute", "code", "rest") if name in extra}
        write_json(self.files.spec, spec_of(job_id, self.home, user_config=json.dumps(how), **extra))
        if not any(row["name"] == TEMPLATE for row in cloudera.cloud.state["jobs"].values()):
            (cloudera.cloud.project / "fast.py").write_text(SCRIPT)
            cloudera.template(TEMPLATE, script="fast.py")

    def using(self, **settings: Any) -> Settings:
        """The settings of whoever looks after it."""
        return Settings(home=self.home, **{"cml_poll": POLL, "cml_seconds": 2.0, **settings})

    def errand(self, token: str | None = None, **settings: Any) -> Errand:
        """What a new steward has in hand."""
        return Errand(self.files.directory, self.using(**settings), "runner", token)

    def steward(self, errand: Errand | None = None) -> Steward:
        """A steward of it, at work in a thread."""
        return Steward(errand or self.errand())

    def order(self, word: str) -> None:
        """Order something, as the daemon does."""
        write_json(self.files.control, {"order": word})

    @property
    def book(self) -> Book:
        found = Book.read(self.files.directory)
        assert found is not None
        return found

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Its runs at Cloudera's, oldest first."""
        own = str(self.files.directory)
        return [row for row in self.cloudera.runs() if row["environment"].get("FTS_ATTEMPT_DIR") == own]

    def records(self, *types: str) -> list[dict[str, Any]]:
        """What its spool tells, of some types or all."""
        read = read_records(self.files.spool, 0, 1 << 26)[0]
        return [record for record in read if not types or record["type"] in types]

    @property
    def steps(self) -> list[int]:
        return [each["step"] for each in self.records("metrics")]

    @property
    def outcome(self) -> str | None:
        """Its last word."""
        found = self.records("finished")
        assert len(found) < 2
        return found[0]["outcome"] if found else None

    @property
    def phases(self) -> list[str]:
        return [each["name"] for each in self.records("phase")]


class Steward:
    """A steward in a thread of this process."""

    def __init__(self, errand: Errand) -> None:
        self.errand = errand
        self.code: int | None = None
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        self.code = single.look_after(self.errand)

    def ends(self, seconds: float = 60) -> int:
        """Wait for its end; its exit code."""
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the steward goes on"
        assert self.code is not None, "the steward broke"
        return self.code


def until(true: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait for something; its value."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)
    return value


def log_of(path: Path) -> str:
    """What a file tells, once it is there."""
    return path.read_text() if path.exists() else ""
