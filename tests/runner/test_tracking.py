"""MLflow beside the jobs: every point once, whatever is killed, locked or started twice."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_runner.spool import Spool
from tests.runner.studio import plan_of, spec_of, until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own imports
    from mlflow.tracking import MlflowClient

    from gpu_runner import ledger, tracking

pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


MADE_OF: dict[str, Any] = {
    "model": {"id": "m", "name": "m", "hub_name": "org/m", "revision": "c0ffee"},
    "dataset": {"id": "d", "name": "d", "type": "project_csv", "location": "d.csv", "sha256": "d" * 64},
    "training_arguments": {"learning_rate": 0.01},
}


class Job:
    """A job's directory and what its attempts write."""

    def __init__(self, root: Path, name: str, **spec: Any) -> None:
        self.name, self.directory = name, root / "jobs" / name
        self.spec = {**spec_of(name, root, **spec), "name": "my-adapter"}

    def attempt(self, number: int) -> Spool:
        directory = self.directory / str(number)
        directory.mkdir(parents=True)
        (directory / "spec.json").write_text(json.dumps(self.spec))
        return Spool(directory / "events.jsonl")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    name = f"job-{tmp_path.name}-{os.getpid()}"
    return Job(tmp_path, name, training_arguments={"learning_rate": 0.01}, lora={"r": 4, "target_modules": ["q_proj"]})


def train(spool: Spool, steps: range, scale: float = 1.0) -> None:
    for step in steps:
        spool.metrics(step, {"loss": scale / step, "grad norm (l2)": 0.5}, epoch=step / 10)


def finish(spool: Spool, outcome: str = "succeeded", **fields: Any) -> None:
    spool.write("finished", outcome=outcome, **fields)


def run_of(uri: str, name: str, experiment: str | None = None) -> Any:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment or name)
    assert found is not None
    runs = client.search_runs([found.experiment_id], f"tags.`fts.job_id` = '{name}'")
    assert len(runs) == 1, "one run a job"
    return runs[0]


def steps(uri: str, run: Any, key: str = "loss") -> list[int]:
    return [point.step for point in MlflowClient(uri).get_metric_history(run.info.run_id, key)]


def no_sleep(seconds: float) -> None:
    raise AssertionError("there is nothing to wait for")


def command(job: Job, uri: str) -> list[str]:
    return [sys.executable, "-m", "gpu_runner.tracking", str(job.directory), "--uri", uri]


def test_a_training_becomes_a_run_of_the_experiment_named_by_its_job(uri: str, job: Job) -> None:
    spool = job.attempt(1)
    spool.write("started", pid=1, device="cpu", total_steps=3, versions={"torch": "2"}, details={"rows": 24})
    spool.warn("fp32 is used")
    train(spool, range(1, 4))
    spool.write("checkpoint", step=3, path=f"jobs/{job.name}/1/checkpoints/checkpoint-3")
    spool.write("artifact", kind="adapter", path="/out/adapter", files={})
    finish(spool, summary={"train_loss": 0.25, "steps": 3, "location": "/out/adapter"})
    tracking.track(job.directory, uri, sleep=no_sleep)
    run = run_of(uri, job.name)
    assert (run.info.run_name, run.info.status) == ("my-adapter", "FINISHED")
    assert run.info.end_time is not None and run.info.start_time <= run.info.end_time
    assert run.data.params["training_arguments.learning_rate"] == "0.01"
    assert run.data.params["lora.target_modules"] == '["q_proj"]'
    assert run.data.metrics["loss"] == pytest.approx(1 / 3) and run.data.metrics["grad norm _l2_"] == 0.5
    assert run.data.metrics["summary.train_loss"] == 0.25
    assert steps(uri, run) == steps(uri, run, "epoch") == [1, 2, 3]
    tags = run.data.tags
    assert tags["fts.adapter"] == "/out/adapter" and tags["fts.warning"] == "fp32 is used" and tags["fts.rows"] == "24"
    assert tags["fts.checkpoint"] == str(job.directory / "1/checkpoints/checkpoint-3")


