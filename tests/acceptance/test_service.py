"""Other services at a whole studio: the lines of docs/services.md as printed, and the example of a nightly service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.messages.configs import GetConfig
from core.messages.datasets import ListDatasets
from core.messages.fine_tuning import ListFineTuningJobs
from core.messages.jobs import CancelJob
from core.settings import settings
from tests.runner.tiny import make_model
from tests.tui.test_dashboard import shown, until
from tests.whole import Whole
from tui.app import Dashboard
from tui.screens.job import JobScreen
from tui.widgets.choice import Choice

ROOT = Path(__file__).resolve().parent.parent.parent
PRINTED = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "services.md").read_text(encoding="utf-8"), re.DOTALL)
ARGUMENTS = {
    "max_steps": 4,
    "per_device_train_batch_size": 8,
    "learning_rate": 0.01,
    "optim": "adamw_torch",
    "eval_strategy": "no",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    made = Whole(make_model(tmp_path_factory.mktemp("models") / "tiny"))
    made.up()
    yield made
    made.down()


def python(whole: Whole, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=whole.directory,
        env={**whole.environment, **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_ten_lines_that_import_nothing_of_ours_do_a_command_once_and_read_its_reply(whole: Whole) -> None:
    (code,) = PRINTED
    assert len(code.strip().splitlines()) <= 10
    assert not re.search(r"^\s*(?:from|import)\s+(?:core|actors|tui|gpu_runner)\b", code, re.MULTILINE)
    script = whole.directory / "service.py"
    script.write_text(code)
    done = python(whole, "-I", str(script), FTS_REDIS_URL=whole.settings.redis_url)
    assert done.returncode == 0, done.stderr
    config = whole.client.call(GetConfig(id=done.stdout.strip())).config
    assert json.loads(config.config or "") == {"r": 8, "lora_alpha": 16}
    assert python(whole, "-I", str(script), FTS_REDIS_URL=whole.settings.redis_url).stdout == done.stdout
    script.write_text(code.replace('"r": 8', '"rank": 8').replace("nightly-lora", "another"))
    refused = python(whole, "-I", str(script), FTS_REDIS_URL=whole.settings.redis_url)
    assert "CF-102" in refused.stdout


def nightly(whole: Whole, *words: str) -> subprocess.CompletedProcess[str]:
    return python(whole, str(ROOT / "examples" / "nightly.py"), *words, PYTHONPATH=os.fspath(ROOT))


@pytest.mark.slow
def test_the_nightly_service_trains_and_its_second_run_finds_what_the_first_did(whole: Whole) -> None:
    whole.resources()  # the model "tiny", and the prompt "act" whose templates are used
    (whole.directory / "2025-01-31.csv").write_text((whole.directory / "rows.csv").read_text())
    (whole.directory / "arguments.json").write_text(json.dumps(ARGUMENTS))
    words = ["2025-01-31.csv", "--model", "tiny", "--prompt", "act", "--gpus", "0"]
    words += ["--training-arguments", "arguments.json"]
    done = nightly(whole, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = whole.client.call(ListFineTuningJobs()).fine_tuning_jobs
    assert (job.adapter_name, job.status.value) == ("nightly-2025-01-31", "succeeded")
    assert f"{job.id} succeeded: adapter {job.adapter_id}" in done.stdout
    datasets = whole.client.call(ListDatasets()).datasets
    again = nightly(whole, *words)
    assert again.returncode == 0 and str(job.adapter_id) in again.stdout
    assert len(whole.client.call(ListFineTuningJobs()).fine_tuning_jobs) == 1
    assert whole.client.call(ListDatasets()).datasets == datasets


def test_the_nightly_service_says_what_was_refused(whole: Whole) -> None:
    done = nightly(whole, "nowhere.csv", "--model", "tiny", "--prompt", "act")
    assert done.returncode == 2
    assert "DS-003" in done.stderr


async def test_who_has_only_the_dashboard_comes_from_a_file_to_a_running_job_by_keys(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTS_HOME", str(tmp_path))  # what the dashboard keeps, not the studio
    settings.cache_clear()
    dashboard = Dashboard(make=lambda: whole.client, page="train")

    async def chosen(field: str) -> None:
        await until(pilot, lambda: dashboard.screen.query_one(f"#input-{field}", Choice).value)

    try:
        async with dashboard.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: "Name of the adapter" in shown(dashboard))
            await until(pilot, lambda: getattr(dashboard.screen, "filled", False))
            await pilot.press(*"by-keys", "tab", "tab", "ctrl+n", "enter")
            await pilot.press(*"directory", "enter", "tab", *"models/t")
            await until(pilot, lambda: "models/tiny/" in shown(dashboard))
            await pilot.press("tab", "tab", *"keyed", "ctrl+s")
            await until(pilot, lambda: dashboard.page == "train" and "by-keys" in shown(dashboard))
            await pilot.press("tab", "ctrl+n", "tab", *"rows.csv")
            await until(pilot, lambda: "2 columns" in shown(dashboard))
            await pilot.press("tab", *"keyed-rows", "ctrl+s")
            await until(pilot, lambda: "by-keys" in shown(dashboard) and "Prompt" in shown(dashboard))
            await pilot.press("tab", "ctrl+n", "ctrl+g")
            await until(pilot, lambda: "→" in shown(dashboard))
            await pilot.press("ctrl+s")
            await chosen("prompt_id")
            await until(pilot, lambda: "fits" in shown(dashboard))
            await pilot.press("ctrl+s")
            await until(pilot, lambda: "s send as it is" in shown(dashboard))  # few steps: it is asked before
            await pilot.press("s")
            await until(pilot, lambda: isinstance(dashboard.screen, JobScreen))
            await until(pilot, lambda: whole.job(dashboard.screen.job_id).step > 0)  # type: ignore[attr-defined]
            whole.client.call(CancelJob(id=dashboard.screen.job_id))  # type: ignore[attr-defined]
    finally:
        settings.cache_clear()
