"""Whether a model keeps packed rows apart: seen by trying, since architectures differ and a leak would be silent."""

from __future__ import annotations

from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

FIRST, SECOND = 24, 6  # tokens of the two rows that are packed
NOISE = 0.2  # share of what a leak would change: half precision and other batch shapes change a little


def keeps_apart(model: Any) -> bool:
    """Whether a row's logits are the same behind another one in a packed batch as they are alone.

    The batch is made as training makes it. A model that does not take what packing needs can't be packed for.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    step = max(1, vocabulary // (FIRST + SECOND + 1))
    ids = [(1 + place) * step % vocabulary for place in range(FIRST + SECOND)]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            packed = _logits(model, ids, [FIRST, SECOND])[FIRST:]
            leaking = _logits(model, ids, [FIRST + SECOND])[FIRST:]
            alone = _logits(model, ids[FIRST:], [SECOND])
    except (TypeError, ValueError, RuntimeError):
        return False
    finally:
        model.train(training)
    changed, would_change = float((packed - alone).abs().max()), float((leaking - alone).abs().max())
    return changed <= max(NOISE * would_change, 1e-6)


def _logits(model: Any, ids: list[int], lengths: list[int]) -> torch.Tensor:
    """(tokens, vocabulary) of rows of these lengths in one packed sequence."""
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    batch = collate([{"input_ids": ids, "seq_lengths": lengths}])
    inputs = {
        name: each.to(model.device) if isinstance(each, torch.Tensor) else each
        for name, each in batch.items()
        if name != "labels"
    }
    logits: torch.Tensor = model(**inputs, use_cache=False).logits[0].float()
    return logits
