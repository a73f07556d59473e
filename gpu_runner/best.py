"""The weights with the lowest held-out loss, and when to stop: kept in the attempt's directory and in every checkpoint, so
that a job killed at any step goes on knowing them."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from core.spec import FineTuningSpec
from core.text import counted
from gpu_runner.child import Context
from gpu_runner.holding import Writing, with_room

WEIGHTS = "best.safetensors"


class Best(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Compares held-out losses. Its state is part of a checkpoint; when it asks to stop, no checkpoint is made any more."""

    def __init__(self, spec: FineTuningSpec, context: Context) -> None:
        self.patience = spec.early_stopping_patience
        self.keeps = bool(spec.keep_best or spec.training_arguments.get("load_best_model_at_end"))
        self.context = context
        self.loss: float | None = None
        self.step = 0
        self.worse = 0  # evaluations since the best one

    @property
    def wanted(self) -> bool:
        """Whether the job asks for any of it."""
        return self.keeps or self.patience is not None

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.worse >= self.patience

    @property
    def path(self) -> Path:
        """Where this attempt keeps the best weights."""
        return self.context.directory / WEIGHTS

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it; `args` are the constructor's, and a resumed attempt has its own."""
        return {"args": {}, "attributes": {"loss": self.loss, "step": self.step, "worse": self.worse}}

    def restore(self, checkpoint: Path) -> None:
        """Go on from what a checkpoint holds."""
        if not self.wanted:
            return
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        for name, value in state["stateful_callbacks"][type(self).__name__]["attributes"].items():
            setattr(self, name, value)
        if (checkpoint / WEIGHTS).is_file() and self.context.team.first:
            _link(checkpoint / WEIGHTS, self.path)

    def into(self, draft: Path) -> None:
        """Put the best weights into a checkpoint's draft."""
        if self.path.is_file():
            _link(self.path, draft / WEIGHTS)

    def on_evaluate(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: Any = None,
        metrics: dict[str, float] | None = None,
        **others: Any,
    ) -> Any:
        """A held-out loss is known: keep these weights, or lose patience."""
        loss = (metrics or {}).get("eval_loss")
        if loss is None or not self.wanted:
            return control
        if self.loss is None or loss < self.loss:
            self.loss, self.step, self.worse = float(loss), state.global_step, 0
            if self.keeps:
                self._keep_when_there_is_room(model)
        else:
            self.worse += 1
        return self._stop(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:
        """The loop comes here after a stop within an epoch."""
        return self._stop(control)

    def _stop(self, control: Any) -> Any:
        """A checkpoint from which nothing follows would make a resumed attempt train a step too far."""
        if self.stopped:
            control.should_training_stop = True
            control.should_save = control.should_evaluate = False
        return control

    def _keep_when_there_is_room(self, model: Any) -> None:
        draft, needed = self.path.with_suffix(".draft"), 4 * sum(each.numel() for each in _trained(model).values())
        with_room(
            self.context,
            Writing("the best weights", needed, self.context.directory, spare=0),
            [lambda: self._keep(model)] if self.context.team.first else [_nothing],
            lambda: draft.unlink(missing_ok=True) if self.context.team.first else None,
        )

    def _keep(self, model: Any) -> None:
        draft = self.path.with_suffix(".draft")
        save_file({name: each.detach().contiguous() for name, each in _trained(model).items()}, draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(self.path)

    def put_back(self, model: Any) -> None:
        """Give the model its best weights, when they are kept and not the last ones."""
        if self.keeps and self.path.is_file():
            kept = load_file(self.path)
            for name, each in _trained(model).items():
                each.data.copy_(kept[name])

    def summary(self, step: int) -> dict[str, Any]:
        """What is told of it at the end; `eval_loss` is that of the weights which are saved."""
        if self.loss is None:
            return {}
        kept = {"eval_loss": self.loss} if self.keeps else {}
        if self.stopped and step:
            told = f"stopped at step {step}: the held-out loss has not fallen for {counted(self.worse, 'evaluation')}"
            self.context.spool.log(f"{told} since {self.loss:.4g} at step {self.step}")
        return {"best_eval_loss": self.loss, "best_step": self.step, "stopped_early": self.stopped, **kept}

    def done(self) -> None:
        """The weights are in the job's result."""
        with contextlib.suppress(OSError):
            self.path.unlink()


def _nothing() -> None:
    """What a worker does that is not the first."""


def _trained(model: Any) -> dict[str, Any]:
    return {name: each for name, each in model.named_parameters() if each.requires_grad}


def _link(source: Path, target: Path) -> None:
    """A second name for the file where the file system has such; else a copy."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        target.write_bytes(source.read_bytes())
