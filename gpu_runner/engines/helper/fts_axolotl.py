"""Runs Axolotl for the studio, inside Axolotl's own environment: `python fts_axolotl.py CONFIG.yaml`.

Axolotl checks the config first, by its own rules; then it trains. A plugin of ours tells the numbers from its trainer's own
callbacks, so nothing is read out of its log, and obeys orders between steps.
"""

from __future__ import annotations

import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import fts_job as job
from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback, set_seed

REFUSED = 64
EVERY = 60.0  # seconds between checkpoints where the config does not say when
LIBRARIES = ("axolotl", "torch", "transformers", "trl", "peft")
SKIPPED = ("_runtime", "_per_second", "total_flos")
stopped: list[str] = []  # the order that training stopped for


class Plugin(BasePlugin):  # type: ignore[misc]
    """The studio's plugin of Axolotl."""

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """Tell of the training, and obey."""
        return [Callback(trainer)]

    def post_train(self, cfg: Any, model: Any) -> None:
        """After an order nothing is saved but the checkpoint."""
        if stopped:
            job.leave(stopped[0])


class Callback(TrainerCallback):  # type: ignore[misc]
    """The trainer's events as records."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.told = 0.0
        self.saved = time.monotonic()
        self.saved_step = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """What computes, and how long."""
        self.saved = time.monotonic()
        if state.is_world_process_zero:
            rows: Any = getattr(self.trainer, "train_dataset", None)
            job.say(
                "begun",
                total_steps=state.max_steps,
                device=str(args.device),
                world_size=args.world_size,
                rows=len(rows) if hasattr(rows, "__len__") else None,
                versions={name: _version(name) for name in LIBRARIES},
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:
        """Progress, orders, and whether it is time for a checkpoint."""
        if state.is_world_process_zero and time.monotonic() - self.told >= 0.25:
            self._progress(state)
        order, save = _agreed(self._wanted(), args)
        if order:
            stopped[:] = [order]
            control.should_training_stop = True
            control.should_evaluate = False
            control.should_save = order == "pause"
        elif save:
            control.should_save = True
        return control

    def _wanted(self) -> tuple[str | None, bool]:
        order = job.order()
        by_clock = job.user_config.get("by_clock") and time.monotonic() - self.saved >= EVERY
        return order, job.checkpoint_asked() or bool(by_clock)

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """A checkpoint is written; the studio seals it."""
        self.saved = time.monotonic()
        if state.is_world_process_zero and state.global_step != self.saved_step:
            self.saved_step = state.global_step
            job.say("saved", step=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        """Numbers of a step."""
        if not state.is_world_process_zero:
            return
        numbers = {name: float(value) for name, value in (logs or {}).items() if _is_number(value)}
        if "train_runtime" in numbers:
            return  # its train_loss leaves out the steps of earlier attempts
        epoch = numbers.pop("epoch", None)
        skipped = ("memory/",) if args.device.type == "cpu" else ()  # a GPU's, 0 without one
        kept = {
            name: each for name, each in numbers.items() if not name.endswith(SKIPPED) and not name.startswith(skipped)
        }
        job.say("metrics", step=state.global_step, epoch=epoch, values=kept)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The last progress, and what came of it."""
        if state.is_world_process_zero:
            self._progress(state)
            job.say("summary", values=_losses(state.log_history))

    def _progress(self, state: Any) -> None:
        self.told = time.monotonic()
        job.progress(state.global_step, state.max_steps)


def _losses(history: list[dict[str, Any]]) -> dict[str, float]:
    """Mean training loss of all steps, those of earlier attempts too, and the last held-out loss; from the trainer's log."""
    before, total = 0, 0.0
    for entry in (each for each in history if _is_number(each.get("loss"))):
        total += entry["loss"] * (entry["step"] - before)
        before = entry["step"]
    held_out = [entry["eval_loss"] for entry in history if _is_number(entry.get("eval_loss"))]
    return ({"train_loss": total / before} if before else {}) | ({"eval_loss": held_out[-1]} if held_out else {})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _agreed(wanted: tuple[str | None, bool], args: Any) -> tuple[str | None, bool]:
    """What the first process wants, for all of them: they must stop and save at the same step."""
    if args.world_size == 1:
        return wanted
    import torch.distributed as distributed

    shared = [wanted]
    distributed.broadcast_object_list(shared, src=0)
    return shared[0]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def main(path: str) -> int:
    """Check the config, then train; the exit code."""
    job.phase("starting Axolotl")
    try:
        from axolotl.cli.config import load_cfg

        config = load_cfg(path)
    except Exception as error:  # whatever its validation, or a plugin's, raises
        job.say("refused", problems=_problems(error))
        return REFUSED
    job.phase("training with Axolotl")
    try:
        from axolotl.cli.args import TrainerCliArgs
        from axolotl.cli.train import do_train

        set_seed(config["seed"])  # Axolotl does so only when the adapter has its first weights already
        do_train(config, TrainerCliArgs())
    except Exception as error:
        traceback.print_exc()
        job.say("broke", error=f"{type(error).__name__}: {str(error).strip()}"[:2000])
        return 1
    return 0


def _problems(error: Exception) -> list[str]:
    """What is wrong with the config, by key where it is known."""
    told = getattr(error, "errors", None)
    if not callable(told):
        return [f"{type(error).__name__}: {error}"]
    return [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}".removeprefix(": ") for each in told()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
