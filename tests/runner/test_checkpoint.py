"""Checkpoints are used when they hold, and only then."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_runner.checkpoint import Identity, newest, seal
from gpu_runner.failures import JobError, failure_of
from tests.runner.test_spool import room_for

IDENTITY = Identity(data="d", config="c", world_size=1, effective_batch=4)
FILES = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")


def save(attempt: Path, step: int, files: tuple[str, ...] = FILES, identity: Identity = IDENTITY) -> Path:
    """A sealed checkpoint of made-up bytes."""
    draft = attempt / "drafts" / str(step)
    draft.mkdir(parents=True)
    for name in files:
        (draft / name).write_text(f"{name} at {step}")
    final = attempt / "checkpoints" / f"checkpoint-{step}"
    seal(draft, final, identity, step, {"epoch": 0.5})
    return final


def found(root: Path, attempt: int, told: list[str] | None = None) -> str | None:
    """The checkpoint that `attempt` would go on from, as "attempt/name"."""
    (root / str(attempt)).mkdir(exist_ok=True)
    place = newest(root / str(attempt), IDENTITY, (told if told is not None else []).append)
    return None if place is None else f"{place[0].parent.parent.name}/{place[0].name}"


def test_the_furthest_checkpoint_of_earlier_attempts_is_taken_by_number_and_not_by_name(tmp_path: Path) -> None:
    for attempt, step in ((1, 8), (1, 9), (2, 10), (10, 11)):
        save(tmp_path / str(attempt), step)
    assert found(tmp_path, 11) == "10/checkpoint-11"
    assert found(tmp_path, 10) == "2/checkpoint-10"  # only attempts before its own
    assert found(tmp_path, 2) == "1/checkpoint-9"
    assert found(tmp_path, 1) is None


def test_nothing_before_an_attempt_that_began_anew_is_gone_on_from_not_even_by_those_after_it(tmp_path: Path) -> None:
    for attempt, step in ((1, 50), (2, 10), (3, 20)):
        save(tmp_path / str(attempt), step)
    (tmp_path / "2" / "fresh").touch()
    assert found(tmp_path, 2) is None
    assert found(tmp_path, 3) == "2/checkpoint-10"
    assert found(tmp_path, 4) == "3/checkpoint-20"
    (tmp_path / "4" / "fresh").touch()
    assert found(tmp_path, 4) is None and found(tmp_path, 5) is None


@pytest.mark.parametrize(
    "harm", ["a byte", "a file", "the manifest", "half the manifest", "odd manifest", "no identity"]
)
def test_what_does_not_hold_is_told_and_the_one_before_it_is_taken(tmp_path: Path, harm: str) -> None:
    save(tmp_path / "1", 2)
    broken = save(tmp_path / "1", 4)
    manifest = broken / "manifest.json"
    if harm == "a byte":
        (broken / "optimizer.pt").write_text("optimizer.pt at 5")  # as long as it was
    elif harm == "a file":
        (broken / "rng_state.pth").unlink()
    elif harm == "the manifest":
        manifest.unlink()
    elif harm == "half the manifest":
        manifest.write_text(manifest.read_text()[:50])
    elif harm == "odd manifest":
        manifest.write_text('{"files": []}')
    else:
        whole = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({name: whole[name] for name in whole if name != "identity"}))
    told: list[str] = []
    assert found(tmp_path, 2, told) == "1/checkpoint-2"
    assert len(told) == 1 and "checkpoint-4 can't be used" in told[0]


@pytest.mark.parametrize("missing", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"])
def test_a_checkpoint_that_would_resume_silently_wrong_is_not_used(tmp_path: Path, missing: str) -> None:
    save(tmp_path / "1", 2, tuple(name for name in FILES if name != missing))
    assert found(tmp_path, 2) is None


def test_a_draft_that_got_no_name_is_no_checkpoint(tmp_path: Path) -> None:
    save(tmp_path / "1", 2).rename(tmp_path / "1" / "checkpoints" / "checkpoint-2.draft")
    assert found(tmp_path, 2) is None


@pytest.mark.parametrize(
    ("field", "value"), [("data", "other"), ("config", "other"), ("world_size", 2), ("effective_batch", 8)]
)
def test_other_inputs_than_a_checkpoint_was_made_with_are_refused_by_name(
    tmp_path: Path, field: str, value: object
) -> None:
    save(tmp_path / "1", 2, identity=replace(IDENTITY, **{field: value}))
    with pytest.raises(JobError, match=f"another {field.replace('_', ' ')}"):
        found(tmp_path, 2)


def test_a_disk_that_fills_up_while_saving_leaves_the_older_checkpoint_and_says_what_it_was(tmp_path: Path) -> None:
    import torch

    save(tmp_path / "1", 2)
    draft = tmp_path / "1" / "drafts" / "4"
    draft.mkdir(parents=True)
    for write in (lambda: torch.save(torch.zeros(100_000), draft / "optimizer.pt"), lambda: save(tmp_path / "1", 6)):
        with room_for(10), pytest.raises(Exception) as caught:  # each library has its own
            write()
        assert failure_of(caught.value).kind == "disk_full", caught.value
    assert found(tmp_path, 2) == "1/checkpoint-2"


def test_the_newest_two_are_kept_and_the_manifest_says_what_they_are_of(tmp_path: Path) -> None:
    for step in (2, 9, 10):
        last = save(tmp_path / "1", step)
    assert {path.name for path in last.parent.iterdir()} == {"checkpoint-9", "checkpoint-10"}
    manifest = json.loads((last / "manifest.json").read_text())
    assert manifest["step"] == 10 and manifest["identity"] == vars(IDENTITY) and set(manifest["files"]) == set(FILES)
