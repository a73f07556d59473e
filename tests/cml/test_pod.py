"""A pod runs its part of an attempt once, alone, and knows no secret but the one that it needs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from gpu_runner.cml.leader import CALLS
from gpu_runner.cml.pod import take_secrets
from gpu_runner.processes import is_running, started_at
from tests.cml.scripted import Pod
from tests.runner.studio import until

ENDLESS = "import time, fts_job as job\njob.phase('on')\ntime.sleep(600)"
TELLS = "import os, fts_job as job\njob.log('token ' + os.environ.get('HF_TOKEN', 'none'))\njob.log(' '.join(os.environ.values()))"
STEPS = """
import os, pathlib, time, fts_job as job
sealed = pathlib.Path(job._job["spec"]).parent / "checkpoints" / "checkpoint-2"
for step in range(job.resume_step + 1, 4):
    job.metrics(step, loss=1.0)
    with job.checkpoint(step) as directory:
        (directory / "state.txt").write_text(str(step))
    while step == 2 and not job.resume:
        time.sleep(0.01)
        if sealed.exists():
            pathlib.Path("script.pid").write_text(str(os.getpid()))
            os.kill(os.getppid(), 9)
            time.sleep(600)
"""


def on(pod: Pod) -> bool:
    return any(each.get("name") == "on" for each in pod.records("phase"))


def test_a_pod_writes_all_that_it_says_into_its_part_and_ends_with_its_jobs_code(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "raise SystemExit(3)")
    code, printed = pod.run(CDSW_ENGINE_ID="abc")
    told = json.loads((pod.files.own / "pod.json").read_text())
    assert code == 1 and pod.records()[-1]["outcome"] == "failed" and str(pod.files.log) in printed
    assert (told["runner_id"], told["engine"], bool(told["host"])) == ("r", "abc", True)
    assert {each.name for each in pod.files.directory.glob("*.json*")} == {"spec.json", "job.json"}


def test_a_pod_waits_until_the_one_before_it_is_gone(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    pod.files.own.mkdir(parents=True)
    lock = pod.files.take_lock()
    assert lock is not None
    process = pod.start()
    assert process.stdout is not None and "another pod runs this part" in process.stdout.readline()
    assert not pod.files.spool.exists()
    os.close(lock)
    process.communicate(timeout=120)
    assert process.returncode == 0 and pod.records()[-1]["outcome"] == "succeeded"


def test_a_pod_that_is_started_anew_goes_on_from_its_own_checkpoint_until_its_part_is_done(tmp_path: Path) -> None:
    pod = Pod(tmp_path, STEPS)
    assert pod.run()[0] == 128 + signal.SIGKILL and not pod.records("finished")
    script = int((pod.files.directory / "work" / "script.pid").read_text())
    until(lambda: not started_at(script), "the end of what the killed one had started", 60)
    assert pod.run()[0] == 0
    assert [each["from_step"] for each in pod.records("resumed")] == [2]
    assert [each["step"] for each in pod.records("metrics")] == [1, 2, 3]
    said = pod.files.spool.read_bytes()
    assert pod.run()[0] == 0 and pod.files.spool.read_bytes() == said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_ends_the_script_of_the_job_ends_all_that_it_started(tmp_path: Path, number: signal.Signals) -> None:
    pod = Pod(tmp_path, ENDLESS)
    process = pod.start()
    until(lambda: on(pod), "the job's first word", 60)
    child = pod.files.child()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (143 if number is signal.SIGTERM else -9)
    assert child is not None
    until(lambda: not is_running(child.pid, child.started), "the pod's end", 60)


def test_secrets_are_taken_out_of_the_environment_but_for_a_job_that_asks_cloudera_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"HUGGINGFACE_ACCESS_TOKEN": "a", "CDSW_APIV2_KEY": "b", "FTS_REDIS_URL": "c", "FTS_NOTIFY_WEBHOOK": "d"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    taken = take_secrets(kept=CALLS)
    assert {name: taken.get(name) for name in given} == {**given, "CDSW_APIV2_KEY": None}
    assert {name: os.environ.get(name) for name in given} == {**dict.fromkeys(given), "CDSW_APIV2_KEY": "b"}


@pytest.mark.parametrize("needed", [True, False])
def test_the_token_reaches_a_job_that_needs_it_and_no_other(tmp_path: Path, needed: bool) -> None:
    pod = Pod(tmp_path, TELLS, needs_token=needed)
    code, _ = pod.run(
        HUGGINGFACE_ACCESS_TOKEN="hf_canary", CDSW_APIV2_KEY="key_canary", FTS_REDIS_URL="redis://u:pw_canary@x"
    )
    said = " ".join(each["text"] for each in pod.records("log"))
    assert code == 0 and ("token hf_canary" in said) is needed and ("hf_canary" in said) is needed
    assert "key_canary" not in said and "pw_canary" not in said


def test_a_pod_that_is_told_of_no_attempt_says_so(tmp_path: Path) -> None:
    code, printed = Pod(tmp_path).run(FTS_ATTEMPT_DIR=str(tmp_path))
    assert code == 2 and "FTS_ATTEMPT_DIR" in printed and "spec.json" in printed
