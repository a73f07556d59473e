"""A job made by hand from a template and JOB_ARGUMENTS: the real actors, a real pod, a script that trains nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
import pytest
from safetensors.numpy import save_file

from core.client import StudioClient
from core.messages.datasets import AddDataset
from core.messages.fine_tuning import FineTuningJobMetadata
from core.messages.models import AddModel
from core.messages.prompts import AddPrompt, PromptFields
from core.messages.runners import ListRunners
from core.settings import Settings
from tests.cml.scripted import JOB, OWN
from tests.runner.studio import until
from tests.runner.tiny import make_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = str(Path(__file__).parents[2])
SCRIPT = """
import json, pathlib, time, fts_job as job
place, name = pathlib.Path(__file__).parent, job.spec["name"]
with (place / f"{name}.runs").open("a") as runs:
    runs.write("run\\n")
for step in range(job.resume_step + 1, 1000):
    job.metrics(step, loss=1 / step)
    if (place / f"{name}.go").exists():
        break
    if job.order():
        job.leave()
    time.sleep(0.1)
with job.adapter() as directory:
    (directory / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    (directory / "adapter_model.safetensors").write_bytes(b"weights")
"""


class Workbench:
    """A studio whose actors run; nobody else runs jobs."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.started = home, list[subprocess.Popen[Any]]()
        ns = f"hand{os.getpid()}"
        settings = Settings(home=home / ".app", project=home, namespace=ns, FTS_REDIS_URL=url)
        kept = {name: value for name, value in os.environ.items() if name not in OWN}
        told = {"FTS_HOME": str(home / ".app"), "FTS_PROJECT": str(home), "FTS_REDIS_URL": url, "FTS_NAMESPACE": ns}
        self.environment = {**kept, **told, "FTS_TRACKING": "false", "HF_HUB_OFFLINE": "1", "FTS_LEASE_SECONDS": "10"}
        (home / "scripts").mkdir()
        (home / "scripts" / "mine.py").write_text(SCRIPT)
        (home / "data" / "adapters").mkdir(parents=True)
        (home / "rows.csv").write_text("my question,answer\n" + "".join(f"w{n},a\n" for n in range(30)))
        (home / "tiny").mkdir()
        (home / "tiny" / "config.json").write_text(
            json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
        )
        (home / "tiny" / "tokenizer.json").write_text("{}")
        save_file({"weights": np.zeros(4, np.float32)}, home / "tiny" / "model.safetensors")
        with (home / "actors.log").open("ab") as printed:
            command = [sys.executable, "-m", "actors.app", "commands", "runners", "slow"]
            self.started.append(subprocess.Popen(command, env=self.environment, stdout=printed, stderr=printed))
        self.client = StudioClient(settings)

    def fill(self) -> None:
        """Wait for the actors, and add what a job names."""
        until(lambda: b"ready" in (self.home / "actors.log").read_bytes(), "the actors", 120)
        self.dataset = self.client.call(AddDataset(type="project_csv", name="rows", location="rows.csv")).dataset.id
        self.model = self.client.call(AddModel(type="project", location="tiny")).model.id
        prompt = PromptFields(
            name="p", dataset_id=self.dataset, prompt_template="{my question} {answer}",
            input_template="{my question}", completion_template="{answer}",
        )  # fmt: skip
        self.prompt = self.client.call(AddPrompt(prompt=prompt)).prompt.id

    def real_model(self) -> str:
        """A model that can be trained; its id."""
        if not (self.home / "real").exists():
            make_model(self.home / "real")
            self.real = self.client.call(AddModel(type="project", location="real")).model.id
        return self.real

    def arguments(self, key: str, *more: str) -> str:
        """As the original studio writes them; the adapter's name is the key."""
        told = {"base_model_id": self.model, "dataset_id": self.dataset, "prompt_id": self.prompt, "experimentid": key}
        told |= {"out_dir": f"data/adapters/{key}", "train_out_dir": f"outputs/{key}", "user_script": "mine.py"}
        return " ".join([*(f"--{name} {value}" for name, value in told.items()), "--adapter_name", *more])

    def pod(self, arguments: str, **more: str) -> subprocess.Popen[str]:
        """Have Cloudera start the template's script."""
        process = subprocess.Popen(
            [sys.executable, JOB], cwd=self.home, env={**self.environment, "JOB_ARGUMENTS": arguments, **more},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, arguments: str, **more: str) -> tuple[int, str]:
        """The same to its end: the exit code, and what was printed."""
        process = self.pod(arguments, **more)
        printed, _ = process.communicate(timeout=200)
        return process.returncode, printed

    def job(self, name: str) -> FineTuningJobMetadata:
        """The one job of that name."""
        [found] = until(
            lambda: [each for each in self.client.get_fine_tuning_jobs() if each.adapter_name == name], "the job", 60
        )
        return found

    def go(self, key: str) -> None:
        """Let the script of a job come to its end."""
        (self.home / "scripts" / f"{key}.go").touch()

    def runs(self, key: str) -> int:
        """How often the script of a job was started."""
        return (self.home / "scripts" / f"{key}.runs").read_text().count("run")

    def close(self) -> None:
        """End everything that was started."""
        self.client.close()
        for process in self.started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for process in psutil.process_iter():
            try:
                if process.environ().get("FTS_HOME") == str(self.home / ".app"):
                    process.kill()
            except psutil.Error:
                continue


@pytest.fixture(scope="module")
def workbench(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    made = Workbench(tmp_path_factory.mktemp("hand"), valkey_url)
    try:
        made.fill()
        yield made
    finally:
        made.close()


def test_a_job_made_by_hand_is_one_of_the_studios_and_done_once_in_its_own_pod(workbench: Workbench) -> None:
    key = str(uuid4())
    arguments = workbench.arguments(key, "--hf_token hf_canary")
    workbench.go(key)
    code, printed = workbench.run(arguments)
    job = workbench.job(key)
    assert code == 0 and job.status == "succeeded" and job.attempt == 1, printed
    assert job.adapter_id and job.id in printed and "hf_canary" not in printed
    assert (workbench.home / "data" / "adapters" / job.id / "1").is_dir()
    assert {"gpu_label_id": f"only:{job.gpu_label_id}"} in [
        each.labels for each in workbench.client.call(ListRunners()).runners
    ]
    assert workbench.run(arguments)[0] == 0 and workbench.runs(key) == 1


@pytest.mark.nightly
def test_a_run_that_is_stopped_cancels_its_job_and_one_that_is_started_again_goes_on(workbench: Workbench) -> None:
    key = str(uuid4())
    stopped = workbench.pod(workbench.arguments(key))
    until(lambda: workbench.job(key).step >= 1, "a step", 60)
    stopped.send_signal(signal.SIGTERM)
    printed, _ = stopped.communicate(timeout=60)
    assert stopped.returncode == 143 and workbench.job(key).status == "cancelled", printed
    workbench.go(key)
    code, printed = workbench.run(workbench.arguments(key))
    job = workbench.job(key)
    assert code == 0 and "is run again" in printed and job.status == "succeeded" and job.attempt == 2, printed


@pytest.mark.nightly
def test_a_pod_that_is_killed_and_started_again_goes_on_with_the_same_job(workbench: Workbench) -> None:
    key = str(uuid4())
    arguments = workbench.arguments(key)
    killed = workbench.pod(arguments)
    until(lambda: workbench.job(key).step >= 1, "a step", 60)
    [pod] = psutil.Process(killed.pid).children()
    for each in (killed, pod, *pod.children(recursive=True)):  # a pod that is gone is gone with all that it ran
        each.kill()
    killed.communicate()
    workbench.go(key)
    code, printed = workbench.run(arguments)
    job = workbench.job(key)
    assert code == 0 and job.status == "succeeded" and job.attempt == 2, printed
    assert workbench.runs(key) == 2


def test_what_the_studio_refuses_is_told_with_its_rules(workbench: Workbench) -> None:
    code, printed = workbench.run(workbench.arguments(str(uuid4()), "my_adapter --train_test_split 2"))
    assert code == 3 and "FT-002" in printed and "FT-011" in printed


def test_a_studio_that_can_not_be_reached_is_told_and_so_are_arguments_that_tell_of_no_job(
    workbench: Workbench,
) -> None:
    arguments = workbench.arguments(str(uuid4()))
    code, printed = workbench.run(arguments, FTS_REDIS_URL="unix:///nowhere/at.sock")
    assert code == 5 and "FTS_REDIS_URL" in printed
    code, printed = workbench.run(f"{arguments} --hf_tokn hf_canary")
    assert code == 2 and "--hf_tokn is no option" in printed and "canary" not in printed


@pytest.mark.nightly
def test_an_evaluation_made_by_hand_leaves_its_results_where_they_were_asked_for(workbench: Workbench) -> None:
    model = workbench.real_model()
    told = {"base_model_id": model, "dataset_id": workbench.dataset, "prompt_id": workbench.prompt}
    told |= {"result_dir": "mlflow_results/7", "selected_features": "['myquestion']", "job_id": "7", "run_number": "0"}
    told |= {"eval_dataset_fraction": "0.20000000298023224", "comparison_adapter_id": "None"}
    told |= {"generation_config": '{"max_new_tokens":2}'}
    code, printed = workbench.run(" ".join(f"--{name} {value}" for name, value in told.items()))
    assert code == 0, printed
    [job] = workbench.client.get_evaluation_jobs()
    rows = (workbench.home / "mlflow_results" / "7" / "results.csv").read_text().splitlines()
    assert job.status == "succeeded" and job.rows == 6 and job.selected_features == ["my question"]
    assert len(rows) == 7 and "my question" in rows[0]


@pytest.mark.nightly
def test_a_job_of_two_workers_made_by_hand_is_trained_by_two_pods(workbench: Workbench) -> None:
    model = workbench.real_model()
    key, notes = str(uuid4()), workbench.home / "workers"
    notes.mkdir()
    told = {"base_model_id": model, "dataset_id": workbench.dataset, "prompt_id": workbench.prompt, "experimentid": key}
    told |= {"dist_num": "2", "dist_cpu": "1", "dist_mem": "1", "dist_gpu": "0"}
    told |= {"training_arguments_config": '{"max_steps":2,"per_device_train_batch_size":2}'}
    told |= {"lora_config": '{"r":4,"target_modules":["q_proj"]}'}
    runtime = {"PYTHONPATH": f"{Path(__file__).parent / 'runtime'}{os.pathsep}{ROOT}", "WORKERS_DIR": str(notes)}
    code, printed = workbench.run(
        " ".join(f"--{name} {value}" for name, value in told.items()),
        **runtime, CDSW_IP_ADDRESS="127.0.0.1", CDSW_APIV2_KEY="key_canary",
    )  # fmt: skip
    job = workbench.job(key)
    assert code == 0 and job.status == "succeeded" and job.num_workers == 2, printed
    assert len(list(notes.glob("*.json"))) == 1 and job.step == 2
