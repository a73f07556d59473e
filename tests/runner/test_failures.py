"""Why a job ended: each class is told from the real error that causes it, with the last lines of the log."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from core.failing import CLASSES
from core.types import FailureClass
from gpu_runner.failures import JobError, failure_of
from gpu_runner.files import Files
from gpu_runner.spool import Spool
from gpu_runner.tail import last_lines
from tests.runner.attempts import Attempt
from tests.runner.conftest import Start
from tests.runner.studio import Studio, until
from tests.runner.test_daemon import child_pid, plan, steps
from tests.runner.tiny import make_model, make_rows, tiny_spec

F = FailureClass


def raised(do: Any) -> BaseException:
    with pytest.raises(BaseException) as caught:
        do()
    return caught.value


def wrapped(error: BaseException) -> BaseException:
    """As the errors of reading a model are: the user's fault, unless what lies behind it is another one."""
    made = JobError("m can't be loaded", "Check the model's files.")
    made.__cause__ = error
    return made


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (JobError("no rows", "Add some."), F.user_error),
        (JobError("no room", kind=F.disk_full), F.disk_full),
        (MemoryError(), F.out_of_memory),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), F.out_of_memory),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), F.out_of_memory),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), F.out_of_memory),
        (OSError(errno.ENOSPC, "No space left on device"), F.disk_full),
        (wrapped(OSError(errno.ENOSPC, "No space left on device")), F.disk_full),
        (wrapped(MemoryError()), F.out_of_memory),
        (wrapped(ValueError("bad header")), F.user_error),
        (ZeroDivisionError("division by zero"), F.bug),
        (JobError("a row says: out of memory"), F.user_error),
    ],
)
def test_the_class_is_told_by_what_went_wrong(error: BaseException, kind: str) -> None:
    failure = failure_of(error)
    assert failure.kind == kind and failure.message
    assert failure.cause and failure.hint


def test_torchs_own_error_on_a_host_without_memory_is_known() -> None:
    assert failure_of(raised(lambda: torch.empty(1 << 60, dtype=torch.uint8))).kind == F.out_of_memory


@pytest.mark.parametrize("kind", F)
def test_every_class_has_a_title_a_cause_and_a_next_step(kind: FailureClass) -> None:
    assert all(vars(CLASSES[kind]).values())


def test_a_file_that_changed_is_the_users_error_and_one_of_ours_that_is_broken_is_a_bug(tmp_path: Path) -> None:
    spec = tiny_spec("job", tmp_path, make_model(tmp_path / "base"), make_rows(tmp_path / "rows.jsonl"))
    spec["dataset"]["sha256"] = "0" * 64
    error = Attempt(tmp_path, 1).run(spec)["error"]
    assert error["kind"] == F.user_error and "changed" in error["message"] and "new dataset" in error["hint"]
    assert error["log_tail"] == ["── reading the rows"]

    broken = Attempt(tmp_path, 2)
    path = broken.prepare(spec) / "spec.json"
    path.write_text(path.read_text()[:200])
    from gpu_runner import child

    assert child.run(broken.directory, None) == 1
    error = broken.finished()["error"]
    assert error["kind"] == F.bug and "JSONDecodeError" in error["message"] and error["cause"] and error["hint"]
    assert "JSONDecodeError" in error["log_tail"][-1] and any("child.py" in line for line in error["log_tail"])


def test_the_last_lines_are_those_of_the_log_and_of_what_a_dead_process_printed(tmp_path: Path) -> None:
    files = Files(tmp_path)
    assert last_lines(files, printed=True) == []
    spool = Spool(files.spool)
    for number in range(30):
        spool.log(f"line {number}")
        for step in range(200):
            spool.metrics(step, {"loss": 1.0})
    spool.warn("two\n\nlines")
    assert last_lines(files) == [*(f"line {number}" for number in range(12, 30)), "two", "lines"]
    files.log.write_bytes(b"x" * 1_000_000 + b"\n" + b"\n".join(b"said %d \xff" % number for number in range(30)))
    told = last_lines(files, printed=True)
    assert len(told) == 20 and told[9] == "lines" and told[10:] == [f"said {number} \ufffd" for number in range(20, 30)]


@pytest.mark.parametrize("crash", [False, True])
def test_a_child_that_dies_without_a_word_is_told_with_what_it_printed(
    studio: Studio, start: Start, tmp_path: Path, crash: bool
) -> None:
    daemon = start()
    studio.give("j", 1, plan(tmp_path, "j", printed="a last word", crash_after=5 if crash else None))
    until(lambda: steps(studio, "j"), "a record")
    if not crash:
        import psutil

        psutil.Process(child_pid(tmp_path, "j")).kill()
    dead = until(lambda: studio.dead("j", 1), "the end")
    assert dead["exit_code"] == (-11 if crash else -9) and "a last word" in dead["log_tail"]
    assert any("Segmentation fault" in line for line in dead["log_tail"]) is crash
    assert daemon.poll() is None


def test_a_child_that_told_its_end_is_told_without_them(studio: Studio, start: Start, tmp_path: Path) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j", records=2, printed="nothing of it"))
    assert until(lambda: studio.dead("j", 1), "the end")["log_tail"] == []
    log = tmp_path / "artifacts" / "jobs" / "j" / "1" / "events.jsonl"
    assert json.loads(log.read_text().splitlines()[-1])["outcome"] == "succeeded"
