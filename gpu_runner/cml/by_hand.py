"""A job that someone made by hand at Cloudera's, from a template and the guide's JOB_ARGUMENTS: the studio gets it as any job,
and this pod is the runner that does it.

The pod starts a daemon of its own, whose label only this job asks for: nobody else takes it, and the daemon takes nothing else.
A pod that is started again finds the same job by its key. A run that is stopped cancels the job.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from core import labels
from core.client import StudioClient
from core.errors import NotFound, Refused, StudioError, Unavailable
from core.messages.datasets import GetDataset
from core.messages.evaluation import GetEvaluationJob, StartEvaluationJob
from core.messages.fine_tuning import GetFineTuningJob, StartFineTuningJob
from core.messages.job_verbs import RetryJob
from core.messages.jobs import CancelJob, JobState
from core.messages.results import GetEvaluationResults
from core.settings import BadSettings
from core.settings import read as read_settings
from core.text import plain
from core.types import JobStatus
from gpu_runner.cml.asked import Asked, Unreadable, read, with_spaces
from gpu_runner.gpus import host_facts, inventory
from gpu_runner.processes import die_with_parent

FAILED, USAGE, REFUSED, NOT_FOUND, UNREACHABLE = 1, 2, 3, 4, 5  # exit codes, as `fts` has them
LOOK = 0.5  # seconds between looks at the job
AGAIN = 5.0  # seconds before a daemon that ended is started again
GRACE = 20.0  # seconds in which a job that is cancelled ends; Cloudera kills the pod some time after it asked it to end
ENDS = (JobStatus.succeeded, JobStatus.failed, JobStatus.cancelled)
STOPPED = 128 + signal.SIGTERM


def main() -> int:
    """Do what JOB_ARGUMENTS ask for; an exit code."""
    try:
        asked = read(os.environ.pop("JOB_ARGUMENTS", ""))
        settings = read_settings()
    except (Unreadable, BadSettings) as error:
        say(f"this is no job of the studio's: {error} (docs/cloudera.md)")
        return USAGE
    if asked.token:
        os.environ["HUGGINGFACE_ACCESS_TOKEN"] = asked.token
    with StudioClient(settings, "pod") as studio:
        hand = Hand(asked, studio)
        signal.signal(signal.SIGTERM, hand.stop)
        try:
            return hand.run()
        except StudioError as error:
            say(str(error))
            return _code(error)


class Seen(NamedTuple):
    """How the job is; `files` are an evaluation's results."""

    status: JobStatus
    doing: str
    failure: str
    files: list[str]


