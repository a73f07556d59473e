"""kill -9 at random moments of a training, and every length that a checkpoint's file can be cut to."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_runner.checkpoint import Identity, newest
from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, make_rows, tiny_spec

KILLS = 5  # of each job
STEPS = 60
ARGUMENTS = {"num_train_epochs": 10, "per_device_train_batch_size": 4, "save_steps": 1, "learning_rate": 0.01}
LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}
MODES: tuple[dict[str, Any], ...] = (
    {},
    {"packing": True, "training_arguments": ARGUMENTS | {"num_train_epochs": 60, "per_device_train_batch_size": 1}},
    {"length_grouped": True, "loss_on": "completion"},
    {"training_arguments": ARGUMENTS | {"num_train_epochs": 20, "gradient_accumulation_steps": 2}},
    {"method": "full"},
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def moments(luck: random.Random) -> Iterator[str]:
    """Fates at random: the step after which it strikes, and how long after; the later of a job's are further on."""
    for place in range(KILLS):
        first = 1 + place * (STEPS - 10) // KILLS
        yield f"moment {luck.randint(first, first + (STEPS - 10) // KILLS - 1)} {luck.uniform(0, 25):.2f}"


def die_at_random(root: Path, modes: tuple[dict[str, Any], ...], seed: int) -> list[tuple[Attempt, list[Attempt]]]:
    """Of each mode: an attempt that nothing befell, and the attempts of a job that was killed at random moments."""
    model, rows, luck = make_model(root / "base"), make_rows(root / "rows.jsonl"), random.Random(seed)
    plan: list[tuple[str, str | None]] = []
    made = []
    for place, mode in enumerate(modes):
        spared = Attempt(root, 1, f"spared{place}")
        struck = [Attempt(root, number, f"struck{place}") for number in range(1, KILLS + 2)]
        for attempt, fate in zip([spared, *struck], [None, *moments(luck), None], strict=True):
            fields = {"lora": LORA, "training_arguments": ARGUMENTS} | mode
            plan.append(
                (str(attempt.prepare(tiny_spec(attempt.directory.parent.name, root, model, rows, **fields))), fate)
            )
        made.append((spared, struck))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.runner.dying_jobs", json.dumps(plan)]
    subprocess.run(command, env=environment, check=True)
    return made


def assert_as_if_nothing_had_been(spared: Attempt, struck: list[Attempt]) -> None:
    """The struck job went on each time from where it had come to, and ends with the same bytes."""
    name = "adapter_model.safetensors"
    if not spared.adapter(name).exists():
        name = "model.safetensors"
    assert struck[-1].adapter(name).read_bytes() == spared.adapter(name).read_bytes()
    came_to = 0
    for before, after in itertools.pairwise(struck):
        came_to = max([came_to, *(record["step"] for record in before.records("checkpoint"))])
        (resumed,) = after.records("resumed") if came_to else [{"from_step": 0}]
        assert resumed["from_step"] >= came_to  # a checkpoint that was told of is never lost
    losses: dict[int, float] = {}
    for attempt in struck:
        losses |= {
            each["step"]: each["values"]["loss"] for each in attempt.records("metrics") if "loss" in each["values"]
        }
    undisturbed = {r["step"]: r["values"]["loss"] for r in spared.records("metrics") if "loss" in r["values"]}
    assert losses == undisturbed


def test_a_job_killed_five_times_at_random_moments_ends_as_one_that_was_not_to_the_bit(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    ((spared, struck),) = die_at_random(tmp_path, MODES[:1], seed)
    assert_as_if_nothing_had_been(spared, struck)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_fifty_kills_at_random_moments_change_no_bit_of_any_job(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    made = die_at_random(tmp_path, MODES * 2, seed)
    for spared, struck in made:
        assert_as_if_nothing_had_been(spared, struck)
    assert sum(len(struck) - 1 for _, struck in made) == 50


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Identity]:
    """A job's directory with two whole checkpoints of a real training, and what they are of."""
    root = tmp_path_factory.mktemp("saved")
    attempt = Attempt(root)
    spec = tiny_spec(
        "job", root, make_model(root / "base"), make_rows(root / "rows.jsonl"), training_arguments=ARGUMENTS
    )
    attempt.run(spec)
    older, newer = attempt.checkpoints()
    assert (older, newer) == ("checkpoint-59", "checkpoint-60")
    manifest = json.loads((attempt.directory / "checkpoints" / newer / "manifest.json").read_text())
    return attempt.directory.parent, Identity(**manifest["identity"])


def lengths(size: int, every: int) -> Iterator[int]:
    """The lengths that a file of `size` bytes is cut to, longest first."""
    yield from (length for length in range(size - 1, -1, -1) if length % every == 0 or length in (1, size - 1))


def assert_no_cut_is_gone_on_from(saved: tuple[Path, Identity], tmp_path: Path, every: int) -> int:
    """Cut each file of the newest checkpoint to one length after another; how many there were."""
    job, identity = saved
    cuts = 0
    for file in sorted((job / "1" / "checkpoints" / "checkpoint-60").iterdir()):
        copy = tmp_path / file.name
        shutil.copytree(job, copy)
        (copy / "2").mkdir()
        cut = copy / "1" / "checkpoints" / "checkpoint-60" / file.name
        for length in lengths(file.stat().st_size, every):
            os.truncate(cut, length)
            told: list[str] = []
            found = newest(copy / "2", identity, told.append)
            assert found is not None and found.step == 59, f"{file.name} cut to {length} bytes"
            assert len(told) == 1 and "can't be used" in told[0]
            cuts += 1
    return cuts


def test_a_checkpoint_cut_anywhere_is_never_gone_on_from(saved: tuple[Path, Identity], tmp_path: Path) -> None:
    assert assert_no_cut_is_gone_on_from(saved, tmp_path, every=499) > 50


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_checkpoint_cut_to_any_of_all_lengths_is_never_gone_on_from(
    saved: tuple[Path, Identity], tmp_path: Path
) -> None:
    cuts = assert_no_cut_is_gone_on_from(saved, tmp_path, every=1)
    sys.stdout.write(f"{cuts} lengths\n")
    assert cuts > 10_000
