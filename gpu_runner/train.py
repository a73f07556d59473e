"""A fine-tuning job, from top to bottom (guide, "Training Script Architecture")."""

from __future__ import annotations

import gc
import os
import shutil
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from transformers import PrinterCallback, set_seed
from transformers.utils import logging as transformers_logging

from core import short
from core.events import Finished
from core.spec import FineTuningSpec
from core.text import counted
from core.tuning import attention_of
from core.types import FailureClass, Method
from gpu_runner import checkpoint, fingerprints, measure
from gpu_runner.abilities import DEFAULT_ATTENTION, able, checkpoints_gradients
from gpu_runner.arguments import Terms, sft_config
from gpu_runner.batches import workload
from gpu_runner.best import Best
from gpu_runner.chat import Writer
from gpu_runner.child import Context
from gpu_runner.data import load_rows, sample_and_split
from gpu_runner.device import Device, choose_device
from gpu_runner.failures import Cancelled, JobError
from gpu_runner.heap import give_back
from gpu_runner.methods import parameters, prepare
from gpu_runner.models import load_model, load_tokenizer
from gpu_runner.packing import keeps_apart
from gpu_runner.saving import save
from gpu_runner.tokens import IGNORED, Tokenized, set_padding, tokenize
from gpu_runner.trainer import Reporter, StudioTrainer

LIBRARIES = ("torch", "transformers", "trl", "peft")


def train(spec: FineTuningSpec, context: Context) -> Finished:
    """Run the job to its end, or to the checkpoint that a pause asks for. Raises JobError, Cancelled."""
    began, spool = time.monotonic(), context.spool
    measure.begin()
    _quiet()

    # ─── device ───────────────────────────────────────────────────────────────────────────────────
    torch.set_num_threads(spec.resources.cpus)
    bnb = spec.model_bnb or spec.adapter_bnb
    device = choose_device(spec.resources.gpus, spec.training_arguments, spool.warn, quantised=bool(bnb))
    arguments = able(spec.training_arguments, device, spool.warn)
    set_seed(int(arguments.get("seed", 42)))

    # ─── data: rows, split, tokens ────────────────────────────────────────────────────────────────
    spool.phase("reading the rows")
    tokenizer = load_tokenizer(spec.model, context.token)
    train_set, eval_set = read(spec, tokenizer, context)
    _stop_if_asked(context)

    # ─── model: base, quantisation, what is trained ───────────────────────────────────────────────
    spool.phase("loading the model")
    model = load_model(
        spec.model,
        device,
        bnb,
        context.token,
        learns=spec.method,
        attention=_attention(spec, arguments, device, train_set),
    )
    arguments["gradient_checkpointing"] = checkpoints_gradients(arguments, model, spool.warn)
    packs = spec.packing and _can_pack(model, context)
    model = prepare(model, spec, context)
    give_back()  # what reading and quantising freed is needed for training
    total, trained = parameters(model)
    spool.log(f"{trained:,} of {total:,} parameters are trained ({trained / total:.2%})")
    _stop_if_asked(context)

    # ─── trainer ──────────────────────────────────────────────────────────────────────────────────
    best, reporter = Best(spec, context), Reporter(spec, context)
    if best.wanted and not eval_set.input_ids:
        spool.warn(
            "there are no held-out rows to compare losses on: training goes to its end, and its last weights are saved"
        )
    drafts = context.directory / "drafts"
    if context.team.first:
        shutil.rmtree(drafts, ignore_errors=True)
    terms = Terms(arguments, device, drafts, bool(eval_set.input_ids), packs, best.wanted)
    trainer = _trainer(spec, terms, model, tokenizer, (train_set, eval_set), (reporter, best))
    meter = measure.Meter()
    trainer.add_callback(meter)
    resume = _resume(context, trainer)
    trainer.keep_room()
    _tell_start(context, trainer, device, train_set, eval_set)

    # ─── training ─────────────────────────────────────────────────────────────────────────────────
    spool.phase("training")
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    if reporter.stopped == "cancel":
        raise Cancelled
    if reporter.stopped == "pause" and not best.stopped:
        return Finished(at=time.time(), outcome="paused")

    # ─── result ───────────────────────────────────────────────────────────────────────────────────
    spool.phase(f"saving the {'adapter' if spec.method is Method.lora else 'model'}")
    if not context.team.first:
        return Finished(at=time.time(), outcome="succeeded")
    best.put_back(trainer.model)
    location = save(trainer.model, tokenizer, spec, context)
    summary = {
        **_losses(trainer.state.log_history),
        **best.summary(trainer.state.global_step),
        **_counts(trainer, train_set),
        "seconds": round(time.monotonic() - began, 2),
        "location": str(location),
        **_measured(spec, context, terms, trainer, train_set.tokens, meter, time.monotonic() - began),
    }
    shutil.rmtree(drafts, ignore_errors=True)
    best.done()
    gc.collect()
    return Finished(at=time.time(), outcome="succeeded", summary=summary)


