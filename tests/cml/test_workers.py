"""A job of several workers in pods: the first has the others launched by Cloudera's workers API, which is simulated here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gpu_runner import child
from gpu_runner.files import Files
from gpu_runner.spool import read_records
from tests.cml.scripted import JOB, OWN
from tests.runner.studio import until
from tests.runner.tiny import make_model, make_rows, tiny_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
RUNTIME = Path(__file__).parent / "runtime"
ROOT = str(Path(__file__).parents[2])
STEPS = 6


class Pods:
    """Attempts of a tiny training, each in pods of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.started = root, list[subprocess.Popen[str]]()
        (root / "artifacts").mkdir()
        (root / "artifacts" / ".fts-artifacts").write_text("marker\n")
        self.model, self.rows = make_model(root / "base"), make_rows(root / "rows.jsonl", 24)

    def attempt(self, job: str, workers: int, steps: int = STEPS, number: int = 1, **arguments: Any) -> Files:
        """Lay down what a steward lays down."""
        spec = tiny_spec(job, self.root, self.model, self.rows, needs_token=True)
        spec["training_arguments"] |= {"max_steps": steps, "per_device_train_batch_size": 4 // workers, **arguments}
        spec["resources"] = {"cpus": 1, "gpus": 0, "memory": 1, "workers": workers}
        files = Files(self.root / "artifacts" / "jobs" / job / str(number), 0)
        files.make()
        files.spec.write_text(json.dumps(spec))
        (self.notes(files)).mkdir(exist_ok=True)
        return files

    def notes(self, files: Files) -> Path:
        """Where the simulated API writes of this attempt's workers."""
        return self.root / f"workers-{files.directory.parent.name}"

    def start(self, files: Files) -> subprocess.Popen[str]:
        """Have Cloudera start the first pod."""
        kept = {name: value for name, value in os.environ.items() if name not in OWN}
        told = {
            "FTS_ATTEMPT_DIR": str(files.directory), "FTS_PART": "0", "FTS_RUNNER_ID": "r", "FTS_HOME": str(self.root),
            "PYTHONPATH": f"{RUNTIME}{os.pathsep}{ROOT}", "WORKERS_DIR": str(self.notes(files)),
            "CDSW_IP_ADDRESS": "127.0.0.1", "CDSW_APIV2_KEY": "key_canary", "HUGGINGFACE_ACCESS_TOKEN": "hf_canary",
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, JOB],
            cwd=self.root,
            env=kept | told,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, files: Files) -> tuple[int, str]:
        """Run it to its end."""
        process = self.start(files)
        printed, _ = process.communicate(timeout=300)
        return process.returncode, printed

    def workers(self, files: Files) -> list[dict[str, Any]]:
        """What was launched, in order."""
        return [json.loads(path.read_text()) for path in sorted(self.notes(files).glob("*.json"))]

    def close(self) -> None:
        """End everything that was started."""
        for process in self.started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for process in psutil.process_iter():
            try:
                if str(self.root) in process.environ().get("FTS_ATTEMPT_DIR", ""):
                    process.kill()
            except psutil.Error:
                continue


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    made = Pods(tmp_path_factory.mktemp("pods"))
    yield made
    made.close()


def said(files: Files, *types: str) -> list[dict[str, Any]]:
    records, _ = read_records(files.spool, 0, 1 << 26)
    return [each for each in records if not types or each["type"] in types]


def losses(files: Files) -> list[float]:
    return [each["values"]["loss"] for each in said(files, "metrics") if "loss" in each["values"]]


def test_two_pods_learn_what_one_would_and_none_is_left(pods: Pods) -> None:
    from safetensors.torch import load_file

    one, two = pods.attempt("one", 1), pods.attempt("two", 2)
    assert child.run(one.directory, None, part=0) == 0
    code, printed = pods.run(two)
    assert code == 0, printed + str(said(two))
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    found = [
        load_file(Path(said(each, "finished")[0]["summary"]["location"]) / "adapter_model.safetensors")
        for each in (one, two)
    ]
    assert max(float((found[0][name] - found[1][name]).abs().max()) for name in found[0]) < 1e-3
    assert max(float(each.abs().max()) for each in found[0].values()) > 1e-2
    [worker] = pods.workers(two)
    assert (worker["cpu"], worker["memory"], worker["gpus"]) == (1, 1, 0)
    assert worker["env"]["HUGGINGFACE_ACCESS_TOKEN"] == "hf_canary" and "key_canary" not in str(worker)
    until(
        lambda: not psutil.pid_exists(worker["pid"]) or psutil.Process(worker["pid"]).status() == "zombie",
        "its end",
        60,
    )


@pytest.mark.nightly
def test_a_worker_that_is_killed_ends_all_without_a_last_word_and_the_pod_started_anew_goes_on(pods: Pods) -> None:
    files = pods.attempt("killed", 2, steps=60, save_strategy="steps", save_steps=5, save_total_limit=2)
    process = pods.start(files)
    until(lambda: said(files, "checkpoint"), "a checkpoint", 120)
    os.killpg(pods.workers(files)[0]["pid"], signal.SIGKILL)
    worker = Files(files.directory.with_name("1.1"), 0).child()
    assert worker is not None
    try:
        os.kill(worker.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGKILL and not said(files, "finished")
    code, printed = pods.run(files)
    assert code == 0, printed
    assert said(files, "resumed")[0]["from_step"] >= 5 and len(pods.workers(files)) == 2


def test_what_cloudera_does_not_launch_fails_the_job_and_says_why(pods: Pods) -> None:
    files = pods.attempt("refused", 2)
    (pods.notes(files) / "refuses").touch()
    assert pods.run(files)[0] == 1
    error = said(files, "finished")[0]["error"]
    assert "worker 1 of 2" in error["message"] and "quota exceeded" in error["message"] and "dist_cpu" in error["hint"]


def test_a_job_that_is_cancelled_while_its_pods_gather_is_cancelled(pods: Pods) -> None:
    files = pods.attempt("cancelled", 2)
    files.control.write_text(json.dumps({"order": "cancel"}))
    assert pods.run(files)[0] == 0 and said(files, "finished")[0]["outcome"] == "cancelled"
