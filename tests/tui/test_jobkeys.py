"""The keys of jobs: each sends its message for the job under the cursor, and what is given up is asked about first."""

from __future__ import annotations

from typing import Any

import pytest
from textual.widgets import Input

from core.client import Answer
from core.messages.adapters import AdapterMetadata
from core.messages.jobs import JobStateReply
from core.types import JobStatus
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import failed, job
from tests.tui.test_dashboard import app, shown, until
from tui.acting import told as outcome
from tui.screens.form import FormScreen
from tui.screens.job import JobScreen

KEYS: dict[str, tuple[str, dict[str, Any]]] = {
    "p": ("PauseJob", {}),
    "s": ("CheckpointJob", {}),
    "t": ("RetryJob", {"from_checkpoint": True}),
    "plus": ("SetJobPriority", {"priority": 10}),
    "minus": ("SetJobPriority", {"priority": -10}),
}


def told(studio: FakeStudio) -> tuple[str, dict[str, Any]] | None:
    """The last verb that was sent."""
    verbs = [
        each for each in studio.asked if type(each).__name__ in {"CancelJob", *(name for name, _ in KEYS.values())}
    ]
    return (type(verbs[-1]).__name__, verbs[-1].model_dump(exclude={"id"})) if verbs else None


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("opened", [False, True])
async def test_a_key_sends_its_message_on_the_list_and_on_the_jobs_own_screen(key: str, opened: bool) -> None:
    studio = FakeStudio()
    studio.rows["fine_tuning_jobs"] = [job("run")]
    async with app(studio, "run" if opened else None).run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, JobScreen) is opened and "running" in shown(pilot.app))
        await pilot.press(key)
        await until(pilot, lambda: told(studio) == KEYS[key])


async def test_a_paused_job_goes_on_by_the_key_that_paused_it() -> None:
    studio = FakeStudio()
    studio.rows["fine_tuning_jobs"] = [job("run")]
    async with app(studio).run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "running" in shown(pilot.app))
        await pilot.press("p")
        await until(pilot, lambda: "paused" in shown(pilot.app))
        await pilot.press("p")
        await until(pilot, lambda: studio.job("run").status is JobStatus.queued)


async def test_a_job_that_was_cancelled_before_a_runner_had_it_promises_no_log_and_tells_no_priority() -> None:
    studio = FakeStudio()
    studio.rows["fine_tuning_jobs"] = [job("run", status=JobStatus.queued, runner=None, runner_id=None)]
    async with app(studio, "run").run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "the log begins when a runner has the job" in shown(pilot.app))
        await pilot.press("c", "y")
        await until(pilot, lambda: "no runner had it: there is no log" in shown(pilot.app))
        assert "priority" not in told_of("CancelJob", 0) and "priority 10" in told_of("SetJobPriority", 10)


def told_of(name: str, priority: int) -> str:
    """What the dashboard says of a verb's answer."""
    reply = JobStateReply(id="run", status=JobStatus.queued, priority=priority)
    return outcome(name, Answer(reply, [], None))


async def test_to_begin_anew_is_asked_about_first(studio_failed: FakeStudio) -> None:
    async with app(studio_failed).run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "adapter-bad" in shown(pilot.app))
        await pilot.press("T")
        await until(pilot, lambda: "from the beginning" in shown(pilot.app))
        await pilot.press("n")
        await pilot.pause()
        assert told(studio_failed) is None
        await pilot.press("T", "y")
        await until(pilot, lambda: told(studio_failed) == ("RetryJob", {"from_checkpoint": False}))


@pytest.fixture
def studio_failed() -> FakeStudio:
    made = FakeStudio()
    made.rows["fine_tuning_jobs"] = [failed("bad")]
    return made


async def test_a_clone_is_the_form_with_what_the_job_had_under_the_next_name() -> None:
    studio = filled()
    config = '{"r": 16}'
    told = {"base_model_id": "m1", "dataset_id": "d1", "prompt_id": "p1", "num_cpu": 3, "max_length": 64, "priority": 5}
    studio.rows["fine_tuning_jobs"] = [job("one", adapter_name="tickets-1", lora_config=config, **told)]
    async with app(studio).run_test(size=(120, 50)) as pilot:
        await until(pilot, lambda: "tickets-1" in shown(pilot.app))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen) and "SmolLM2" in shown(pilot.app))
        form = pilot.app.screen
        assert form.query_one("#input-adapter_name", Input).value == "tickets-2"
        await until(pilot, lambda: "as the job had it" in shown(pilot.app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, JobScreen))
        sent = [each for each in studio.asked if type(each).__name__ == "StartFineTuningJob"][-1]
        assert {name: getattr(sent, name) for name in told} == told
        assert (sent.adapter_name, sent.lora_config) == ("tickets-2", config)  # type: ignore[attr-defined]