def _quiet() -> None:
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning)


def read(spec: FineTuningSpec, tokenizer: Any, context: Context) -> tuple[Tokenized, Tokenized]:
    """(what is trained on, what is held out), in tokens; the tokenizer gets its padding. Raises JobError."""
    train_rows, eval_rows = sample_and_split(load_rows(spec.dataset, context.token), spec.sampling)
    fingerprints.keep(spec, context, train_rows)
    set_padding(tokenizer, spec.training_arguments.get("pad_token"), context.spool.log)
    writer = Writer(tokenizer, spec.day) if spec.chat_template else None
    train_set, eval_set = (
        tokenize(rows, spec.prompt, tokenizer, spec.max_length, spec.loss_on, writer)
        for rows in (train_rows, eval_rows)
    )
    _tell_tokens(spec, context, train_set, eval_set)
    return train_set, eval_set


def _attention(spec: FineTuningSpec, arguments: dict[str, Any], device: Device, rows: Tokenized) -> str | None:
    """The implementation for rows of this length; None: the library's own choice."""
    longest = min(spec.max_length, rows.tokens) if spec.packing else max(map(len, rows.input_ids))
    chosen = attention_of(arguments, device.kind, longest)
    return None if chosen == DEFAULT_ATTENTION else chosen


def _can_pack(model: Any, context: Context) -> bool:
    if keeps_apart(model):
        return True
    context.spool.warn("packed rows would see each other in a model of this architecture: rows are padded instead")
    return False


def _tell_start(
    context: Context, trainer: StudioTrainer, device: Device, train_set: Tokenized, eval_set: Tokenized
) -> None:
    details = {
        "precision": device.precision,
        "rows": len(train_set.input_ids),
        "held_out": len(eval_set.input_ids),
        "tokens": train_set.tokens,
        "workers": context.team.world,
        "parts": trainer.parts,
    }
    versions = {name: version(name) for name in LIBRARIES}
    steps = _total_steps(trainer)
    context.spool.write(
        "started", pid=os.getpid(), device=device.name, total_steps=steps, versions=versions, details=details
    )
    if steps < short.FEW:
        context.spool.log(f"{short.told(steps)}: more epochs, or rows that are not packed, make more", level="warning")


def _counts(trainer: StudioTrainer, train_set: Tokenized) -> dict[str, int]:
    """How much was trained, and on how much."""
    total, trained = parameters(trainer.model)
    return {
        "steps": trainer.state.global_step,
        "rows": len(train_set.input_ids),
        "tokens": train_set.tokens,
        "cut": train_set.cut,
        "dropped": train_set.dropped,
        "parameters": total,
        "trained_parameters": trained,
    }


def _measured(
    spec: FineTuningSpec,
    context: Context,
    terms: Terms,
    trainer: StudioTrainer,
    tokens: int,
    meter: measure.Meter,
    seconds: float,
) -> dict[str, Any]:
    rows = trainer.train_dataset
    work = workload(
        [len(ids) for ids in rows["input_ids"]],
        terms.arguments,
        packing=terms.packs,
        learned=[sum(label != IGNORED for label in labels) for labels in rows["labels"]],
        grouped=spec.length_grouped and not terms.packs,
        workers=trainer.args.world_size,
    )
    ran = spec.model_copy(update={"training_arguments": terms.arguments, "packing": terms.packs})
    how = measure.tuning(ran, terms.device, work, tokens, str(trainer.model.config._attn_implementation))
    return measure.measured(measure.shape_of(spec.model, context.token), how, terms.device, work, meter, seconds)


def _losses(history: list[dict[str, Any]]) -> dict[str, float]:
    """Mean training loss of all steps, those of earlier attempts too, and the last held-out loss; from the trainer's log."""
    before, total = 0, 0.0
    for entry in (each for each in history if "loss" in each):
        total += entry["loss"] * (entry["step"] - before)
        before = entry["step"]
    found = {"train_loss": total / before} if before else {}
    held_out = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    return found | ({"eval_loss": held_out[-1]} if held_out else {})