class Hand:
    """The job, and the daemon that runs it here."""

    def __init__(self, asked: Asked, studio: StudioClient) -> None:
        self.asked, self.studio = asked, studio
        self.label = labels.of_job(asked.key)
        self.id = self.cancels = ""
        self.daemon: subprocess.Popen[bytes] | None = None
        self.told = ""
        self.stopped = False
        self._again = 0.0

    def stop(self, *_: object) -> None:
        """Cloudera stops the run (a signal's handler: what is under way goes on first, so that its outcome is known)."""
        self.stopped = True

    def run(self) -> int:
        """Have the job done; an exit code. Raises StudioError."""
        self.start()
        state = self.look()
        if state is not None and state.status in (JobStatus.failed, JobStatus.cancelled):
            say(f"it was {state.status}: it is run again, from its last checkpoint")
            self.studio.call(RetryJob(id=self.cancels))
        try:
            state = self.follow()
            return self.cancel() if state is None else self.ended(state)
        finally:
            self.let_go()

    def start(self) -> None:
        """Have the studio take the job in, once. Raises StudioError."""
        own = dict(zip(("num_cpu", "num_memory", "num_gpu"), resources(), strict=True))
        fields = {**own, "gpu_label_id": self.label, **self.asked.fields}
        key = f"by hand {self.asked.key}"
        if self.asked.kind == "training":
            job = self.studio.call(StartFineTuningJob.model_validate(fields), key=key).fine_tuning_job
            self.id = self.cancels = job.id
        else:
            columns = self.studio.call(GetDataset(id=fields["dataset_id"])).dataset.features
            fields["selected_features"] = with_spaces(fields.get("selected_features", []), columns)
            batch = self.studio.call(StartEvaluationJob.model_validate(fields), key=key)
            self.id, self.cancels = batch.evaluation_jobs[0].id, batch.parent_job_id
        say(f"the studio knows this job as {self.cancels}")

    def look(self) -> Seen | None:
        """How the job is now; None while the studio is away. Raises StudioError."""
        try:
            if self.asked.kind == "training":
                return _seen(self.studio.call(GetFineTuningJob(id=self.id)).fine_tuning_job)
            seen = _seen(self.studio.call(GetEvaluationJob(id=self.id)).evaluation_job)
            batch = self.studio.call(GetEvaluationResults(parent_job_id=self.cancels))  # it ends after its last child
            return seen._replace(status=batch.status, files=batch.files)
        except Unavailable as error:
            self._tell(f"the studio does not answer, and the job goes on: {error}")
            return None

    def follow(self) -> Seen | None:
        """Keep the daemon running until the job is over, or waits for someone; None when the run is stopped. Raises StudioError."""
        while not self.stopped:
            state = self.look()
            if state is not None:
                self._tell(": ".join(filter(None, (state.status, state.doing))))
                if state.status in ENDS or state.status is JobStatus.paused:
                    return state
            self.tend()
            time.sleep(LOOK)
        return None

    def tend(self) -> None:
        """Start the daemon, again when it ended: another pod may have held its name until now."""
        if (self.daemon is None or self.daemon.poll() is not None) and time.monotonic() >= self._again:
            self._again = time.monotonic() + AGAIN
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "gpu_runner.cml.own", *self.together()], env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip

    def together(self) -> list[str]:
        """What all pods of the job have together, for the daemon; nothing when this one does it alone."""
        fields, workers = self.asked.fields, int(self.asked.fields.get("num_workers", 1))
        names = ("dist_cpu", "dist_mem", "dist_gpu")
        each = (fields.get(name, own) for name, own in zip(names, resources(), strict=True))
        return [str(workers * amount) for amount in each] if workers > 1 else []

    def environment(self) -> dict[str, str]:
        """What makes a daemon this job's runner."""
        own = {labels.NAME: f"{labels.ONLY}{self.label}"}
        return {"FTS_RUNNER_NAME": f"by-hand-{self.label}", "FTS_RUNNER_LABELS": json.dumps(own)}

    def cancel(self) -> int:
        """The run was stopped at Cloudera's: so is the job. The exit code that says so."""
        say("this run is stopped, and the job with it")
        with contextlib.suppress(StudioError):
            self.studio.call(CancelJob(id=self.cancels), timeout=GRACE / 2)
            deadline = time.monotonic() + GRACE
            while time.monotonic() < deadline and ((state := self.look()) is None or state.status not in ENDS):
                time.sleep(LOOK)
        return STOPPED

    def let_go(self) -> None:
        """End the daemon; a child that has told its end needs it no more."""
        if self.daemon is not None:
            self.daemon.terminate()
            try:
                self.daemon.wait(GRACE / 2)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()

    def ended(self, state: Seen) -> int:
        """Tell how it ended; an exit code."""
        if state.status is JobStatus.paused:
            say(f"it is paused: `fts job resume {self.cancels}`, then run this again")
        elif state.failure:
            say(f"it failed: {state.failure}")
        if self.asked.results is not None and state.files:
            self.asked.results.mkdir(parents=True, exist_ok=True)
            for each in state.files:
                shutil.copy2(each, self.asked.results)
            say(f"its results are in {self.asked.results}")
        return 0 if state.status in (JobStatus.succeeded, JobStatus.paused) else FAILED

    def _tell(self, text: str) -> None:
        if text != self.told:
            self.told = text
            say(text)


def resources() -> tuple[int, int, int]:
    """The cores, GiB and GPUs of this pod."""
    cpus, memory = host_facts()
    return cpus, max(1, int(memory)), len(inventory())


def _seen(job: JobState) -> Seen:
    failure = "" if job.error is None else f"{job.error.message}. {job.error.hint}"
    return Seen(job.status, job.waiting_for or job.phase or "", failure, [])


def _code(error: StudioError) -> int:
    if isinstance(error, Refused):
        return REFUSED
    if isinstance(error, NotFound):
        return NOT_FOUND
    return UNREACHABLE if isinstance(error, Unavailable) else FAILED


def say(text: str) -> None:
    """A line for whoever looks at the run at Cloudera's."""
    sys.stdout.write(f"{plain(text)}\n")
    sys.stdout.flush()
