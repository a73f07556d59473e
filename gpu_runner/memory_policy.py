"""What a training does when memory runs out: it computes fewer rows at once, and nothing else changes.

The loader stays as it is, and with it the order of rows, the steps and what a checkpoint is of. A micro-batch of the
loader is computed in pieces whose gradients add up to its own, so that the effective batch is the same; the step in
which memory ran out is begun again, with the same rows, weights and dice, as if it had been computed in pieces at once.
"""

from __future__ import annotations

import gc
import traceback
from pathlib import Path
from typing import Any

import torch
from trl import SFTTrainer

from core.types import FailureClass
from gpu_runner.checkpoint import Found
from gpu_runner.child import Context
from gpu_runner.failures import JobError, is_out_of_memory
from gpu_runner.files import Files, earlier_attempts
from gpu_runner.memory_told import arithmetic
from gpu_runner.pieces import rows_of, shared_out
from gpu_runner.sampling import roll
from gpu_runner.spool import read_records

DOCUMENTS = 32  # pieces at most that a packed sequence is cut into


class FrugalTrainer(SFTTrainer):  # type: ignore[misc]
    """Goes on with less when memory runs out, if `frugal`: each micro-batch in `parts` pieces."""

    context: Context
    frugal: bool = False
    parts: int = 1
    current_gradient_accumulation_steps: int
    _step: int = -1  # the step under way, and what it has had: micro-batches, and the counts that it began with
    _had: list[dict[str, Any]]
    _counts: tuple[int, dict[str, int]]
    _single: bool = False  # what is computed is one row, or one document of a packed sequence: it can't be cut

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Compute a micro-batch and add its gradients; raises JobError (out_of_memory) when one row alone is too much."""
        if self._step != self.state.global_step:
            self._begin_step()
        self._had.append(inputs)
        todo = [inputs]
        while True:
            try:
                return [self._in_pieces(model, each, num_items_in_batch) for each in todo][-1]
            except Exception as error:
                self._cut_finer(error)
            self._forget_step(model)
            todo = self._had

    def evaluate(self, *args: Any, **others: Any) -> dict[str, float]:
        """Evaluate; when memory runs out, from the beginning with half the rows at once."""
        while True:
            try:
                return super().evaluate(*args, **others)  # type: ignore[no-any-return]
            except Exception as error:
                self._evaluate_less(error)
            self._metrics["eval"].clear()
            _free()

    def begin_after(self, directory: Path, found: Found | None) -> None:
        """Begin an attempt with as much at once as the checkpoint was saved with, and with less if the kernel ended one.

        Of a micro-batch that can't be cut any finer nothing is told: its job has died without a chance to do better.
        """
        if not self.frugal or self.args.world_size > 1:
            return
        self.parts = int(found.position.get("parts", 1)) if found else 1
        had, wanted = parts_before(directory)
        most = self._train_batch_size * (DOCUMENTS if self.args.packing else 1)
        self.parts = max(self.parts, min(wanted, most))
        if self.parts > had > 0:
            step = found.step + 1 if found else 1
            self._tell(step, "the kernel ended the attempt before for want of memory", starved=True)

    def _begin_step(self) -> None:
        self._step, self._had = self.state.global_step, []
        lengths = {name: len(values) for name, values in self._metrics["train"].items()}
        self._counts = self._total_train_tokens, lengths

    def _forget_step(self, model: Any) -> None:
        """Take back what the step under way has done: its gradients, its numbers, its dice."""
        model.zero_grad()
        _free()
        self._total_train_tokens, lengths = self._counts
        for name, values in self._metrics["train"].items():
            del values[lengths.get(name, 0) :]
        roll(self.args.seed, self.state.global_step)

    def _in_pieces(self, model: Any, inputs: dict[str, Any], num_items: Any) -> torch.Tensor:
        """The loss of a micro-batch, whose pieces' gradients are added."""
        rows = rows_of(inputs)
        if self.parts == 1:
            self._single = len(rows) == 1
            return super().training_step(model, inputs, num_items)  # type: ignore[no-any-return]
        made = shared_out(inputs, rows, self._train_batch_size, self.parts)
        steps = self.current_gradient_accumulation_steps
        self.current_gradient_accumulation_steps = steps * len(made)  # a loss that is a mean is divided by it
        losses = []
        try:
            for piece in made:
                self._single = len(piece) == 1
                losses.append(super().training_step(model, self.data_collator(piece), num_items))
        finally:
            self.current_gradient_accumulation_steps = steps
        return torch.stack(losses).sum()

    def _cut_finer(self, error: Exception) -> None:
        """Cut micro-batches into twice as many pieces; raises what can't be mended so."""
        self._check(error, self._single)
        traceback.clear_frames(error.__traceback__)  # they hold what the failed piece had computed
        self.parts *= 2
        step = self.state.global_step + 1
        self._tell(step, f"memory ran out at step {step}")

    def _tell(self, step: int, why: str, *, starved: bool = False) -> None:
        rows, steps = self._train_batch_size // self.parts, self.args.gradient_accumulation_steps * self.parts
        text = f"{why}: micro-batches are computed in {self.parts} pieces; the effective batch stays"
        fields = {"batch": max(1, rows), "accumulation": steps, "parts": self.parts}
        self.context.spool.write("oom", step=step, text=text, starved=starved, **fields)

    def _evaluate_less(self, error: Exception) -> None:
        before = self.args.per_device_eval_batch_size
        self._check(error, before == 1)
        traceback.clear_frames(error.__traceback__)
        self.args.per_device_eval_batch_size = before // 2
        self.context.spool.warn(f"memory ran out with {before} held-out rows at once: goes on with {before // 2}")

    def _check(self, error: Exception, single: bool) -> None:
        """Raise the error when fewer rows can't help, which in several processes each would have to know of the others."""
        if not is_out_of_memory(error):
            raise error
        if single or not self.frugal or self.args.world_size > 1:
            step, alone = self.state.global_step + 1, " with a single row at once" if single else ""
            text = f"memory ran out at step {step}{alone}: {arithmetic(self.model, self.optimizer, error)}"
            raise JobError(text, kind=FailureClass.out_of_memory) from error


def parts_before(directory: Path) -> tuple[int, int]:
    """(the most pieces that an attempt before had, how many this one is to have) if one of them starved; else (0, 0).

    It is to have more than any had: an attempt that died otherwise in between does not take it back.
    """
    had, wanted, starved = 1, 1, False
    for number in earlier_attempts(directory):
        files = Files(directory.parent / str(number))
        records, _ = read_records(files.spool, 0, max(1, files.spool_size()))
        told = [each["details"].get("parts", 1) for each in records if each["type"] == "started"]
        parts = int(max([1, *told, *(each["parts"] for each in records if each["type"] == "oom")]))
        dead = files.starved.exists()
        had, wanted, starved = max(had, parts), max(wanted, parts * (1 + dead)), starved or dead
    return (had, wanted) if starved else (0, 0)


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