async def test_keys_of_jobs_do_nothing_on_other_lists() -> None:
    studio = filled()
    async with app(studio).run_test(size=(120, 36)) as pilot:
        await pilot.press("colon", *"datasets", "enter")
        await until(pilot, lambda: "tickets" in shown(pilot.app))
        await pilot.press("c", "p", "s", "t", "T", "C", "plus")
        await pilot.pause()
        assert told(studio) is None and not isinstance(pilot.app.screen, FormScreen)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_failed_job_shows_its_class_the_cause_the_next_step_and_on_demand_everything(
    studio_failed: FakeStudio, size: tuple[int, int]
) -> None:
    async with app(studio_failed, "bad").run_test(size=size) as pilot:
        await until(pilot, lambda: "✗ out of memory" in shown(pilot.app))
        text = shown(pilot.app)
        assert "step 40" in text and "why" in text and "next" in text and "max_length" in text
        assert "run it again from the beginning: it has no checkpoint" in text and "[f failure]" in text
        await pilot.press("G")
        await until(pilot, lambda: "torch.OutOfMemoryError" in shown(pilot.app))


async def test_what_a_job_trained_is_evaluated_from_a_form_that_knows_it() -> None:
    studio = filled()
    studio.rows["adapters"] = [
        AdapterMetadata(id=id, type="project", name=f"tickets-{id}", model_id="m1", location="/x")
        for id in ("a1", "a2")
    ]
    made = {"base_model_id": "m1", "dataset_id": "d1", "prompt_id": "p1", "framework_type": "legacy", "num_memory": 4}
    studio.rows["fine_tuning_jobs"] = [job("done", status=JobStatus.succeeded, adapter_id="a2", **made)]
    async with app(studio).run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "adapter-done" in shown(pilot.app))
        await pilot.press("v")
        await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen) and "tickets-a2" in shown(pilot.app))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "--pair m1 --pair m1:a2" in shown(pilot.app))
        assert "--dataset-id d1 --prompt-id p1" in shown(pilot.app)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: "adapter-done" in shown(pilot.app))  # nothing was typed: nothing is asked


async def test_the_adapter_that_a_job_made_is_asked_from_the_jobs_own_screen_which_says_how() -> None:
    studio = filled()
    studio.rows["adapters"] = [
        AdapterMetadata(id=id, type="project", name=f"tickets-{id}", model_id="m1", location="/x")
        for id in ("a1", "a2")
    ]
    made = {"base_model_id": "m1", "dataset_id": "d1", "prompt_id": "p1", "framework_type": "legacy", "num_gpu": 0}
    studio.rows["fine_tuning_jobs"] = [job("done", status=JobStatus.succeeded, adapter_id="a2", **made)]
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-done" in shown(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: "a ask it  v evaluate  C clone" in shown(pilot.app))
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen) and "[x] tickets-a2" in shown(pilot.app))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "--adapter-id" in shown(pilot.app) and "--dataset-id d1" in shown(pilot.app))


async def test_a_job_without_a_result_has_nothing_to_evaluate() -> None:
    studio = FakeStudio()
    studio.rows["fine_tuning_jobs"] = [job("run", framework_type="legacy")]
    async with app(studio).run_test(size=(120, 36), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("v")
        await until(pilot, lambda: "nothing to evaluate yet" in shown(pilot.app))


async def test_a_jobs_own_screen_tells_what_stands_in_the_way_of_its_removal_before_it_asks() -> None:
    studio = filled()
    studio.held["done"] = "an export of it is under way"
    async with app(studio).run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-done" in shown(pilot.app))
        pilot.app.show_job("done")  # type: ignore[attr-defined]
        await until(pilot, lambda: "a ask it" in shown(pilot.app))
        await pilot.press("ctrl+d")
        await until(pilot, lambda: "adapter-done can't be removed" in shown(pilot.app))
        assert not [each for each in studio.asked if type(each).__name__ == "RemoveFineTuningJob"]
