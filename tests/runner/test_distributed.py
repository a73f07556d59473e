"""Jobs of several workers on one runner: they learn what one would, together or not at all, and go on after a death."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler

from gpu_runner.sampling import EpochSampler
from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, tiny_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROWS = 39  # odd: the last batches of an epoch are not full, and one worker's is empty
ARGUMENTS = {"num_train_epochs": 2, "save_steps": 3, "learning_rate": 0.01, "lr_scheduler_type": "cosine"}
LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
WAYS: dict[str, dict[str, Any]] = {
    "padded": {},
    "grouped by length": {"length_grouped": True, "loss_on": "completion"},
    "packed": {"packing": True},
}
SIZES = {1: (4, 2), 2: (2, 2), 4: (1, 2)}  # workers: rows a batch, batches a step; 8 rows a step in all


def resources(workers: int) -> dict[str, int]:
    return {"cpus": 1, "gpus": 0, "memory": 1, "workers": workers}


class Jobs:
    """Attempts to be run, and the process that runs them one after another."""

    def __init__(self, root: Path) -> None:
        self.root, self.model, self.rows = root, make_model(root / "base"), root / "rows.jsonl"
        lines = [{"question": "a b " * (1 + n % 5) + f"w{n}", "answer": f"c w{n}"} for n in range(ROWS)]
        self.rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.plan: list[tuple[str, str | None]] = []

    def add(
        self, job: str, workers: int, fate: str | None = None, *, attempt: int = 1, sizes_of: int = 0, **extra: Any
    ) -> Attempt:
        batch, accumulation = SIZES[sizes_of or workers]
        sizes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        order = extra.pop("order", None)
        spec = tiny_spec(job, self.root, self.model, self.rows, **({"lora": LORA} | extra))
        spec["training_arguments"] = ARGUMENTS | sizes
        spec["resources"] = {"cpus": 1, "gpus": 0, "memory": 1, "workers": workers}
        made = Attempt(self.root, attempt, job)
        self.plan.append((str(made.prepare(spec, order)), fate))
        return made

    environment: ClassVar = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.runner.dying_jobs", json.dumps(self.plan)]

    def run(self) -> None:
        subprocess.run(self.command, env=self.environment, check=True, timeout=280)
        self.plan.clear()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    return Jobs(tmp_path_factory.mktemp("jobs"))


@pytest.fixture(scope="module")
def alike(jobs: Jobs) -> dict[tuple[str, int], Attempt]:
    """The same job in each way, with one worker, two and four."""
    made = {(way, workers): jobs.add(f"{workers}{way[:3]}", workers, **WAYS[way]) for way in WAYS for workers in (1, 2)}
    made["padded", 4] = jobs.add("4pad", 4, out_dir=str(jobs.root / PAID))
    jobs.run()
    return made


PAID = "paid in $$ and $name"  # a directory's name that means something to torchrun
STRUCK = ("step 4 1", "step 7 0", "saving 9", None)  # from attempt to attempt
DROPPING = {"lora": LORA | {"lora_dropout": 0.1}}


@pytest.fixture(scope="module")
def ends(jobs: Jobs) -> dict[str, Attempt]:
    """Jobs of two workers that come to different ends."""
    made = {"spared": jobs.add("spared", 2, **DROPPING)}
    for number, fate in enumerate(STRUCK, 1):
        made[f"struck {number}"] = jobs.add("struck", 2, fate, attempt=number, **DROPPING)
    made["bug"], made["out_of_memory"] = jobs.add("bug", 2, "error 2 1"), jobs.add("memory", 2, "memory 2 1")
    made["disk_full"] = jobs.add("full", 2, "write 2 1")
    made["paused"], made["cancelled"] = jobs.add("paused", 2, order="pause"), jobs.add("cancelled", 2, order="cancel")
    made["resumed"] = jobs.add("paused", 2, attempt=2)
    made["changed"] = jobs.add("paused", 1, attempt=3, sizes_of=2)
    jobs.run()
    return made


def losses(*attempts: Attempt) -> list[float]:
    records = [record for attempt in attempts for record in attempt.records("metrics")]
    return [record["values"]["loss"] for record in records if "loss" in record["values"]]


@pytest.mark.parametrize(("way", "workers"), [*((way, 2) for way in WAYS), ("padded", 4)])
def test_several_workers_learn_what_one_would_from_as_many_rows_a_step(
    alike: dict[tuple[str, int], Attempt], way: str, workers: int
) -> None:
    one, many = alike[way, 1], alike[way, workers]
    assert many.finished()["outcome"] == "succeeded", many.finished()["error"]
    assert losses(many) == pytest.approx(losses(one), rel=1e-4)
    from safetensors.torch import load_file

    weights, others = load_file(one.adapter()), load_file(many.adapter())
    assert max(float((weights[name] - others[name]).abs().max()) for name in weights) < 1e-3
    assert max(float(each.abs().max()) for each in weights.values()) > 1e-2


def test_the_first_worker_speaks_for_all_and_each_has_its_dice_in_the_checkpoint(
    alike: dict[tuple[str, int], Attempt],
) -> None:
    many = alike["padded", 4]
    (started,) = many.records("started")
    assert started["details"]["workers"] == 4
    assert len(many.records("finished")) == len(many.records("artifact")) == 1
    saved = [record["path"] for record in many.records("checkpoint")]
    assert Path(many.finished()["summary"]["location"]).is_relative_to(many.root / PAID)
    names = {path.name for path in (many.root / saved[-1]).iterdir()}
    assert {f"rng_state_{rank}.pth" for rank in range(4)} <= names
    manifest = json.loads((many.root / saved[-1] / "manifest.json").read_text())
    assert (manifest["identity"]["world_size"], manifest["identity"]["effective_batch"]) == (4, 8)


def test_a_job_whose_workers_are_killed_goes_on_and_ends_as_if_they_had_not_been(ends: dict[str, Attempt]) -> None:
    struck = [ends[f"struck {number}"] for number in range(1, 5)]
    assert [attempt.records("finished") == [] for attempt in struck] == [True, True, True, False]
    assert [[each["from_step"] for each in attempt.records("resumed")] for attempt in struck] == [[], [3], [6], [6]]
    assert struck[-1].adapter().read_bytes() == ends["spared"].adapter().read_bytes()
    assert any("a worker is gone" in each["text"] for each in struck[0].records("log"))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("bug", "RuntimeError: a fault"),
        ("out_of_memory", "memory ran out"),
        ("disk_full", "a file could not be written"),
    ],
)
def test_the_fault_of_one_worker_is_the_jobs_and_told_once(ends: dict[str, Attempt], kind: str, said: str) -> None:
    end = ends[kind].finished()
    assert (end["outcome"], end["error"]["kind"]) == ("failed", kind)
    assert said in end["error"]["message"] and len(ends[kind].records("finished")) == 1


def test_orders_reach_all_workers_at_one_step(ends: dict[str, Attempt], alike: dict[tuple[str, int], Attempt]) -> None:
    paused, resumed, whole = ends["paused"], ends["resumed"], alike["padded", 2]
    assert paused.finished()["outcome"] == "paused" and paused.checkpoints() == ["checkpoint-1"]
    assert ends["cancelled"].finished()["outcome"] == "cancelled" and ends["cancelled"].checkpoints() == []
    assert losses(paused, resumed) == losses(whole)
    assert resumed.adapter().read_bytes() == whole.adapter().read_bytes()


def test_a_checkpoint_of_another_number_of_workers_is_not_gone_on_from(ends: dict[str, Attempt]) -> None:
    error = ends["changed"].finished()["error"]
    assert error["kind"] == "user_error" and "another world size" in error["message"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 80 MiB; mounting it takes root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*sudo, "mount", "-t", "tmpfs", "-o", "size=80m,mode=777", "none", str(disk)], check=True)
    yield disk
    subprocess.run([*sudo, "umount", "-l", str(disk)], check=True)


def make_room_once_held(attempt: Attempt, filler: Path, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not attempt.records("held"):
        assert running.poll() is None and time.monotonic() < deadline, "it is never held"
        time.sleep(0.05)
    assert shutil.disk_usage(filler.parent).free < 8 << 20  # and the room that was kept is in use
    filler.unlink()


@pytest.mark.nightly
@pytest.mark.parametrize(("fate", "outcome"), [("full 4 0", "succeeded"), ("full 4 0+write 4 1", "paused")])
def test_several_workers_stand_still_on_a_full_disk_and_go_on_as_if_nothing_had_been(
    small_disk: Path, tmp_path: Path, fate: str, outcome: str
) -> None:
    """The first time all hold where they save; the second time one fails of it where it can't stand still."""
    jobs = Jobs(small_disk)
    spared, held = jobs.add("spared", 2), jobs.add("held", 2, fate)
    with subprocess.Popen(jobs.command, env=jobs.environment, start_new_session=True) as running:
        try:
            make_room_once_held(held, small_disk / "filler", running)
            assert running.wait(120) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
    assert held.finished()["outcome"] == outcome
    assert [each["type"] for each in held.records("held", "unheld")][:2] == ["held", "unheld"]
    jobs.plan.clear()
    if outcome == "paused":
        held = jobs.add("held", 2, attempt=2)
        jobs.run()
    assert held.adapter().read_bytes() == spared.adapter().read_bytes()


@given(
    st.integers(1, 60),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_every_row_comes_once_an_epoch_whoever_gets_it_and_in_the_order_of_one_worker(
    rows: int, workers: int, batch: int, epoch: int, grouped: bool, seed: int
) -> None:
    lengths = [1 + number * 7 % 13 for number in range(rows)]
    group = batch * workers if grouped else None
    alone = EpochSampler(lengths, seed, group)
    together = EpochSampler(lengths, seed, group, blanks=-rows % (batch * workers))
    for sampler in (alone, together):
        sampler.set_epoch(epoch)
    shares = [
        list(BatchSamplerShard(BatchSampler(together, batch, drop_last=False), workers, rank))
        for rank in range(workers)
    ]
    assert len({len(share) for share in shares}) == 1
    steps = [list(itertools.chain(*step)) for step in zip(*shares, strict=True)]
    real = [[row for row in step if row < rows] for step in steps]
    assert sorted(itertools.chain(*real)) == list(range(rows))
    assert real == [list(alone)[start : start + batch * workers] for start in range(0, rows, batch * workers)]
