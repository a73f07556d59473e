"""Jobs that are killed, and go on in the next attempt as if nothing had been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, tiny_spec

ARGUMENTS = {"num_train_epochs": 2, "per_device_train_batch_size": 2, "save_steps": 2, "learning_rate": 0.01}
LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}
MODES: dict[str, dict[str, Any]] = {
    "grouped by length": {"length_grouped": True, "training_arguments": ARGUMENTS, "loss_on": "completion"},
    "packed": {"packing": True, "training_arguments": ARGUMENTS | {"per_device_train_batch_size": 1}},
    "accumulating, with evaluations between": {
        "training_arguments": ARGUMENTS
        | {"gradient_accumulation_steps": 3, "eval_strategy": "steps", "eval_steps": 3, "lr_scheduler_type": "cosine"}
    },
    "all weights, stopped early, the best kept": {
        "method": "full",
        "keep_best": True,
        "early_stopping_patience": 3,
        "training_arguments": ARGUMENTS
        | {"gradient_checkpointing": True, "eval_strategy": "steps", "eval_steps": 2, "learning_rate": 0.03},
    },
    "DoRA, of conversations": {
        "lora": LORA | {"use_dora": True, "use_rslora": True},
        "chat_template": True,
        "loss_on": "assistant",
        "length_grouped": True,
        "training_arguments": ARGUMENTS | {"num_train_epochs": 1},
    },
}
CHAT = (
    "{% for m in messages %}{{ m.role[0] }} {{ m.content }} {% if m.role == 'assistant' %}</s> {% endif %}{% endfor %}"
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
FATES = ("step 3", "step 5", "saving 6", None)  # from attempt to attempt


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Attempt, list[Attempt]]]:
    """Of each mode: an attempt that nothing befell, and the attempts of a job that was killed again and again."""
    root = tmp_path_factory.mktemp("killed")
    model = make_model(root / "base")
    (model / "chat_template.jinja").write_text(CHAT + "{% if add_generation_prompt %}a {% endif %}")
    rows = root / "rows.jsonl"
    lines = [{"question": "a b " * (1 + n % 5) + f"w{n}", "answer": f"c w{n}"} for n in range(44)]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    plan: list[tuple[str, str | None]] = []
    made = {}
    for place, (mode, extra) in enumerate(MODES.items()):
        spared = Attempt(root, 1, f"spared{place}")
        struck = [Attempt(root, number, f"struck{place}") for number in range(1, len(FATES) + 1)]
        for attempt, fate in zip([spared, *struck], [None, *FATES], strict=True):
            job = attempt.directory.parent.name
            spec = tiny_spec(job, root, model, rows, **({"lora": LORA} | extra))
            plan.append((str(attempt.prepare(spec)), fate))
        made[mode] = (spared, struck)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "-m", "tests.runner.dying_jobs", json.dumps(plan)], env=environment, check=True, timeout=220
    )
    return made


@pytest.mark.parametrize("mode", MODES)
def test_a_job_killed_again_and_again_ends_with_the_adapter_of_one_that_was_not_to_the_bit(
    killed: dict[str, tuple[Attempt, list[Attempt]]], mode: str
) -> None:
    spared, struck = killed[mode]
    assert spared.finished()["outcome"] == "succeeded"
    name = "model.safetensors" if "all weights" in mode else "adapter_model.safetensors"
    assert struck[-1].adapter(name).read_bytes() == spared.adapter(name).read_bytes()


@pytest.mark.parametrize("mode", MODES)
def test_each_attempt_goes_on_from_the_last_whole_checkpoint(
    killed: dict[str, tuple[Attempt, list[Attempt]]], mode: str
) -> None:
    _, struck = killed[mode]
    resumed = [[record["from_step"] for record in attempt.records("resumed")] for attempt in struck]
    assert resumed == [[], [2], [4], [4]]
    assert struck[2].checkpoints() == []  # killed before the name was given: nothing passes for a checkpoint
    steps = [record["step"] for record in struck[-1].records("metrics") if "loss" in record["values"]]
    assert steps == list(range(5, struck[-1].finished()["summary"]["steps"] + 1))


@pytest.mark.parametrize("mode", MODES)
def test_a_resumed_job_tells_the_mean_loss_of_all_its_steps(
    killed: dict[str, tuple[Attempt, list[Attempt]]], mode: str
) -> None:
    spared, struck = killed[mode]
    assert struck[-1].finished()["summary"]["train_loss"] == pytest.approx(
        spared.finished()["summary"]["train_loss"], rel=1e-3
    )


@pytest.mark.decision("D-166")
def test_a_job_killed_again_and_again_stops_where_one_that_was_not_stops_and_saves_the_same_step(
    killed: dict[str, tuple[Attempt, list[Attempt]]],
) -> None:
    spared, struck = killed["all weights, stopped early, the best kept"]
    ends = [attempt.finished()["summary"] for attempt in (spared, struck[-1])]
    assert ends[0]["stopped_early"] and ends[0]["best_step"] < ends[0]["steps"] - 2
    told = ("steps", "best_step", "best_eval_loss", "eval_loss")
    assert [ends[0][name] for name in told] == [ends[1][name] for name in told]


def test_only_the_newest_two_checkpoints_are_kept(killed: dict[str, tuple[Attempt, list[Attempt]]]) -> None:
    for spared, _ in killed.values():
        told = [record["step"] for record in spared.records("checkpoint")]
        assert spared.checkpoints() == sorted(f"checkpoint-{step}" for step in told[-2:])
        assert len(told) >= 3
