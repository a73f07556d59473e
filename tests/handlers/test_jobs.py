"""Jobs as runners and people meet them, on the level of messages: leases, fencing, lost replies, outages, cancelling."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from sqlalchemy import select

from actors.answering import answer
from actors.desk import Desk
from actors.jobs import LEGAL, Illegal, move
from actors.ticking import tick
from core.events import fold_status
from core.store.eventlog import events_after
from core.store.tables import Adapter, EvaluationJob, Job, Meta, Metric
from core.types import JobStatus

S = JobStatus


class Studio:
    """The desk's messages in short words."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.mark_artifacts()
        with desk.store.read() as session:
            self.marker = session.scalar(select(Meta.value).where(Meta.key == "marker")) or ""
        (desk.settings.project / "rows.csv").write_text("text,intent\na,b\nc,d\n")
        self.ids = self._resources()

    def say(self, message: str, /, **payload: Any) -> Any:
        """Send a message that must be done; its value."""
        reply = answer(self.desk, message, payload)
        assert reply["ok"], reply
        return reply["value"]

    def refused(self, message: str, /, **payload: Any) -> dict[str, Any]:
        """Send a message that must not be done; the reply."""
        reply = answer(self.desk, message, payload)
        assert not reply["ok"]
        return reply

    def _resources(self) -> dict[str, str]:
        dataset = self.say("AddDataset", type="project_csv", name="rows", location="rows.csv")["dataset"]["id"]
        directory = self.desk.settings.project / "tiny"
        directory.mkdir()
        for name, text in (
            ("config.json", '{"architectures": ["L"]}'),
            ("tokenizer.json", "{}"),
            ("model.safetensors", "x"),
        ):
            (directory / name).write_text(text)
        model = self.say("AddModel", type="project", location="tiny")["model"]["id"]
        templates = {
            "prompt_template": "{text} {intent}",
            "input_template": "{text}",
            "completion_template": " {intent}",
        }
        prompt = self.say("AddPrompt", prompt={"name": "p", "dataset_id": dataset, **templates})["prompt"]["id"]
        return {"base_model_id": model, "dataset_id": dataset, "prompt_id": prompt}

    def submit(self, name: str = "a-1", **fields: Any) -> str:
        """Queue a job."""
        asked = {"num_cpu": 1, "num_gpu": 0, "num_memory": 1, **self.ids, **fields}
        return str(self.say("StartFineTuningJob", adapter_name=name, **asked)["fine_tuning_job"]["id"])

    def runner(self, id: str | None = None, **offered: Any) -> tuple[str, int]:
        """Register a runner."""
        known = {"host": "h", "cpus": 2, "memory": 8.0, "engines": ["legacy", "evaluation"], "marker": self.marker}
        value = self.say("RegisterRunner", runner_id=id, **{**known, **offered})
        return value["runner_id"], value["incarnation"]

    def report(self, runner: tuple[str, int], *jobs: dict[str, Any]) -> dict[str, Any]:
        """Report, and get the truth."""
        value: dict[str, Any] = self.say("ReportProgress", runner_id=runner[0], incarnation=runner[1], jobs=list(jobs))
        return value

    def job(self, id: str) -> Any:
        """The job as people see it."""
        return self.say("GetFineTuningJob", id=id)["fine_tuning_job"]

    def events(self) -> list[str]:
        """The types of the events about jobs, in order."""
        with self.desk.store.read() as session:
            return [event.type for event in events_after(session, 0) if event.kind == "jobs"]


@pytest.fixture
def studio(desk: Desk) -> Studio:
    return Studio(desk)


