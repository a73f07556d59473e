"""Files of jobs that ended are kept as long as the settings say, and nothing that anyone still needs is freed with them."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors import freeing, keeping
from actors.desk import Desk
from actors.keeping import sweep
from actors.ticking import RETAIN_EVERY, tick
from core.store.eventlog import events_after
from core.store.session import Unit
from core.store.tables import Adapter
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, change, job, say, start, types

DAY = 86_400.0


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)
    desk.mark_artifacts()


def lay(desk: Desk, id: str, attempts: int = 2) -> Path:
    """The files of a job as its attempts leave them."""
    own = desk.settings.artifacts_root / "jobs" / id
    for attempt in range(1, attempts + 1):
        saved = own / str(attempt) / "checkpoints" / "checkpoint-4"
        saved.mkdir(parents=True)
        (saved / "optimizer.pt").write_bytes(b"x" * 1000)
        for name in ("events.jsonl", "log.txt", "spec.json"):
            (own / str(attempt) / name).write_text(name)
    (own / str(attempts) / "fresh").touch()
    return own


def ended(desk: Desk, status: str = "succeeded", days: float = 31) -> tuple[str, Path]:
    """A job that ended so many days ago, and its directory."""
    id = start(desk, f"job-{status}-{days:g}".replace("_", "-").replace(".", "-"))
    change(desk, id, status=status, finished_at=time.time() - days * DAY, checkpoint="jobs/x", attempt=2)
    return id, lay(desk, id)


def left(own: Path) -> list[str]:
    return sorted(path.relative_to(own).as_posix() for path in own.rglob("*") if path.is_file())


TOLD = ["1/events.jsonl", "1/log.txt", "1/spec.json", "2/events.jsonl", "2/fresh", "2/log.txt", "2/spec.json"]


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_checkpoints_go_when_they_were_kept_long_enough_and_what_tells_of_the_job_stays(
    desk: Desk, status: str
) -> None:
    id, own = ended(desk, status)
    _, young = ended(desk, status, days=29)
    tick(desk, RETAIN_EVERY * int(time.time() / RETAIN_EVERY + 1))
    assert left(own) == TOLD and len(left(young)) == len(TOLD) + 2
    assert job(desk, id).checkpoint is None
    assert types(desk, id)[-1] == "JobFilesFreed"
    with desk.store.read() as session:
        event = list(events_after(session, 0, 1000, resource_id=id))[-1]
    assert (event.data["what"], event.data["bytes"]) == ("checkpoints", 2000) and "ended 30 days ago" in event.message


def test_a_jobs_directory_goes_later_and_whole(desk: Desk) -> None:
    id, own = ended(desk, days=366)
    sweep(desk, time.time())
    assert not own.exists() and types(desk, id)[-2:] == ["JobFilesFreed", "JobFilesFreed"]
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["status"] == "succeeded"
    assert say(desk, "GetJobLog", id=id)["lines"] == []


def test_what_mlflow_keeps_of_a_job_stays_with_its_runs(desk: Desk) -> None:
    _, own = ended(desk, days=366)
    (own / "mlflow" / "adapter").mkdir(parents=True)
    (own / "mlflow" / "adapter" / "adapter_model.safetensors").write_text("weights")
    sweep(desk, time.time())
    assert left(own) == ["mlflow/adapter/adapter_model.safetensors"]


def test_what_is_still_told_to_mlflow_is_kept_until_it_is_told(desk: Desk) -> None:
    _, own = ended(desk, days=366)
    with (own / "tracking.lock").open("w") as lock:  # as gpu_runner.trackers holds it
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(desk, time.time())
        assert left(own) == sorted([*TOLD, "tracking.lock"]), "its checkpoints are nothing to MLflow"
    sweep(desk, time.time())
    assert not own.exists()


def test_directories_are_measured_before_the_store_is_locked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(desk)
    write, measured, writing = desk.store.write, list[bool](), list[int]()

    @contextmanager
    def watched() -> Iterator[Unit]:
        with write() as unit:
            writing.append(1)
            yield unit
            writing.pop()

    size = freeing.size
    monkeypatch.setattr(desk.store, "write", watched)
    monkeypatch.setattr(freeing, "size", lambda path: measured.append(bool(writing)) or size(path))  # type: ignore[func-returns-value]
    sweep(desk, time.time())
    assert measured and not any(measured)


def test_while_the_artifacts_are_away_no_job_counts_as_looked_at(desk: Desk) -> None:
    _, own = ended(desk)
    root = desk.settings.artifacts_root
    away = root.rename(root.with_name("away"))
    sweep(desk, time.time())
    away.rename(root)
    sweep(desk, time.time())
    assert left(own) == TOLD


def test_a_directory_that_can_not_be_read_keeps_no_other_from_its_turn(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_, first), (_, second) = ended(desk, days=40), ended(desk)
    attempts = keeping.logs.attempts

    def unreadable(directory: Path) -> list[int]:
        if directory == first:
            raise PermissionError(13, "Permission denied", str(directory))
        return attempts(directory)

    monkeypatch.setattr(keeping.logs, "attempts", unreadable)
    sweep(desk, time.time())
    assert len(left(first)) == len(TOLD) + 2 and left(second) == TOLD


def test_with_no_bound_everything_is_kept(desk: Desk) -> None:
    desk.settings.keep_checkpoints_days = desk.settings.keep_job_files_days = 0
    _, own = ended(desk, days=9_999)
    sweep(desk, time.time())
    assert len(left(own)) == len(TOLD) + 2


@pytest.mark.parametrize("status", ["queued", "paused", "running", "cancel_requested"])
def test_nothing_of_a_job_that_may_go_on_is_freed(desk: Desk, status: str) -> None:
    id, own = ended(desk, status, days=9_999)
    sweep(desk, time.time())
    assert len(left(own)) == len(TOLD) + 2 and job(desk, id).checkpoint


def test_what_an_adapter_points_at_is_kept(desk: Desk) -> None:
    id, own = ended(desk, days=9_999)
    with desk.store.write() as unit:
        location = str(own / "1" / "checkpoints" / "checkpoint-4")
        unit.session.add(Adapter(id="a", type="project", name="a", model_id="m", location=location))
    sweep(desk, time.time())
    assert "1/checkpoints/checkpoint-4/optimizer.pt" in left(own) and "1/log.txt" in left(own)
    assert "2/checkpoints/checkpoint-4/optimizer.pt" not in left(own), "its own checkpoints may go"
    assert types(desk, id).count("JobFilesFreed") == 1


def test_what_a_process_holds_goes_when_it_has_ended(desk: Desk) -> None:
    _, own = ended(desk, days=366)
    with (own / "2" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(desk, time.time())
        assert (own / "2" / "log.txt").exists()
    freeing.sweep(desk)
    assert not own.exists()


def test_a_job_that_is_run_again_before_its_files_are_freed_keeps_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, own = ended(desk, "failed")
    monkeypatch.setattr(freeing, "sweep", lambda *_: None)  # the process dies once they are noted
    sweep(desk, time.time())
    monkeypatch.undo()
    change(desk, id, spec={"job_id": id})
    say(desk, "RetryJob", id=id)
    freeing.sweep(desk)
    assert len(left(own)) == len(TOLD) + 2


def test_a_job_that_ends_again_is_looked_at_again_and_no_other_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "BATCH", 2)
    jobs = [ended(desk, "failed", days=40 + n) for n in range(5)]
    looked: list[str] = []
    attempts = keeping.logs.attempts
    monkeypatch.setattr(keeping.logs, "attempts", lambda path: looked.append(path.name) or attempts(path))  # type: ignore[func-returns-value]
    for _ in range(5):
        sweep(desk, time.time())
    assert looked == [id for id, _ in reversed(jobs)]
    id, own = jobs[0]
    say(desk, "RetryJob", id=id)
    runner = Speaker(desk)
    runner.report()
    runner.tell(id, {"type": "started", "at": 1.0, "pid": 1}, SUCCEEDED, attempt=3)
    (own / "2" / "checkpoints").mkdir()
    sweep(desk, time.time() + 29 * DAY)
    assert (own / "2" / "checkpoints").exists()
    sweep(desk, time.time() + 31 * DAY)
    assert not (own / "2" / "checkpoints").exists() and job(desk, id).attempt == 3
