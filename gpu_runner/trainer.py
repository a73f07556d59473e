"""TRL's trainer with the studio's checkpoints, orders and numbers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset, concatenate_datasets
from transformers import Trainer, TrainerCallback

from core.spec import FineTuningSpec
from gpu_runner import checkpoint, head
from gpu_runner.best import Best
from gpu_runner.child import Context
from gpu_runner.holding import Writing, with_room
from gpu_runner.memory_policy import FrugalTrainer
from gpu_runner.methods import in_full_precision
from gpu_runner.reserve import Reserve
from gpu_runner.sampling import EpochSampler, roll

EVERY = 60.0  # seconds between checkpoints when the job does not say otherwise
BESIDE = 1 << 20  # bytes of a checkpoint besides weights and moments: states, tokenizer, manifest
SHARE = 20  # a checkpoint is not made before that many times its own duration has passed


head.install()


class StudioTrainer(FrugalTrainer):
    """Saves sealed checkpoints in place of bare ones, and trains in fp32 whatever the base's weights are."""

    identity: checkpoint.Identity
    train_dataset: Any
    best: Best
    saving: float = 0.0
    largest: int = 0  # bytes of the largest checkpoint so far
    order: EpochSampler | None = None
    blanks: int = 0  # rows at the end of the training rows that only fill up

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        in_full_precision(self.model)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows = self.train_dataset if train_dataset is None else train_dataset
        strategy = self.args.train_sampling_strategy
        if strategy not in ("random", "group_by_length"):
            return super()._get_train_sampler(train_dataset)
        lengths = [len(ids) for ids in rows["input_ids"]]
        group = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.context.team.world
        real = len(lengths) - self.blanks
        self.order = EpochSampler(lengths[:real], self.args.seed, group if strategy != "random" else None, self.blanks)
        return self.order

    def even_out(self) -> None:
        """Fill up the rows so that several workers get as many each: with rows of which nothing is learned, none twice."""
        team = self.context.team
        self.blanks = -len(self.train_dataset) % (self.args.train_batch_size * team.world) if team.world > 1 else 0
        if self.blanks:
            self.train_dataset = with_blanks(self.train_dataset, self.blanks, self.processing_class.pad_token_id)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        began, step = time.monotonic(), self.state.global_step
        drafts, final = Path(self.args.output_dir), self.context.directory / "checkpoints" / f"checkpoint-{step}"
        if self.context.team.share(final.exists()):
            return
        draft, first = drafts / f"checkpoint-{step}", self.context.team.first
        with_room(
            self.context,
            Writing(f"a checkpoint at step {step}", self._bytes(), self.context.directory, self.reserve),
            # Each worker writes its own dice before the first one seals.
            [lambda: Trainer._save_checkpoint(self, model, trial), lambda: self._seal(draft, final, step)],
            lambda: shutil.rmtree(draft, ignore_errors=True) if first else None,
        )
        if first:
            self.context.spool.write(
                "checkpoint", step=step, path=self.context.relative(final), files=checkpoint.weights(final)
            )
            self.context.spool.sync()
            self.largest = max(self.largest, checkpoint.size_of(final))
        self.keep_room()
        self.saving = time.monotonic() - began

    def _seal(self, draft: Path, final: Path, step: int) -> None:
        if self.context.team.first:
            self.best.into(draft)
            position = {"epoch": self.state.epoch, "parts": self.parts}
            checkpoint.seal(draft, final, self.identity, step, position)

    def keep_room(self) -> None:
        """Keep room for the next checkpoint, unless that would fill the disk: it will be looked for when it is needed.

        It is more than the checkpoint takes: orders may cut it, and the next one tells of more steps.
        """
        wanted = self._bytes() + BESIDE
        if self.context.team.first and Writing("its room", wanted, self.context.directory).fits:
            self.reserve.take(wanted)

    @property
    def reserve(self) -> Reserve:
        """The room that is kept for the next checkpoint."""
        return Reserve(self.context.files.reserve)

    def _bytes(self) -> int:
        """About what a checkpoint takes: as much as one before, else trained weights, two moments of each in fp32, and the rest."""
        trained = sum(each.numel() for each in self.model.parameters() if each.requires_grad)
        return max(self.largest, int(trained) * 4 * 3 + BESIDE)