def _tell_tokens(spec: FineTuningSpec, context: Context, train_set: Tokenized, eval_set: Tokenized) -> None:
    rows = len(train_set.input_ids)
    mean = train_set.tokens / max(1, rows)
    told = f"{counted(rows, 'row')} to train on, {len(eval_set.input_ids):,} held out; {mean:.0f} tokens a row"
    context.spool.log(told)
    if train_set.cut:
        many = counted(train_set.cut, "row is", "rows are")
        context.spool.warn(f"{many} longer than {spec.max_length} tokens and cut to that: such rows teach no end")
    if train_set.dropped:
        many = counted(train_set.dropped, "row is", "rows are")
        context.spool.warn(f"{many} left out: max_length cuts before the completion")


def _stop_if_asked(context: Context) -> None:
    if context.team.share(context.order()) == "cancel":
        raise Cancelled


def _trainer(
    spec: FineTuningSpec,
    terms: Terms,
    model: Any,
    tokenizer: Any,
    sets: tuple[Tokenized, Tokenized],
    callbacks: tuple[Reporter, Best],
) -> StudioTrainer:
    (train_set, eval_set), (reporter, best) = sets, callbacks
    config = sft_config(spec, terms)
    try:
        trainer = StudioTrainer(
            model=model,
            args=config,
            train_dataset=_dataset(train_set),
            eval_dataset=_dataset(eval_set) if eval_set.input_ids else None,
            processing_class=tokenizer,
            callbacks=[reporter, best] if best.wanted else [reporter],
        )
        trainer.create_optimizer()
    except (ValueError, ImportError) as error:
        raise JobError(
            f"the trainer refuses the job: {error}",
            "Change the training arguments or the LoRA config, and start it again.",
        ) from error
    trainer.remove_callback(PrinterCallback)  # the spool tells it, and the log is for what is rare
    trainer.context, trainer.frugal, reporter.trainer = reporter.context, spec.oom_retry, trainer
    trainer.best = best
    trainer.even_out()
    trainer.identity = checkpoint.Identity(
        data=checkpoint.digest([train_set.input_ids, train_set.labels]),
        config=checkpoint.digest(_config(spec, terms)),
        world_size=config.world_size,
        effective_batch=config.train_batch_size * config.gradient_accumulation_steps * config.world_size,
    )
    if config.world_size != spec.resources.workers:
        text = f"{config.world_size} workers would train, but the job has {spec.resources.workers}"
        raise JobError(text, kind=FailureClass.bug)
    trained = [vars(trainer.identity), terms.device.kind, terms.device.precision]
    reporter.context.team.alike("data, configuration or device", trained)
    return trainer


def _config(spec: FineTuningSpec, terms: Terms) -> list[Any]:
    """What must be alike in all attempts of a job; what later versions added only where it is asked for."""
    made = [spec.training_arguments, spec.lora, spec.model_bnb, spec.adapter_bnb, spec.max_length, spec.packing]
    more = {
        "method": spec.method is Method.full,
        "padded": spec.packing and not terms.packs,
        "compares": terms.compares,
    }
    return made + sorted(name for name, asked in more.items() if asked)


def _dataset(tokenized: Tokenized) -> Dataset:
    return Dataset.from_dict({"input_ids": tokenized.input_ids, "labels": tokenized.labels})


def _total_steps(trainer: StudioTrainer) -> int:
    if trainer.args.max_steps > 0:
        return int(trainer.args.max_steps)
    batches = len(trainer.get_train_dataloader())
    a_epoch = max(1, -(-batches // trainer.args.gradient_accumulation_steps))
    return int(-(-a_epoch * trainer.args.num_train_epochs // 1))


def _resume(context: Context, trainer: StudioTrainer) -> Path | None:
    """Where to go on from. An attempt that finds nothing begins anew, and says so: what was drawn before is cut."""
    found = context.team.share(
        checkpoint.newest(context.directory, trainer.identity, context.spool.warn, own=context.again)
        if context.team.first
        else None
    )
    trainer.begin_after(context.directory, found)
    if found is not None:
        trainer.best.restore(found.path)
        context.spool.write("resumed", from_step=found.step, path=context.relative(found.path))
        return found.path
    if context.attempt > 1 or context.again:
        context.spool.write("resumed", from_step=0, path="")
    return None
