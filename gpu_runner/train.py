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
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import PrinterCallback, set_seed
from transformers.utils import logging as transformers_logging

from core.events import Finished
from core.spec import FineTuningSpec
from core.types import FailureClass
from gpu_runner import checkpoint, measure
from gpu_runner.arguments import sft_config
from gpu_runner.batches import workload
from gpu_runner.chat import Writer
from gpu_runner.child import Context
from gpu_runner.data import load_rows, sample_and_split
from gpu_runner.device import Device, choose_device
from gpu_runner.failures import Cancelled, JobError
from gpu_runner.models import load_model, load_tokenizer
from gpu_runner.tokens import Tokenized, set_padding, tokenize
from gpu_runner.trainer import Reporter, StudioTrainer

LIBRARIES = ("torch", "transformers", "trl", "peft")


def train(spec: FineTuningSpec, context: Context) -> Finished:
    """Run the job to its end, or to the checkpoint that a pause asks for. Raises JobError, Cancelled."""
    began, spool = time.monotonic(), context.spool
    measure.begin()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.set_num_threads(spec.resources.cpus)

    # ─── device ───────────────────────────────────────────────────────────────────────────────────
    device = choose_device(spec.resources.gpus, spec.training_arguments, spool.warn)
    seed = int(spec.training_arguments.get("seed", 42))
    set_seed(seed)

    # ─── data: rows, split, tokens ────────────────────────────────────────────────────────────────
    spool.phase("reading the rows")
    train_rows, eval_rows = sample_and_split(load_rows(spec.dataset, context.token), spec.sampling)
    tokenizer = load_tokenizer(spec.model, context.token)
    set_padding(tokenizer, spec.training_arguments.get("pad_token"), spool.log)
    writer = Writer(tokenizer, spec.day) if spec.chat_template else None
    train_set, eval_set = (
        tokenize(rows, spec.prompt, tokenizer, spec.max_length, spec.loss_on, writer)
        for rows in (train_rows, eval_rows)
    )
    _tell_tokens(spec, context, train_set, eval_set)
    _stop_if_asked(context)

    # ─── model: base, quantisation, adapter ───────────────────────────────────────────────────────
    spool.phase("loading the model")
    model = load_model(spec.model, device, spec.model_bnb or spec.adapter_bnb, context.token)
    model.config.use_cache = False
    model = _with_adapter(model, spec, context)
    total, trained = parameters(model)
    spool.log(f"{trained:,} of {total:,} parameters are trained ({trained / total:.2%})")
    _stop_if_asked(context)

    # ─── trainer ──────────────────────────────────────────────────────────────────────────────────
    drafts = context.directory / "drafts"
    if context.team.first:
        shutil.rmtree(drafts, ignore_errors=True)
    reporter = Reporter(spec, context)
    trainer = _trainer(spec, context, device, model, tokenizer, train_set, eval_set, reporter)
    meter = measure.Meter()
    trainer.add_callback(meter)
    resume = _resume(context, trainer)
    steps = _total_steps(trainer)
    spool.write(
        "started",
        pid=os.getpid(),
        device=device.name,
        total_steps=steps,
        versions={name: version(name) for name in LIBRARIES},
        details={
            "precision": device.precision,
            "rows": len(train_set.input_ids),
            "held_out": len(eval_set.input_ids),
            "tokens": train_set.tokens,
            "workers": context.team.world,
            "parts": trainer.parts,
        },
    )

    # ─── training ─────────────────────────────────────────────────────────────────────────────────
    spool.phase("training")
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    if reporter.stopped == "cancel":
        raise Cancelled
    if reporter.stopped == "pause":
        return Finished(at=time.time(), outcome="paused")

    # ─── adapter ──────────────────────────────────────────────────────────────────────────────────
    spool.phase("saving the adapter")
    if not context.team.first:
        return Finished(at=time.time(), outcome="succeeded")
    location = _save(trainer.model, tokenizer, spec, context)
    summary = {
        "steps": trainer.state.global_step,
        **_losses(trainer.state.log_history),
        "seconds": round(time.monotonic() - began, 2),
        "tokens": train_set.tokens,
        "rows": len(train_set.input_ids),
        "cut": train_set.cut,
        "dropped": train_set.dropped,
        "parameters": total,
        "trained_parameters": trained,
        "location": str(location),
        **_measured(spec, context, device, trainer, train_set.tokens, meter, time.monotonic() - began),
    }
    shutil.rmtree(drafts, ignore_errors=True)
    gc.collect()
    return Finished(at=time.time(), outcome="succeeded", summary=summary)