def told(job: str, attempt: int, offset: int, *records: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A job's part of a report; each record takes ten bytes."""
    made = [{"at": 1.0, **record, "offset": offset + 10 * index} for index, record in enumerate(records, 1)]
    return {
        "job_id": job,
        "attempt": attempt,
        "offset": offset,
        "next_offset": offset + 10 * len(made),
        "records": made,
        **others,
    }


STARTED = {"type": "started", "pid": 1, "total_steps": 3}


def loss(step: int, value: float) -> dict[str, Any]:
    return {"type": "metrics", "step": step, "values": {"loss": value}}


def done(outcome: str = "succeeded", **fields: Any) -> dict[str, Any]:
    return {"type": "finished", "outcome": outcome, **fields}


def test_a_job_goes_from_the_queue_to_a_registered_adapter(studio: Studio) -> None:
    id, runner = studio.submit(), studio.runner()
    (order,) = studio.report(runner)["jobs"]
    assert (order["job_id"], order["attempt"], order["order"], order["spec"]["job_id"]) == (id, 1, "run", id)
    artifact = {"type": "artifact", "kind": "adapter", "path": "/out/x", "files": {"a": "b"}}
    (order,) = studio.report(runner, told(id, 1, 0, STARTED, loss(1, 0.5)))["jobs"]
    assert order["accepted"] == 20 and order["spec"] is None and studio.job(id)["status"] == "running"
    (order,) = studio.report(runner, told(id, 1, 20, artifact, done()))["jobs"]
    assert (order["job_id"], order["attempt"], order["order"], order["accepted"]) == (id, 1, "stop", 40)
    job = studio.job(id)
    assert job["status"] == "succeeded"
    adapter = studio.say("GetAdapter", id=job["adapter_id"])["adapter"]
    assert (adapter["name"], adapter["location"], adapter["fine_tuning_job_id"]) == ("a-1", "/out/x", id)
    assert studio.events() == ["JobQueued", "JobAssigned", "JobStarted", "ArtifactSaved", "JobSucceeded"]


def test_a_report_told_twice_or_overlapping_counts_once_and_a_gap_counts_not_at_all(studio: Studio) -> None:
    id, runner = studio.submit(), studio.runner()
    studio.report(runner)
    studio.report(runner, told(id, 1, 0, STARTED, loss(1, 0.5)))
    studio.report(runner, told(id, 1, 0, STARTED, loss(1, 9.0), loss(2, 0.4)))
    (order,) = studio.report(runner, told(id, 1, 50, loss(3, 0.3)))["jobs"]
    assert order["accepted"] == 30
    with studio.desk.store.read() as session:
        assert [(row.step, row.value) for row in session.scalars(select(Metric).order_by(Metric.step))] == [
            (1, 0.5),
            (2, 0.4),
        ]


def test_a_lost_reply_is_healed_by_the_next_one(studio: Studio) -> None:
    id, runner = studio.submit(), studio.runner()
    studio.report(runner)
    (again,) = studio.report(runner)["jobs"]
    assert again["job_id"] == id and again["spec"] is not None and again["attempt"] == 1


def test_a_stale_attempt_changes_nothing_and_is_stopped(studio: Studio) -> None:
    id, paused, other = studio.submit(), studio.runner(), None
    studio.report(paused)
    studio.report(paused, told(id, 1, 0, STARTED, loss(1, 0.5)))
    other = studio.runner(host="other")
    now = time.time()
    tick(studio.desk, now)
    for second in range(1, 45):
        tick(studio.desk, now + second)
    assert studio.job(id)["status"] == "queued"
    (order,) = studio.report(other)["jobs"]
    assert order["attempt"] == 2
    (stale,) = studio.report(paused, told(id, 1, 20, loss(2, 99.0), done()))["jobs"]
    assert stale["order"] == "stop"
    assert studio.job(id)["status"] == "assigned" and studio.job(id)["attempt"] == 2
    with studio.desk.store.read() as session:
        assert [row.value for row in session.scalars(select(Metric))] == [0.5]


def test_a_report_of_an_older_self_is_not_heard(studio: Studio) -> None:
    id, old = studio.submit(), studio.runner()
    studio.report(old)
    new = studio.runner(old[0])
    assert new == (old[0], old[1] + 1)
    late = studio.refused("ReportProgress", runner_id=old[0], incarnation=old[1], jobs=[told(id, 1, 0, STARTED)])
    assert late["code"] == "conflict" and studio.job(id)["status"] == "assigned"
    (order,) = studio.report(new, told(id, 1, 0, STARTED))["jobs"]
    assert order["order"] == "run" and studio.job(id)["status"] == "running"


def test_an_outage_of_the_studio_takes_no_job_from_its_runner(studio: Studio) -> None:
    id, runner = studio.submit(), studio.runner()
    studio.report(runner)
    now = time.time()
    tick(studio.desk, now)
    tick(studio.desk, now + 3600)
    for second in range(1, 29):
        tick(studio.desk, now + 3600 + second)
    assert studio.job(id)["status"] == "assigned"
    for second in range(29, 40):
        tick(studio.desk, now + 3600 + second)
    assert studio.job(id)["status"] == "queued"
    assert "JobLost" in studio.events()


def test_a_child_that_dies_runs_again_and_one_that_keeps_dying_fails_with_advice(studio: Studio) -> None:
    id, runner = studio.submit(), studio.runner()
    for attempt in (1, 2, 3, 4):
        studio.report(runner)
        lines = [f"line {number}" for number in range(30)]
        studio.report(runner, told(id, attempt, 0, STARTED, alive=False, exit_code=-9, log_tail=lines))
        assert studio.job(id)["status"] == ("failed" if attempt == 4 else "assigned")
    job = studio.job(id)
    assert (job["failure_class"], job["retries"]) == ("killed", 3)
    assert "batch size" in job["error"]["hint"] and "SIGKILL" in job["error"]["cause"]
    assert job["error"]["log_tail"] == lines[-20:]


def test_a_new_checkpoint_makes_earlier_deaths_forgotten(studio: Studio) -> None:
    id, runner = studio.submit(), studio.runner()
    for attempt in range(1, 6):
        studio.report(runner)
        records = [STARTED, {"type": "checkpoint", "step": attempt, "path": "x"}]
        studio.report(runner, told(id, attempt, 0, *records, alive=False))
    assert studio.job(id)["status"] == "assigned"


def test_a_resumed_attempt_cuts_the_numbers_that_will_come_again(studio: Studio) -> None:
    id, runner = studio.submit(), studio.runner()
    studio.report(runner)
    studio.report(runner, told(id, 1, 0, STARTED, *(loss(step, 1.0) for step in range(1, 6)), alive=False))
    studio.report(runner, told(id, 2, 0, {"type": "resumed", "from_step": 3, "path": "c"}, STARTED, loss(4, 2.0)))
    (series,) = studio.say("GetJobMetrics", id=id)["series"]
    assert (series["steps"], series["values"]) == ([1, 2, 3, 4], [1.0, 1.0, 1.0, 2.0])


def test_cancelling_is_at_once_in_the_queue_and_a_request_while_it_runs(studio: Studio) -> None:
    waiting = studio.submit("w")
    assert studio.say("CancelJob", id=waiting)["status"] == "cancelled"
    assert studio.refused("CancelJob", id=waiting)["code"] == "conflict"
    id, runner = studio.submit("r"), studio.runner()
    studio.report(runner)
    assert studio.say("CancelJob", id=id)["status"] == "cancel_requested"
    (order,) = studio.report(runner, told(id, 1, 0, STARTED))["jobs"]
    assert order["order"] == "cancel"
    studio.report(runner, told(id, 1, 10, done("cancelled")))
    assert studio.job(id)["status"] == "cancelled"
    assert studio.refused("CancelJob", id="nothing")["code"] == "not_found"


def test_a_cancelled_job_whose_runner_is_lost_ends_cancelled_and_is_not_run_again(studio: Studio) -> None:
    id, runner = studio.submit(), studio.runner()
    studio.report(runner)
    studio.say("CancelJob", id=id)
    now = time.time()
    for second in range(45):
        tick(studio.desk, now + second)
    assert studio.job(id)["status"] == "cancelled"


def test_a_job_that_was_cancelled_says_just_that_however_its_process_went(studio: Studio) -> None:
    id, runner = studio.submit("killed"), studio.runner()
    studio.report(runner, told(id, 1, 0))
    studio.report(runner, told(id, 1, 0, STARTED))
    studio.say("CancelJob", id=id)
    studio.report(runner, told(id, 1, 10, alive=False, exit_code=-15))
    assert studio.say("ListEvents", type="JobCancelled")["events"][0]["message"] == "killed was cancelled"


def test_a_draining_runner_gives_its_jobs_back_and_gets_none(studio: Studio) -> None:
    id, runner = studio.submit(), studio.runner()
    studio.report(runner)
    studio.say("DrainRunner", id=runner[0])
    reply = studio.report(runner, told(id, 1, 0, STARTED))
    assert reply["draining"] and reply["jobs"][0]["order"] == "pause"
    studio.report(runner, told(id, 1, 10, done("paused")))
    assert studio.job(id)["status"] == "queued" and studio.report(runner)["jobs"] == []
    studio.say("DrainRunner", id=runner[0], draining=False)
    assert studio.report(runner)["jobs"][0]["attempt"] == 2


def test_a_runner_on_another_directory_gets_no_work_and_people_are_told(studio: Studio) -> None:
    id = studio.submit()
    stranger = studio.runner(marker="another")
    assert studio.report(stranger)["jobs"] == []
    assert studio.say("ListRunners")["runners"][0]["status"] == "no shared artifacts"
    assert "artifacts" in studio.job(id)["waiting_for"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [({"num_gpu": 1}, "1 GPU"), ({"num_cpu": 64}, "64 CPU cores"), ({"num_memory": 512}, "512 GiB")],
)
def test_a_job_that_fits_nowhere_says_what_is_missing(studio: Studio, asked: dict[str, int], why: str) -> None:
    id = studio.submit(**asked)
    assert "fts up" in studio.job(id)["waiting_for"]
    assert studio.report(studio.runner())["jobs"] == []
    assert why in studio.job(id)["waiting_for"]


def test_a_runner_is_never_given_more_than_it_has(studio: Studio) -> None:
    ids = [studio.submit(f"n-{number}") for number in range(4)]
    orders = studio.report(studio.runner())["jobs"]
    assert {order["job_id"] for order in orders} == set(ids[:2])


def test_an_adapter_name_that_was_taken_meanwhile_gets_a_suffix_and_a_warning(studio: Studio) -> None:
    id, runner = studio.submit("taken"), studio.runner()
    studio.report(runner)
    with studio.desk.store.write() as unit:
        unit.session.add(Adapter(id="x", name="taken", created_at=1.0))
    studio.report(runner, told(id, 1, 0, STARTED, {"type": "artifact", "kind": "adapter", "path": "o"}, done()))
    adapter = studio.say("GetAdapter", id=studio.job(id)["adapter_id"])["adapter"]
    assert adapter["name"] == f"taken-{id[:8]}" and "JobWarning" in studio.events()


def test_an_adapter_name_in_training_is_refused_by_its_rule(studio: Studio) -> None:
    studio.submit("same")
    reply = studio.refused("StartFineTuningJob", adapter_name="same", **studio.ids)
    (breach,) = reply["breaches"]
    text = "the job same is queued and is to make an adapter named 'same'"
    assert (breach["rule"], breach["message"]) == ("FT-002", text)


def test_an_unfinished_job_is_not_removed_and_an_unknown_one_is_no_error(studio: Studio) -> None:
    id = studio.submit()
    assert studio.refused("RemoveFineTuningJob", id=id)["breaches"][0]["rule"] == "FT-107"
    studio.say("CancelJob", id=id)
    assert studio.say("RemoveFineTuningJob", id=id)["removed"] is True
    assert studio.say("RemoveFineTuningJob", id=id)["removed"] is False
    states: dict[str, JobStatus] = {}
    with studio.desk.store.read() as session:
        for event in events_after(session, 0):
            fold_status(states, event)
    assert states == {}


def test_the_request_overrides_the_config_and_older_keys_are_translated(studio: Studio) -> None:
    text = '{"num_train_epochs": 5, "warmup_ratio": 0.1, "learning_rate": 0.5, "group_by_length": true}'
    id = studio.submit(training_arguments_config=text, num_epochs=2)
    with studio.desk.store.read() as session:
        arguments = session.get_one(Job, id).spec["training_arguments"]
    wanted = {
        "num_train_epochs": 2,
        "warmup_steps": 0.1,
        "learning_rate": 0.5,
        "train_sampling_strategy": "group_by_length",
    }
    assert arguments == wanted
    job = studio.job(id)
    assert (
        job["num_epochs"] == 2
        and job["training_arguments_config_id"]
        and '"warmup_ratio": 0.1' in job["training_arguments_config"]
    )


def test_without_configs_a_job_has_the_guides_defaults_and_no_quantisation(studio: Studio) -> None:
    with studio.desk.store.read() as session:
        spec = session.get_one(Job, studio.submit()).spec
    assert spec["lora"] == {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05, "bias": "none", "task_type": "CAUSAL_LM"}
    assert spec["training_arguments"]["optim"] == "paged_adamw_32bit" and spec["model_bnb"] is None
    assert (spec["max_length"], spec["packing"], spec["loss_on"]) == (512, True, "all")
    splits = {"train_splits": ["train"], "eval_split": None}
    assert spec["sampling"] == {"fraction": 1.0, "split": 0.9, "seed": 42, **splits}


def evaluate(studio: Studio, *adapters: str | None, **fields: Any) -> Any:
    pairs = [{"base_model_id": studio.ids["base_model_id"], "adapter_id": adapter} for adapter in adapters]
    ids = {name: studio.ids[name] for name in ("dataset_id", "prompt_id")}
    return studio.say(
        "StartEvaluationJob", model_adapter_combinations=pairs, num_gpu=0, num_cpu=1, num_memory=1, **{**ids, **fields}
    )


def trained(studio: Studio) -> tuple[str, tuple[str, int]]:
    id, runner = studio.submit(train_test_split=0.5), studio.runner()
    studio.report(runner)
    studio.report(runner, told(id, 1, 0, STARTED, {"type": "artifact", "kind": "adapter", "path": "o"}, done()))
    return str(studio.job(id)["adapter_id"]), runner


def test_a_batch_has_a_row_a_combination_and_one_job_for_the_runner(studio: Studio) -> None:
    adapter, runner = trained(studio)
    batch = evaluate(studio, None, adapter)
    rows = batch["evaluation_jobs"]
    assert [row["run_number"] for row in rows] == [1, 2] and rows[1]["comparison_adapter_id"] == adapter
    (order,) = studio.report(runner)["jobs"]
    assert order["job_id"] == batch["parent_job_id"]
    assert order["spec"]["sampling"] == {
        "fraction": 1.0,
        "split": 0.5,
        "seed": 42,
        "train_splits": ["train"],
        "eval_split": None,
    }
    first, second = (row["id"] for row in rows)
    scored = {"type": "scored", "job_id": first, "status": "succeeded", "values": {"exact_match": 0.25}, "rows": 4}
    broken = {"type": "scored", "job_id": second, "status": "failed", "error": "no such file"}
    studio.report(runner, told(batch["parent_job_id"], 1, 0, STARTED, scored, broken, done()))
    found = studio.say("ListEvaluationJobs", parent_job_id=batch["parent_job_id"])["evaluation_jobs"]
    assert [(row["status"], row["scores"]) for row in found] == [("succeeded", {"exact_match": 0.25}), ("failed", {})]
    assert found[1]["error"]["message"] == "no such file"


def test_rows_that_an_adapter_was_trained_on_are_never_scored_as_held_out(studio: Studio) -> None:
    id, runner = studio.submit("whole", train_test_split=1.0), studio.runner()
    studio.report(runner)
    studio.report(runner, told(id, 1, 0, STARTED, {"type": "artifact", "kind": "adapter", "path": "o"}, done()))
    pair = {"base_model_id": studio.ids["base_model_id"], "adapter_id": studio.job(id)["adapter_id"]}
    ids = {name: studio.ids[name] for name in ("dataset_id", "prompt_id")}
    assert (
        studio.refused("StartEvaluationJob", model_adapter_combinations=[pair], **ids)["breaches"][0]["rule"]
        == "EV-106"
    )


def test_a_combination_can_be_cancelled_alone_and_the_last_one_ends_the_batch(studio: Studio) -> None:
    adapter, runner = trained(studio)
    batch = evaluate(studio, None, adapter)
    first, second = (row["id"] for row in batch["evaluation_jobs"])
    studio.report(runner)
    assert studio.say("CancelJob", id=first)["status"] == "cancelled"
    (order,) = studio.report(runner, told(batch["parent_job_id"], 1, 0, STARTED))["jobs"]
    assert order["order"] == "run" and order["cancelled"] == [first]
    assert studio.say("CancelJob", id=second)["status"] == "cancel_requested"
    studio.report(runner, told(batch["parent_job_id"], 1, 10, done("cancelled")))
    with studio.desk.store.read() as session:
        assert {row.status for row in session.scalars(select(EvaluationJob))} == {"cancelled"}


def test_folding_the_log_gives_the_states_whatever_happened(desk: Desk) -> None:
    chance = random.Random(7)
    with desk.store.write() as unit:
        for number in range(60):
            job = Job(
                id=f"j{number}",
                kind="fine_tuning",
                name="n",
                engine="legacy",
                status="queued",
                spec={},
                cpus=1,
                gpus=0,
                memory=1,
            )
            job.created_at = job.queued_at = 1.0
            job.attempt = 0
            unit.session.add(job)
            unit.emit("JobQueued", "jobs", job.id, status="queued")
            for _ in range(chance.randrange(9)):
                following = sorted(LEGAL[JobStatus(job.status)])
                if following:
                    move(unit, job, chance.choice(following))
    states: dict[str, JobStatus] = {}
    with desk.store.read() as session:
        for event in events_after(session, 0):
            fold_status(states, event)
        assert states == {job.id: JobStatus(job.status) for job in session.scalars(select(Job))}


def test_a_transition_that_the_table_lacks_is_a_fault(desk: Desk) -> None:
    with pytest.raises(Illegal), desk.store.write() as unit:
        move(unit, Job(id="j", name="n", kind="fine_tuning", status="succeeded", attempt=1), S.running)


def test_numbers_are_thinned_but_ends_and_extremes_stay(studio: Studio) -> None:
    id, runner = studio.submit(), studio.runner()
    studio.report(runner)
    values = [1.0] * 1000
    values[0], values[500], values[700], values[999] = 5.0, 99.0, -7.0, 3.0
    studio.report(runner, told(id, 1, 0, STARTED, *(loss(step, value) for step, value in enumerate(values, 1))))
    (series,) = studio.say("GetJobMetrics", id=id, points=50)["series"]
    assert series["total"] == 1000 and len(series["steps"]) <= 50
    assert {1, 501, 701, 1000} <= set(series["steps"])
    assert series["steps"] == sorted(series["steps"])
