"""A whole studio in a directory of its own: the real supervisor, Valkey, actors, runner, and a tiny model to train."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from core.client import StudioClient
from core.errors import StudioError
from core.messages.datasets import AddDataset
from core.messages.fine_tuning import FineTuningJobMetadata, GetFineTuningJob, StartFineTuningJob
from core.messages.models import AddModel
from core.messages.prompts import AddPrompt, PromptFields
from core.messages.runners import ListRunners
from core.settings import Settings
from tui.cli.home import Home

ROWS = "text,intent\n" + "".join(f"w{n % 98} a b w{n % 7},w{n % 9}\n" for n in range(600))


def until(true: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until it is true; fail when it takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return value


class Work:
    """What a user does at a studio that `client` talks to."""

    client: StudioClient

    def resources(self) -> dict[str, str]:
        """Add the dataset, the model and the prompt."""
        dataset = self.client.call(AddDataset(type="project_csv", name="rows", location="rows.csv")).dataset.id
        model = self.client.call(AddModel(type="project", location="models/tiny")).model.id
        fields = PromptFields(
            name="act",
            dataset_id=dataset,
            prompt_template="T: {text}\nA: {intent}",
            input_template="T: {text}\nA:",
            completion_template=" {intent}",
        )
        prompt = self.client.call(AddPrompt(prompt=fields)).prompt.id
        return {"base_model_id": model, "dataset_id": dataset, "prompt_id": prompt}

    def train(self, name: str, ids: dict[str, str], arguments: str, **fields: Any) -> str:
        """Start a job on the CPU; its id."""
        asked = {"num_cpu": 1, "num_gpu": 0, "num_memory": 1, "packing": False, "max_length": 48, **fields}
        request = StartFineTuningJob(adapter_name=name, training_arguments_config=arguments, **ids, **asked)
        return self.client.call(request).fine_tuning_job.id

    def job(self, id: str) -> FineTuningJobMetadata:
        """The job as it is now, however long the studio is away."""

        def ask() -> FineTuningJobMetadata | None:
            try:
                return self.client.call(GetFineTuningJob(id=id), timeout=5).fine_tuning_job
            except StudioError:
                return None

        found: FineTuningJobMetadata = until(ask, 60, "the studio answers")
        return found

    def step(self, id: str, step: int) -> None:
        """Wait until the job has come to a step."""
        until(lambda: self.job(id).step >= step, 60, f"step {step}")

    def end(self, id: str) -> FineTuningJobMetadata:
        """Wait for the job's end."""
        until(lambda: self.job(id).status.finished, 240, "the job ends")
        return self.job(id)


class Whole(Work):
    """The studio; `environment` is laid over the process's."""

    def __init__(self, model: Path, **environment: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fts-"))
        shutil.copytree(model, self.directory / "models" / "tiny")
        (self.directory / "rows.csv").write_text(ROWS)
        self.settings = Settings(home=self.directory / ".app", project=self.directory)
        self.home = Home(self.settings.root)
        paths = {"FTS_HOME": str(self.settings.root), "FTS_PROJECT": str(self.directory)}
        self.environment = {**os.environ, **paths, "HF_HUB_OFFLINE": "1", "FTS_TRACKING": "false", **environment}
        self.client = StudioClient(self.settings)

    def fts(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line in the studio's directory."""
        command = [sys.executable, "-m", "tui.cli.main", *words]
        root = str(Path(__file__).resolve().parent.parent)
        environment = {**self.environment, "PYTHONPATH": root}
        done = subprocess.run(
            command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def up(self) -> None:
        """Start it, and wait for its runner."""
        self.fts("up", "--detach")
        until(lambda: self.client.call(ListRunners()).runners, 60, "a runner registers")

    def down(self) -> None:
        """Stop it, and every job of it."""
        self.fts("down", check=False)
        self.client.close()
        until(lambda: not self._killed(), 60, "nothing of it is left")  # what is killed may just have started another
        shutil.rmtree(self.directory, ignore_errors=True)

    def left(self) -> list[str]:
        """The processes of this studio that run, whoever started them."""
        return [" ".join(process.cmdline()) for process in self._processes()]

    def _processes(self) -> Iterator[psutil.Process]:
        """Known by their environment: a job that is forked from the warm process has the command line of that one."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get("FTS_HOME") == str(self.settings.root)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def _killed(self) -> bool:
        found = list(self._processes())
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        return bool(found)

    def pid(self, name: str) -> int:
        """The pid of one of the supervisor's processes, once it has one."""
        return int(until(lambda: self.home.read().get("processes", {}).get(name, {}).get("pid"), 60, f"{name} runs"))