def with_blanks(rows: Dataset, number: int, pad: int) -> Dataset:
    """The rows and behind them so many of one token, of which nothing is learned."""
    blank = {"input_ids": [pad], "labels": [-100], "seq_lengths": [1]}
    made = Dataset.from_dict({name: [blank[name]] * number for name in rows.column_names}, features=rows.features)
    return concatenate_datasets([rows, made])


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Tells the spool what happens, saves by the clock, and obeys orders between steps."""

    def __init__(self, spec: FineTuningSpec, context: Context) -> None:
        self.spec, self.context = spec, context
        self.trainer: StudioTrainer | None = None
        self.stopped: str | None = None
        self.pace = Pace()
        self.saved = time.monotonic()
        self.by_clock = not {"save_steps", "save_strategy"} & spec.training_arguments.keys()
        self.waits = False  # for the evaluation at the epoch's end

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The pace is measured from here."""
        self.pace = Pace(step=state.global_step)
        self.saved = time.monotonic()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The epoch's order of rows: the libraries don't tell it a worker's sampler that goes on within an epoch."""
        if self.trainer and self.trainer.order:
            self.trainer.order.set_epoch(int(state.epoch + 1e-6))

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The step's dice."""
        roll(args.seed, state.global_step, self.context.team.rank)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:
        """Progress, orders, and whether it is time for a checkpoint."""
        self.pace.stepped(state.global_step)
        if self.pace.due():
            self._progress(state)
        order, save = self.context.team.share((self.context.order(), self.context.save_asked() or self._time_to_save()))
        if order is not None:
            self.stopped = order
            control.should_training_stop = True
            control.should_save = order == "pause"
            control.should_evaluate = control.should_evaluate and order == "pause"
        elif save:
            control.should_save = True
        self.waits = control.should_save and args.eval_strategy == "epoch" and float(state.epoch).is_integer()
        control.should_save = control.should_save and not self.waits
        return control

    def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:
        """A checkpoint that is due with an epoch's last step comes after its evaluation: a resumed attempt would miss that."""
        control.should_save = control.should_save or self.waits
        if self.stopped is not None and not self.waits:
            control.should_evaluate = False  # the loop was left within the epoch, and calls that its end
        self.waits = False
        return control

    def _time_to_save(self) -> bool:
        spent = self.trainer.saving if self.trainer else 0.0
        return self.by_clock and time.monotonic() - self.saved >= max(EVERY, SHARE * spent)

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The clock begins anew."""
        self.saved = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **others: Any) -> None:
        """Numbers to the spool; TRL's count of tokens gives their rate."""
        numbers = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        if "train_runtime" in numbers:
            return  # the summary at the end, which the finished record has
        numbers = {
            name: value
            for name, value in numbers.items()
            if not name.endswith(("_runtime", "_per_second", "eval_num_tokens"))
        }
        epoch = numbers.pop("epoch", None)
        if "loss" in numbers and (rate := self.pace.tokens(numbers.get("num_tokens"))) is not None:
            numbers["tokens_per_second"] = rate
        self.context.spool.metrics(state.global_step, numbers, epoch)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The last progress."""
        self._progress(state)

    def _progress(self, state: Any) -> None:
        left = max(0, state.max_steps - state.global_step)
        seconds = self.pace.seconds_a_step()
        eta = None if seconds is None else round(left * seconds, 1)
        self.context.spool.write(
            "progress",
            step=state.global_step,
            total_steps=state.max_steps,
            eta_seconds=eta,
            tokens_per_second=self.pace.rate,
        )


class Pace:
    """How fast steps and tokens go by, smoothed."""

    def __init__(self, step: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.step, self.at, self.told = step, clock(), 0.0
        self.each: float | None = None
        self.rate: float | None = None
        self.count, self.count_at = 0.0, clock()

    def stepped(self, step: int) -> None:
        """A step ended."""
        now = self.clock()
        took = (now - self.at) / max(1, step - self.step)
        self.each = took if self.each is None else 0.9 * self.each + 0.1 * took
        self.step, self.at = step, now

    def seconds_a_step(self) -> float | None:
        """Seconds a step takes, lately; None before the first."""
        return self.each

    def due(self) -> bool:
        """Whether progress should be told again: four times a second at most."""
        if self.clock() - self.told < 0.25:
            return False
        self.told = self.clock()
        return True

    def tokens(self, total: float | None) -> float | None:
        """Tokens a second since the last call, from the count so far."""
        if total is None:
            return None
        now = self.clock()
        rate = (total - self.count) / max(1e-9, now - self.count_at)
        self.count, self.count_at = total, now
        self.rate = round(rate, 1)
        return self.rate
