"""The first of several pods that train one job together: it has the others launched, waits for them, and trains with them.

`python -m gpu_runner.cml.leader LAUNCH`, in place of gpu_runner.launch. The others are workers of this run: each runs
gpu_runner.cml.pod on a directory N.RANK beside the attempt's, as members of a gang have them. When one of them ends ill the
attempt is over, and when this process ends, all of them do.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

from core.events import Failure, Finished
from core.failing import filled
from core.types import FailureClass
from gpu_runner.cml.meeting_file import Meeting
from gpu_runner.cml.session import Refused, Workers
from gpu_runner.files import Child, Files, read_json, write_json
from gpu_runner.gpus import inventory
from gpu_runner.launch import SECRETS, Launch, cold_command, read_token
from gpu_runner.processes import die_with_parent, signal_group, started_at
from gpu_runner.spool import Spool, read_records
from gpu_runner.starter import pipe_with

CALLS = ("CDSW_APIV2_KEY", "CDSW_API_KEY")  # what Cloudera's own APIs are asked with
LOOK = 0.5  # seconds between looks at the child, the orders, the others
LISTED = 10.0  # seconds between questions to Cloudera who of the others still runs
WORDS = 10.0  # seconds in which another pod's last word comes over the file system
TRIES = 3
LOST, ENDED = -signal.SIGKILL, -signal.SIGTERM  # exit codes of one that leaves no last word
Ending = Finished | int  # a last word, or an exit code without one


def address() -> str:
    """Where other pods reach this one."""
    return os.environ.get("CDSW_IP_ADDRESS") or socket.gethostbyname(socket.gethostname())


class Leader:
    """One start of a job's first pod."""

    def __init__(self, launch: Launch, token: str | None) -> None:
        self.launch, self.token, self.files = launch, token, launch.files
        self.spec: dict[str, Any] = json.loads(self.files.spec.read_text(encoding="utf-8"))
        self.world = int(self.spec["resources"]["workers"])
        self.meeting = Meeting(self.files.own / "meeting.json", uuid4().hex)
        self.workers = Workers()
        self.child: subprocess.Popen[bytes] | None = None
        self.signalled = False
        self._beat = self._listed = 0.0
        self._address: str | None = None
        self._from = 0  # where in the spool the child's words begin

    def run(self) -> int:
        """Have the job trained; an exit code, negative for a signal's number. Raises OSError."""
        self.files.write_child(
            Child(os.getpid(), started_at(os.getpid()), self.launch.runner_id, host=socket.gethostname())
        )
        try:
            ending = self.gather()
            return self.train() if ending is None else self.end(ending)
        finally:
            self.end_child()
            self.workers.stop()

    # The others come

    def gather(self) -> Ending | None:
        """Have the others launched, and wait until all have come; how it ends when it ends before. Raises OSError."""
        for rank in range(1, self.world):
            if (ending := self.ordered() or self.invite(rank)) is not None:
                return ending
        Spool(self.files.spool).phase(f"waiting for {self.world - 1} more of {self.world} pods")
        while not all(self.meeting.has(self.of(rank).own) for rank in range(1, self.world)):
            self.beat()
            if (ending := self.ordered() or self.lost()) is not None:
                return ending
            time.sleep(LOOK)
        return None

    def of(self, rank: int) -> Files:
        """The files of another pod."""
        return Files(self.files.directory.with_name(f"{self.files.directory.name}.{rank}"), 0)

    def invite(self, rank: int) -> Finished | None:
        """Launch a pod; the end of the attempt when Cloudera won't. Raises OSError."""
        files = self.of(rank)
        shutil.rmtree(files.directory, ignore_errors=True)  # of an earlier start
        files.make()
        shutil.copyfile(self.files.spec, files.spec)
        self.beat()
        told = {name: value for name, value in os.environ.items() if name.startswith("FTS_") and name not in SECRETS}
        told |= {
            "FTS_ATTEMPT_DIR": str(files.directory),
            "FTS_PART": "0",
            "FTS_RUNNER_ID": self.launch.runner_id,
            "FTS_PLACE": json.dumps({"workers": 1, "node": rank, "nodes": self.world}),
            "FTS_MEETING": json.dumps({"path": str(self.meeting.path), "name": self.meeting.name}),
            **({"HUGGINGFACE_ACCESS_TOKEN": self.token} if self.token else {}),
        }
        why = ""
        for _ in range(TRIES):
            try:
                self.workers.launch(rank, self.spec["resources"], told)
                return None
            except Refused as error:
                why = str(error)
            time.sleep(LOOK)
        text = f"Cloudera's workers API does not launch worker {rank} of {self.world}: {why}"
        hint = "Ask for less a worker (dist_cpu, dist_mem, dist_gpu), or for one worker; docs/cloudera.md tells what it needs."
        return _failed(text, hint)

    def ordered(self) -> Ending | None:
        """How it ends because of an order, or a signal."""
        if self.signalled:
            return ENDED
        order = (read_json(self.files.control) or {}).get("order")
        outcome = {"cancel": "cancelled", "pause": "paused"}.get(str(order))
        return None if outcome is None else Finished.model_validate({"at": time.time(), "outcome": outcome})

    def lost(self) -> Ending | None:
        """How it ends because another pod did: with its own words, or without any, so that the job is run again."""
        for rank in self.ill():
            if (words := self.words_of(rank)) is None:
                Spool(self.files.spool).log(f"the pod of worker {rank} is gone", level="error")
            return words or LOST
        return None

    def ill(self) -> list[int]:
        """The other pods that ended, and not well."""
        left = {rank: (read_json(self.of(rank).exit) or {}).get("code") for rank in self.workers.ids}
        bad = [rank for rank, code in left.items() if code not in (None, 0)]
        if not bad and time.monotonic() >= self._listed + LISTED:
            self._listed = time.monotonic()
            bad = [rank for rank in self.workers.gone() if left[rank] is None]
        return bad

    def words_of(self, rank: int) -> Finished | None:
        """What another pod says that it failed of."""
        files = self.of(rank)
        records, _ = read_records(files.spool, 0, max(1, files.spool_size()))
        last = records[-1] if records else {}
        return Finished.model_validate(last) if last.get("outcome") == "failed" else None

    def beat(self) -> None:
        """Give a sign to those that wait, and tell them where the child listens once it says so. Raises OSError."""
        if self.child is not None and self._address is None:
            records, _ = read_records(self.files.spool, self._from, 1 << 20)
            self._address = next((each["address"] for each in records if each["type"] == "rendezvous"), None)
            self._beat = 0.0 if self._address else self._beat
        if time.monotonic() >= self._beat + 5 * LOOK:
            self._beat = time.monotonic()
            self.meeting.tell(int(self._beat), self._address)

    # Training

    def train(self) -> int:
        """Train with those that have come; the child's exit code, or that of the first that failed. Raises OSError."""
        self._from = self.files.spool_size()
        self.child = self.start()
        since: float | None = None
        while (code := self.child.poll()) is None:
            self.beat()
            if self.signalled:
                self.end_child(signal.SIGTERM)
            elif self.ill():  # the child misses it sooner or later; a pod whose host is gone says no goodbye
                since = since or time.monotonic()
                if time.monotonic() > since + WORDS:
                    self.end_child()
            time.sleep(LOOK)
        if self.files.exit.exists() or self.signalled:
            return code
        deadline = time.monotonic() + WORDS
        while time.monotonic() < deadline:
            for rank in self.workers.ids:
                if (words := self.words_of(rank)) is not None:
                    return self.end(words)
            time.sleep(LOOK)
        return code

    def start(self) -> subprocess.Popen[bytes]:
        """Start the child: the job itself, as its first worker. Raises OSError."""
        place = {"workers": 1, "node": 0, "nodes": self.world, "address": address()}
        visible = ",".join(gpu.uuid or str(gpu.index) for gpu in inventory())  # this pod's own, whatever all have
        pipe = pipe_with(self.token) if self.token else -1
        launch = replace(self.launch, cpus=1, place=place, token_fd=pipe, env={"CUDA_VISIBLE_DEVICES": visible})
        environment = {name: value for name, value in os.environ.items() if name not in CALLS}
        try:
            return subprocess.Popen(
                cold_command(launch), env={**environment, **launch.env}, stdin=subprocess.DEVNULL,
                pass_fds=[each for each in (launch.lock_fd, pipe) if each >= 0],
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
        finally:
            if pipe >= 0:
                os.close(pipe)

    def end_child(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the child, if it runs, and what it started."""
        if self.child is not None and self.child.poll() is None:
            signal_group(self.child.pid, started_at(self.child.pid), number)

    # The end

    def end(self, finished: Ending) -> int:
        """Say how it ended, in the child's place; the exit code. Raises OSError."""
        if isinstance(finished, int):
            return finished
        spool, code = Spool(self.files.spool), 1 if finished.outcome == "failed" else 0
        spool.write("finished", **finished.model_dump(mode="json", exclude={"at", "type"}))
        spool.end()
        write_json(self.files.exit, {"outcome": finished.outcome, "code": code})
        return code


def _failed(message: str, hint: str) -> Finished:
    failure = filled(Failure(kind=FailureClass.user_error, message=message, hint=hint))
    return Finished(at=time.time(), outcome="failed", error=failure)


def lead(launch: Launch) -> int:
    """Lead the pods of the job; an exit code. One that is killed, or misses another, ends as such a child does."""
    leader = Leader(launch, read_token(launch.token_fd))

    def stop(*_: object) -> None:
        leader.signalled = True

    signal.signal(signal.SIGTERM, stop)
    code = leader.run()
    if code < 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(lead(Launch.from_json(sys.argv[1])))
