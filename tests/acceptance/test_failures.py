"""Each way in which a job fails, made to happen to a real one, and what its user is told; then what the verbs do about it."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.failing import CLASSES
from core.messages.datasets import AddDataset
from core.messages.events import ListEvents
from core.messages.jobs import GetJobMetrics
from core.messages.prompts import AddPrompt, PromptFields
from core.types import FailureClass, JobStatus
from tests.runner.tiny import make_model
from tests.whole import Whole, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
F = FailureClass
ARGUMENTS = {"num_train_epochs": 500, "per_device_train_batch_size": 4, "learning_rate": 0.001, "eval_strategy": "no"}
WIDE = 4096  # of the model, so that a large batch takes blocks that the system hands out anew each time
LORA = json.dumps({"r": 64, "target_modules": "all-linear"})  # its checkpoints are larger than its spool
Harm = Callable[[Whole, str, int], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    model = make_model(tmp_path_factory.mktemp("models") / "tiny", intermediate_size=WIDE)
    settings = {"FTS_MAX_LOSSES": "0", "FTS_OOM_RETRY": "false", "FTS_LEASE_SECONDS": "5", "FTS_REPORT_SECONDS": "1"}
    made = Whole(model, **settings)
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def ids(whole: Whole) -> dict[str, str]:
    return whole.resources()


def limit(pid: int, what: int, most: int) -> None:
    resource.prlimit(pid, what, (most, resource.prlimit(pid, what)[1]))


def size_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def starve(whole: Whole, id: str, pid: int) -> None:
    limit(pid, resource.RLIMIT_AS, size_of(pid) // 2)


def stand_in_the_way(whole: Whole, id: str, pid: int) -> None:
    (whole.settings.artifacts_root / "jobs" / id / "1" / "checkpoints").write_text("no directory")
    whole.fts("job", "checkpoint", id)


def kill(whole: Whole, id: str, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def lose_the_runner(whole: Whole, id: str, pid: int) -> None:
    runner = whole.pid("runner")
    os.kill(runner, signal.SIGSTOP)
    try:
        until(lambda: whole.job(id).status.finished, 60, "the lease ends")
    finally:
        os.kill(runner, signal.SIGCONT)


HARMS: dict[FailureClass, tuple[Harm, tuple[str, ...]]] = {  # and what the user reads besides the class's own words
    F.out_of_memory: (starve, ("memory ran out at step", "weights", "more were asked for", "max_length")),
    F.bug: (stand_in_the_way, ("FileExistsError",)),
    F.killed: (kill, ("SIGKILL", "because memory ran out, or someone did")),
    F.runner_lost: (lose_the_runner, ("has said nothing for 5 s", "fts runner list")),
}


def running(whole: Whole, ids: dict[str, str], name: str, **arguments: Any) -> tuple[str, int]:
    """A job that trains, and the pid of its process."""
    id = whole.train(name, ids, json.dumps(ARGUMENTS | arguments), lora_config=LORA)
    whole.step(id, 3)
    told = json.loads((whole.settings.artifacts_root / "jobs" / id / "1" / "child.json").read_text())
    return id, told["pid"]


def assert_told(whole: Whole, name: str, kind: FailureClass, *parts: str) -> None:
    """What the command line says of the failed job."""
    done = whole.fts("job", "wait", name, check=False)
    shown = whole.fts("job", "show", name).stdout
    assert done.returncode == 1
    for text in (done.stderr, shown):
        flat = " ".join(text.split())
        assert f"✗ {CLASSES[kind].title}: " in flat and "why " in flat and "next " in flat and "┊" in flat, text
        for part in parts:
            assert part in flat, text
    listed = next(line for line in whole.fts("job", "list").stdout.splitlines() if line.startswith(f"{name} "))
    assert kind in listed


@pytest.mark.parametrize("kind", HARMS)
def test_a_job_that_fails_says_why_with_the_cause_the_next_step_and_the_end_of_its_log(
    whole: Whole, ids: dict[str, str], kind: FailureClass
) -> None:
    harm, parts = HARMS[kind]
    name = f"fails-{kind.replace('_', '-')}"
    id, pid = running(whole, ids, name, **({"per_device_train_batch_size": 512} if kind is F.out_of_memory else {}))
    harm(whole, id, pid)
    job = whole.end(id)
    assert (job.status, job.failure_class, job.attempt, job.retries) == (JobStatus.failed, kind, 1, 0), job.error
    assert_told(whole, name, kind, *parts)


def test_a_users_own_error_is_told_as_that_and_never_retried(whole: Whole, ids: dict[str, str]) -> None:
    rows = whole.directory / "own.csv"
    rows.write_text("text,intent\na,b\nc,d\n")
    dataset = whole.client.call(AddDataset(type="project_csv", name="own", location="own.csv")).dataset.id
    templates = {"prompt_template": "{text} {intent}", "input_template": "{text}", "completion_template": " {intent}"}
    prompt = whole.client.call(AddPrompt(prompt=PromptFields(name="own", dataset_id=dataset, **templates))).prompt.id
    rows.write_text("text,intent\nsomething,else\n")
    own = {**ids, "dataset_id": dataset, "prompt_id": prompt}
    job = whole.end(whole.train("fails-own", own, json.dumps(ARGUMENTS)))
    assert (job.failure_class, job.attempt) == (F.user_error, 1)
    assert_told(whole, "fails-own", F.user_error, "changed since the dataset was added", "new dataset")


def test_a_job_whose_disk_is_full_stands_still_tells_why_obeys_and_goes_on_when_there_is_room(
    whole: Whole, ids: dict[str, str]
) -> None:
    id, pid = running(whole, ids, "held")
    limit(pid, resource.RLIMIT_FSIZE, 100_000)
    whole.fts("job", "checkpoint", "held")
    until(lambda: whole.job(id).held, 60, "it stands still")
    at, shown, listed = whole.job(id).step, whole.fts("job", "show", "held").stdout, whole.fts("job", "list").stdout
    assert "no room: a checkpoint at step" in shown and "MiB are free on the disk of" in " ".join(shown.split())
    assert "no room" in next(line for line in listed.splitlines() if line.startswith("held "))
    limit(pid, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
    whole.step(id, at + 3)
    assert (whole.job(id).status, whole.job(id).attempt, whole.job(id).held) == (JobStatus.running, 1, None)
    told = events(whole, id)
    assert told.index("JobHeld") < told.index("JobHasRoom") < told.index("CheckpointSaved")
    limit(pid, resource.RLIMIT_FSIZE, 100_000)
    whole.fts("job", "checkpoint", "held")
    until(lambda: whole.job(id).held, 60, "it stands still again")
    whole.fts("job", "cancel", "held")
    until(lambda: whole.job(id).status is JobStatus.cancelled, 60, "the end")


def events(whole: Whole, id: str) -> list[str]:
    return [event.type for event in whole.client.call(ListEvents(resource_id=id, limit=1000)).events]


def steps(whole: Whole, id: str) -> list[int]:
    (series,) = whole.client.call(GetJobMetrics(id=id, names=["loss"], points=100_000)).series
    return series.steps


def test_a_job_is_saved_paused_resumed_ended_and_run_again_from_the_command_line(
    whole: Whole, ids: dict[str, str]
) -> None:
    def told(*words: str) -> Any:
        return json.loads(whole.fts("job", *words, "-o", "json").stdout)

    id, _ = running(whole, ids, "verbs")
    told("checkpoint", "verbs")
    until(lambda: "CheckpointSaved" in events(whole, id), 60, "a checkpoint")
    assert not whole.job(id).status.finished
    assert told("pause", "verbs")["status"] == "pausing"
    until(lambda: whole.job(id).status is JobStatus.paused, 60, "the pause")
    paused_at = whole.job(id).step
    assert told("priority", "verbs", "-5")["status"] == "paused"
    assert told("resume", "verbs")["status"] == "queued"
    whole.step(id, paused_at + 3)
    assert (whole.job(id).attempt, whole.job(id).priority, whole.job(id).retries) == (2, -5, 0)
    told("cancel", "verbs")
    until(lambda: whole.job(id).status is JobStatus.cancelled, 60, "the end")
    assert whole.fts("job", "pause", "verbs", check=False).returncode == 3
    assert told("retry", "verbs")["status"] == "queued"
    until(lambda: events(whole, id).count("JobResumed") == 2, 60, "it goes on")
    assert whole.job(id).attempt == 3 and whole.job(id).step >= paused_at
    told("cancel", "verbs")
    until(lambda: whole.job(id).status is JobStatus.cancelled, 60, "the end")
    assert told("retry", "verbs", "--anew")["status"] == "queued"
    until(lambda: whole.job(id).step > 0 and whole.job(id).attempt == 4, 60, "it begins anew")
    written = (whole.settings.artifacts_root / "jobs" / id / "4" / "events.jsonl").read_text().splitlines()
    assert next(told["step"] for told in map(json.loads, written) if told["type"] == "metrics") == 1 < paused_at
    told("cancel", "verbs")
    until(lambda: whole.job(id).status is JobStatus.cancelled, 60, "the end")
    assert steps(whole, id) == list(range(1, len(steps(whole, id)) + 1))
    assert whole.job(id).retries == 2


def test_a_clone_is_the_same_job_but_for_what_is_changed(whole: Whole, ids: dict[str, str]) -> None:
    first = whole.train("twin", ids, json.dumps(ARGUMENTS), loss_on="completion")
    whole.fts("job", "cancel", "twin")
    shown = whole.fts("job", "clone", "twin", "--num-epochs", "1", "--dry-run", "-o", "json").stdout
    assert json.loads(shown)["payload"]["adapter_name"] == "twin-2"
    done = whole.fts("job", "clone", "twin", "--num-epochs", "1", "--wait")
    assert "succeeded" in done.stdout
    (second,) = (each for each in whole.client.rows("ListFineTuningJobs", "fine_tuning_jobs") if each.name == "twin-2")
    assert (second.num_epochs, second.loss_on, second.max_length) == (1, "completion", whole.job(first).max_length)
