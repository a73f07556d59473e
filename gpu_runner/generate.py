"""Answering prompts in batches: sorted by length, padded on the left, only what is new decoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from gpu_runner.device import Device

BATCH = 16
BOS_DEFAULT, EOS_DEFAULT = 1, 2  # guide: for models whose config lacks them


@dataclass(frozen=True)
class Generated:
    """One answer: its text without the prompt and special tokens, how many tokens it took, and whether EOS ended it."""

    text: str
    new_tokens: int
    stopped_by_eos: bool
    seconds: float


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    settings: dict[str, Any],
    device: Device,
    *,
    batch_size: int = BATCH,
    on_batch: Callable[[int], None] = lambda done: None,
) -> list[Generated]:
    """Answer every prompt, in the order given; `on_batch(done)` is called after each batch and may raise to stop.

    With do_sample false the text is the same as one by one. A batch that memory has no room for is halved.
    """
    encoded = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda index: len(encoded[index]))
    answers: dict[int, Generated] = {}
    start = 0
    while start < len(order):
        batch = order[start : start + batch_size]
        try:
            answers.update(
                zip(batch, _batch(model, tokenizer, [encoded[index] for index in batch], settings, device), strict=True)
            )
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            batch_size //= 2
            torch.cuda.empty_cache()
            continue
        start += len(batch)
        on_batch(start)
    return [answers[index] for index in range(len(prompts))]


def token_ids(model: Any, tokenizer: Any) -> tuple[int, int]:
    """(BOS, EOS) of the model: the tokenizer's, else its config's, else the guide's defaults."""
    bos = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else model.config.bos_token_id
    eos = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else model.config.eos_token_id
    return BOS_DEFAULT if bos is None else bos, EOS_DEFAULT if eos is None else eos


def _batch(
    model: Any, tokenizer: Any, encoded: list[list[int]], settings: dict[str, Any], device: Device
) -> list[Generated]:
    began = time.perf_counter()
    bos, eos = token_ids(model, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos
    encoded = [ids or [bos] for ids in encoded]
    longest = max(map(len, encoded))
    ids = torch.tensor([[pad] * (longest - len(each)) + each for each in encoded], device=model.device)
    mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in encoded], device=model.device)
    options = {name: value for name, value in settings.items() if value is not None}
    autocast = torch.autocast(device.kind, dtype=torch.bfloat16) if device.precision == "bf16" else nullcontext()
    with torch.inference_mode(), autocast:
        out = model.generate(
            input_ids=ids, attention_mask=mask, pad_token_id=pad, eos_token_id=eos, bos_token_id=bos, **options
        )
    seconds = (time.perf_counter() - began) / len(encoded)
    return [_answer(tokenizer, row[longest:].tolist(), eos, seconds) for row in out]


def _answer(tokenizer: Any, new: list[int], eos: int, seconds: float) -> Generated:
    stopped = eos in new
    kept = new[: new.index(eos)] if stopped else new
    return Generated(tokenizer.decode(kept, skip_special_tokens=True), len(kept) + stopped, stopped, seconds)