def _measured(
    spec: FineTuningSpec,
    context: Context,
    device: Device,
    trainer: StudioTrainer,
    tokens: int,
    meter: measure.Meter,
    seconds: float,
) -> dict[str, Any]:
    lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    work = workload(
        lengths,
        spec.training_arguments,
        packing=spec.packing,
        grouped=spec.length_grouped,
        workers=trainer.args.world_size,
    )
    how = measure.tuning(spec, device, work, tokens, str(trainer.model.config._attn_implementation))
    return measure.measured(measure.shape_of(spec.model, context.token), how, device, work, meter, seconds)


def parameters(model: Any) -> tuple[int, int]:
    """(all parameters, trained ones) of a model."""
    total = sum(each.numel() for each in model.parameters())
    return total, sum(each.numel() for each in model.parameters() if each.requires_grad)


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
    context.spool.log(f"{rows} rows to train on, {len(eval_set.input_ids)} held out; {mean:.0f} tokens a row")
    if train_set.cut:
        context.spool.warn(
            f"{train_set.cut} rows are longer than {spec.max_length} tokens and were cut: they teach no end"
        )
    if train_set.dropped:
        context.spool.warn(f"{train_set.dropped} rows were left out: max_length cuts them before their completion")


def _stop_if_asked(context: Context) -> None:
    if context.team.share(context.order()) == "cancel":
        raise Cancelled


def _with_adapter(model: Any, spec: FineTuningSpec, context: Context) -> Any:
    """The model with a fresh adapter, the same for the same seed."""
    if spec.model_bnb or spec.adapter_bnb:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = {**spec.lora}
    config.setdefault("task_type", "CAUSAL_LM")
    if not config.get("target_modules"):
        from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

        config["target_modules"] = KNOWN.get(model.config.model_type, "all-linear")
        context.spool.log(f"the LoRA config names no target modules: {config['target_modules']} are adapted")
    try:
        return get_peft_model(model, LoraConfig(**config))
    except (TypeError, ValueError) as error:
        raise JobError(
            f"the LoRA config is refused: {error}", "Change the lora_config and start the job again."
        ) from error


def _trainer(
    spec: FineTuningSpec,
    context: Context,
    device: Device,
    model: Any,
    tokenizer: Any,
    train_set: Tokenized,
    eval_set: Tokenized,
    reporter: Reporter,
) -> StudioTrainer:
    config = sft_config(spec, device, context.directory / "drafts", evaluates=bool(eval_set.input_ids))
    trainer = StudioTrainer(
        model=model,
        args=config,
        train_dataset=_dataset(train_set),
        eval_dataset=_dataset(eval_set) if eval_set.input_ids else None,
        processing_class=tokenizer,
        callbacks=[reporter],
    )
    trainer.remove_callback(PrinterCallback)  # the spool tells it, and the log is for what is rare
    trainer.context, trainer.frugal, reporter.trainer = context, spec.oom_retry, trainer
    trainer.even_out()
    trainer.identity = checkpoint.Identity(
        data=checkpoint.digest([train_set.input_ids, train_set.labels]),
        config=checkpoint.digest(
            [spec.training_arguments, spec.lora, spec.model_bnb, spec.adapter_bnb, spec.max_length, spec.packing]
        ),
        world_size=config.world_size,
        effective_batch=config.train_batch_size * config.gradient_accumulation_steps * config.world_size,
    )
    if config.world_size != spec.resources.workers:
        text = f"{config.world_size} workers would train, but the job has {spec.resources.workers}"
        raise JobError(text, kind=FailureClass.bug)
    context.team.alike("data, configuration or device", [vars(trainer.identity), device.kind, device.precision])
    return trainer


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
        checkpoint.newest(context.directory, trainer.identity, context.spool.warn) if context.team.first else None
    )
    trainer.begin_after(context.directory, found)
    if found is not None:
        context.spool.write("resumed", from_step=found.step, path=context.relative(found.path))
        return found.path
    if context.attempt > 1:
        context.spool.write("resumed", from_step=0, path="")
    return None


def _save(model: Any, tokenizer: Any, spec: FineTuningSpec, context: Context) -> Path:
    """Write the adapter whole or not at all: a temporary name, then a rename."""
    final = Path(spec.out_dir) / spec.job_id / str(context.attempt)
    draft = final.with_name(f".{final.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    model.peft_config["default"].base_model_name_or_path = spec.model.hub_name or spec.model.location
    # The base's embeddings are never changed; looking whether they were would ask the Hub.
    model.save_pretrained(str(draft), safe_serialization=True, save_embedding_layers=False)
    tokenizer.save_pretrained(str(draft))
    (draft / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    shutil.rmtree(final, ignore_errors=True)
    files = checkpoint.publish(draft, final)
    context.spool.write("artifact", kind="adapter", path=str(final), job_id=spec.job_id, files=files)
    context.spool.sync()
    return final