def test_attempts_share_a_run_and_steps_that_come_again_are_there_once(
    uri: str, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = job.attempt(1)
    train(first, range(1, 6))
    monkeypatch.setattr(tracking, "GRACE", 0.0)
    tracking.track(job.directory, uri, sleep=no_sleep)
    assert run_of(uri, job.name).info.status == "KILLED"
    second = job.attempt(2)
    second.write("resumed", from_step=3, path="c")
    train(second, range(4, 9))
    tracking.track(job.directory, uri, sleep=no_sleep)
    finish(second)
    tracking.track(job.directory, uri, sleep=no_sleep)
    run = run_of(uri, job.name)
    assert steps(uri, run) == list(range(1, 9))
    assert run.info.status == "FINISHED"
    assert (run.data.tags["fts.attempt"], run.data.tags["fts.resumed_from"]) == ("2", "3")


@pytest.mark.parametrize(
    ("outcome", "status"), [("failed", "FAILED"), ("cancelled", "KILLED"), ("paused", "SCHEDULED")]
)
def test_a_job_that_ends_otherwise_says_so(uri: str, job: Job, outcome: str, status: str) -> None:
    spool = job.attempt(1)
    train(spool, range(1, 3))
    finish(spool, outcome, error={"kind": "disk_full", "message": "the disk is full", "hint": "Free some."})
    tracking.track(job.directory, uri, sleep=no_sleep)
    run = run_of(uri, job.name)
    assert run.info.status == status
    assert run.data.tags["fts.error"] == "the disk is full. Free some."


def test_a_paused_job_runs_again_in_its_next_attempt(uri: str, job: Job) -> None:
    spool = job.attempt(1)
    train(spool, range(1, 3))
    finish(spool, "paused")
    tracking.track(job.directory, uri, sleep=no_sleep)
    spool = job.attempt(2)
    train(spool, range(3, 5))
    tracker = tracking.Tracker(job.directory, uri)
    while tracker.turn():
        pass
    assert run_of(uri, job.name).info.status == "RUNNING"


@pytest.mark.parametrize("lost", ["the note of the place", "nothing"])
def test_replaying_twice_changes_nothing(uri: str, job: Job, lost: str) -> None:
    spool = job.attempt(1)
    train(spool, range(1, 30))
    finish(spool, summary={"seconds": 1.5})
    tracking.track(job.directory, uri, sleep=no_sleep)
    if lost != "nothing":
        (job.directory / "tracking.json").unlink()
    tracking.track(job.directory, uri, sleep=no_sleep)
    run = run_of(uri, job.name)
    assert steps(uri, run) == list(range(1, 30))
    assert steps(uri, run, "summary.seconds") == [0]


def test_a_run_tells_what_the_job_was_made_of_and_has_its_adapter(uri: str, tmp_path: Path) -> None:
    tags: list[dict[str, str]] = []
    for number, changed in enumerate(({}, {"lora": {"r": 8}}, {"chat_template": True})):
        name = f"made-{number}-{tmp_path.name}-{os.getpid()}"
        job = Job(tmp_path, name, **MADE_OF, **changed)
        adapter = tmp_path / "out" / name / "1"
        adapter.mkdir(parents=True)
        (adapter / "adapter_model.safetensors").write_bytes(b"weights")
        (adapter / "adapter_config.json").write_text("{}")
        spool = job.attempt(1)
        train(spool, range(1, 3))
        spool.write("artifact", kind="adapter", path=str(adapter), job_id=name, files={})
        finish(spool)
        tracking.track(job.directory, uri, sleep=no_sleep)
        run = run_of(uri, name)
        client = MlflowClient(uri)
        found = client.list_artifacts(run.info.run_id, "adapter")
        assert [each.path for each in found] == ["adapter/adapter_config.json", "adapter/adapter_model.safetensors"]
        copied = client.download_artifacts(run.info.run_id, "adapter/adapter_model.safetensors", str(tmp_path))
        assert Path(copied).read_bytes() == b"weights"
        assert run.info.artifact_uri.startswith((job.directory / "mlflow").as_uri())
        tags.append(run.data.tags)
        assert run.data.params["training_arguments.learning_rate"] == "0.01"
        assert (tags[-1]["fts.dataset_sha256"], tags[-1]["fts.base_commit"]) == ("d" * 64, "c0ffee")
        assert tags[-1]["fts.job_id"] == name and tags[-1]["mlflow.source.type"] == "JOB"
        assert tags[-1]["mlflow.runName"] == "my-adapter" and tags[-1]["fts.adapter"] == str(adapter)
    first, other_config, other_template = tags
    assert first["fts.config_hash"] == other_template["fts.config_hash"] != other_config["fts.config_hash"]
    assert first["fts.template_hash"] == other_config["fts.template_hash"] != other_template["fts.template_hash"]


def test_a_run_whose_files_can_not_be_put_anywhere_still_tells_its_end_and_why_it_has_none(
    uri: str, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/mlflow")  # a server's own directory, which is not this host's

    monkeypatch.setattr(MlflowClient, "log_artifacts", refused)
    with_adapter = job.attempt(1)
    with_adapter.write("artifact", kind="adapter", path=str(tmp_path), job_id=job.name, files={})
    train(with_adapter, range(1, 4))
    finish(with_adapter)
    tracking.track(job.directory, uri, sleep=lambda _: pytest.fail("it was tried again"))
    run = run_of(uri, job.name)
    assert run.info.status == "FINISHED" and "Permission denied" in run.data.tags["fts.adapter_missing"]


def test_a_model_in_a_directory_is_told_by_the_hashes_of_its_files_and_an_adapter_that_is_gone_by_its_place(
    uri: str, tmp_path: Path
) -> None:
    commits = []
    for number, weights in enumerate(("a", "a", "b")):
        job = Job(tmp_path, f"directory-{number}-{tmp_path.name}-{os.getpid()}", **MADE_OF)
        job.spec["model"] = {"id": "m", "name": "m", "location": "/m", "files": {"model.safetensors": weights}}
        spool = job.attempt(1)
        spool.write("artifact", kind="adapter", path=str(tmp_path / "gone"), job_id=job.name, files={})
        finish(spool)
        tracking.track(job.directory, uri, sleep=no_sleep)
        run = run_of(uri, job.name)
        assert run.info.status == "FINISHED" and run.data.tags["fts.adapter"] == str(tmp_path / "gone")
        commits.append(run.data.tags["fts.base_commit"])
    assert commits[0] == commits[1] != commits[2]


def test_it_follows_a_job_that_lives_and_ends_with_it(uri: str, job: Job) -> None:
    spool = job.attempt(1)
    train(spool, range(1, 3))
    lock = os.open(job.directory / "1" / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    turns = iter([lambda: train(spool, range(3, 5)), lambda: finish(spool)])
    tracking.track(job.directory, uri, sleep=lambda seconds: next(turns)())
    os.close(lock)
    assert steps(uri, run_of(uri, job.name)) == [1, 2, 3, 4]


def test_a_job_that_was_removed_ends_its_tracking(uri: str, job: Job) -> None:
    spool = job.attempt(1)
    train(spool, range(1, 3))
    tracker = tracking.Tracker(job.directory, uri)
    assert tracker.turn()
    job.directory.rename(job.directory.with_name("gone"))
    assert not tracker.turn() and tracker.over(0.0)


def test_a_store_that_fails_for_a_while_loses_and_doubles_nothing(uri: str, job: Job) -> None:
    database = sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)
    spool = job.attempt(1)
    train(spool, range(1, 2))
    assert tracking.Tracker(job.directory, uri).turn()
    train(spool, range(2, 6))
    finish(spool)
    database.execute("ALTER TABLE metrics RENAME TO away")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            database.execute("ALTER TABLE away RENAME TO metrics")

    tracking.track(job.directory, uri, sleep=sleep)
    database.close()
    assert len(waits) == 3 and waits[2] > waits[0]
    assert steps(uri, run_of(uri, job.name)) == [1, 2, 3, 4, 5]


def test_a_store_that_is_refused_for_good_ends_the_process_with_an_error(job: Job) -> None:
    spool = job.attempt(1)
    train(spool, range(1, 2))
    with pytest.raises(Exception, match="maintenance mode"):
        tracking.track(job.directory, f"file:{job.directory}/mlruns", sleep=no_sleep)


def evaluation(tmp_path: Path) -> Job:
    base = spec_of("e", tmp_path)
    model = base["model"]
    children = [
        {"job_id": f"child-{number}-{tmp_path.name}", "run_number": number, "model": model, "adapter": adapter}
        for number, adapter in ((1, {"id": "a", "name": "mine/first"}), (2, None), (3, None))
    ]
    kept = {name: base[name] for name in ("dataset", "prompt", "resources")}
    job = Job(tmp_path, f"batch-{tmp_path.name}-{os.getpid()}")
    job.spec = {
        "kind": "evaluation",
        "job_id": job.name,
        "name": "compare",
        "combinations": children,
        "generation": {"num_beams": 2},
        **kept,
    }
    return job


def test_an_evaluation_becomes_a_run_for_each_combination_below_the_batchs(uri: str, tmp_path: Path) -> None:
    job = evaluation(tmp_path)
    ids = [each["job_id"] for each in job.spec["combinations"]]
    spool = job.attempt(1)
    spool.write("scored", job_id=ids[0], status="running")
    spool.write("artifact", kind="answers", path=f"jobs/{job.name}/1/answers.jsonl", job_id=ids[0])
    spool.write("scored", job_id=ids[0], status="succeeded", values={"exact_match": 0.9}, rows=32)
    spool.write("scored", job_id=ids[1], status="failed", error="no such adapter")
    spool.write("scored", job_id=ids[2], status="running")
    finish(spool, "cancelled")
    tracking.track(job.directory, uri, sleep=no_sleep)
    batch, first, second, third = (run_of(uri, name, f"Run: {job.name}") for name in (job.name, *ids))
    assert (first.info.run_name, first.info.status) == ("m-mine-first", "FINISHED")
    assert first.data.metrics == {"exact_match": 0.9, "rows": 32}
    assert first.data.params["generation.num_beams"] == "2" and first.data.params["adapter"] == "mine/first"
    assert first.data.tags["fts.answers"] == str(job.directory / "1/answers.jsonl")
    assert (second.info.status, second.data.tags["fts.error"]) == ("FAILED", "no such adapter")
    assert {run.data.tags["mlflow.parentRunId"] for run in (first, second, third)} == {batch.info.run_id}
    assert third.info.status == batch.info.status == "KILLED"
    compared = [(run.data.tags["fts.run_number"], run.data.tags["fts.comparison_adapter_id"]) for run in (first, third)]
    assert compared == [("1", "a"), ("3", "a")]


def test_a_combination_that_the_next_attempt_scores_keeps_no_error_of_the_one_before(uri: str, tmp_path: Path) -> None:
    job = evaluation(tmp_path)
    child = job.spec["combinations"][0]["job_id"]
    spool = job.attempt(1)
    spool.write("scored", job_id=child, status="failed", error="no room on the GPU")
    tracking.Tracker(job.directory, uri).turn()
    assert run_of(uri, child, f"Run: {job.name}").data.tags["fts.error"] == "no room on the GPU"
    spool = job.attempt(2)
    spool.write("scored", job_id=child, status="succeeded", values={"f1": 0.5}, rows=4)
    finish(spool)
    tracking.track(job.directory, uri, sleep=no_sleep)
    run = run_of(uri, child, f"Run: {job.name}")
    assert (run.info.status, run.data.tags["fts.error"], run.data.metrics["f1"]) == ("FINISHED", "", 0.5)


@pytest.mark.timeout(300)  # three processes import MLflow and make its database
def test_killed_and_started_again_in_a_new_store_with_others_it_doubles_nothing(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    jobs = [Job(tmp_path, f"job{number}") for number in range(3)]
    spools = [job.attempt(1) for job in jobs]
    locks = [open(job.directory / "1" / "lock", "w") for job in jobs]  # noqa: SIM115, PTH123
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for job, spool, lock in zip(jobs, spools, locks, strict=True):
            fcntl.flock(lock, fcntl.LOCK_EX)
            train(spool, range(1, 400))
            processes.append(subprocess.Popen(command(job, uri), stderr=subprocess.DEVNULL))
        until(_noted(jobs[0]), "the first place", 150)
        processes[0].send_signal(signal.SIGKILL)
        train(spools[0], range(400, 500))
        for spool in spools:
            finish(spool)
        processes[0].wait()
        processes[0] = subprocess.Popen(command(jobs[0], uri), stderr=subprocess.DEVNULL)
        assert [process.wait(150) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for lock in locks:
            lock.close()
    assert [steps(uri, run_of(uri, job.name)) for job in jobs] == [
        list(range(1, 500)),
        list(range(1, 400)),
        list(range(1, 400)),
    ]


def test_a_store_whose_making_was_killed_halfway_is_made_anew_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "stores" / "mlflow.db"
    path.parent.mkdir()
    with sqlite3.connect(path.with_name("mlflow.db.new")) as half:  # what a kill leaves between two revisions
        half.execute("CREATE TABLE experiments (experiment_id INTEGER)")
    made = [
        subprocess.Popen(
            [sys.executable, "-c", f"from gpu_runner.runs import make_store; make_store('sqlite:///{path}')"]
        )
        for _ in range(2)
    ]
    assert [process.wait(120) for process in made] == [0, 0]
    assert sorted(each.name for each in path.parent.iterdir()) == ["mlflow.db", "mlflow.db.making"]
    assert [each.name for each in MlflowClient(f"sqlite:///{path}").search_experiments()] == ["Default"]


def _noted(job: Job) -> Callable[[], bool]:
    return (job.directory / "tracking.json").exists


def test_a_job_that_has_no_run_ends_its_tracking_at_once(uri: str, tmp_path: Path) -> None:
    job = Job(tmp_path, "plan")
    finish(job.attempt(1))
    (job.directory / "1" / "spec.json").write_text(json.dumps(plan_of("plan", tmp_path)))
    with pytest.raises(tracking.NotTracked):
        tracking.track(job.directory, uri, sleep=no_sleep)


def scored_lines(job: Job, count: int = 4) -> tuple[list[dict[str, Any]], str]:
    """A file of answers beside the job's first attempt, and its path as records tell it."""
    lines = [
        {
            "row": row, "prompt": f"q{row}", "expected": "a", "answer": "a" if row else "=b", "new_tokens": 2, "seconds": 0.5,
            "stopped_by_eos": True, "features": {"intent": ["x", row]}, "scores": {"f1": row / 4, "bleu": None if row else 1.5},
        }
        for row in range(count)
    ]  # fmt: skip
    (job.directory / "1").mkdir(parents=True, exist_ok=True)
    (job.directory / "1" / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines, f"jobs/{job.name}/1/answers.jsonl"


def test_a_combinations_answers_are_written_by_mlflows_own_evaluation_once_whatever_is_killed(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = evaluation(tmp_path)
    spool = job.attempt(1)
    lines, answers = scored_lines(job)
    child = job.spec["combinations"][0]["job_id"]
    (job.directory / "1" / "results.csv").write_text("row\n")
    sure = {"f1": {"low": 0.1, "high": 0.6, "delta": None, "p": 0.04, "higher_is_better": True}}
    values = {"f1": 0.375, "bleu": 12.5, "perplexity": 3.0}
    spool.write("scored", job_id=child, status="running")
    spool.write("scored", job_id=child, status="succeeded", values=values, statistics=sure, rows=4, answers=answers)
    finish(spool, summary={"results": {"csv": f"jobs/{job.name}/1/results.csv"}})
    real = ledger.write
    died = []

    def dies(*args: Any) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("mlflow.log_table", lambda *_, **__: died.append(1) or 1 / 0)
            real(*args)

    monkeypatch.setattr(ledger, "write", dies)  # between its figures and its table
    tracking.Tracker(job.directory, uri).turn()
    monkeypatch.setattr(ledger, "write", real)
    for _ in range(3):
        (job.directory / "tracking.json").unlink(missing_ok=True)
        tracking.track(job.directory, uri, sleep=no_sleep)
    run, client = run_of(uri, child, f"Run: {job.name}"), MlflowClient(uri)
    assert died and run.info.status == "FINISHED"
    assert {name: run.data.metrics[name] for name in values} == values and run.data.metrics["f1.p"] == 0.04
    assert "f1.delta" not in run.data.metrics
    for name in ("f1", "bleu", "perplexity", "f1.low"):
        assert len(client.get_metric_history(run.info.run_id, name)) == 1, name
    table = client.load_table(run.data.tags["mlflow.parentRunId"] and experiment_of(client, job), run_ids=[run.info.run_id],
                              artifact_file="eval_results_table.json")  # fmt: skip
    assert list(table["row"]) == [0, 1, 2, 3] and list(table["answer"]) == [line["answer"] for line in lines]
    assert list(table["f1/score"]) == [0, 0.25, 0.5, 0.75] and list(table["features.intent"])[1] == '["x", 1]'
    parent = run_of(uri, job.name, f"Run: {job.name}")
    assert [each.path for each in client.list_artifacts(parent.info.run_id, "results")] == ["results/results.csv"]


def experiment_of(client: MlflowClient, job: Job) -> str:
    found = client.get_experiment_by_name(f"Run: {job.name}")
    assert found is not None
    return str(found.experiment_id)


def test_a_table_that_can_not_be_written_keeps_no_figure_back(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = evaluation(tmp_path)
    spool = job.attempt(1)
    child = job.spec["combinations"][0]["job_id"]
    told = {"values": {"f1": 0.375}, "rows": 4, "answers": f"jobs/{job.name}/1/gone.jsonl"}
    spool.write("scored", job_id=child, status="succeeded", **told)
    finish(spool)
    tracking.track(job.directory, uri, sleep=no_sleep)
    run = run_of(uri, child, f"Run: {job.name}")
    assert run.data.metrics["f1"] == 0.375 and run.info.status == "FINISHED"
    assert run.data.tags["fts.table_missing"].startswith("FileNotFoundError")
