"""The LM head on a processor. TRL projects every position, also those whose label is not learned, and computes the logits a
second time in the backward pass, in fp32: right on accelerators, a third of a step on a processor with short completions."""

from __future__ import annotations

import torch
import trl.trainer.utils as trl_utils
from torch.nn import functional

LARGEST = 1 << 22  # logits that are held at once: 16 MiB in fp32; of more TRL's way is taken, which holds none
_chunked = trl_utils._ChunkedLogProbFunction

Told = tuple[torch.Tensor | None, ...]


class Head:
    """Stands in TRL's place where there are few logits."""

    @staticmethod
    def apply(
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        chunk: int,
        softcap: float | None = None,
        scale: float = 1.0,
        outputs: tuple[str, ...] = (),
    ) -> Told:
        """Of each row of `hidden` (tokens, width): log-probability of its target, entropy, None, None, whether it is the likeliest."""
        few = hidden.device.type == "cpu" and len(hidden) * len(weight) <= LARGEST
        if not few or not set(outputs) <= {"log_probs", "entropy", "is_top1"}:
            told: Told = _chunked.apply(hidden, weight, bias, targets, temperature, chunk, softcap, scale, outputs)
            return told
        logits = functional.linear(hidden, weight, bias).float() * scale
        if softcap is not None:
            logits = softcap * torch.tanh(logits / softcap)
        log_probs = functional.log_softmax(logits / temperature, dim=-1)
        with torch.no_grad():
            entropy = -(log_probs.exp() * log_probs).sum(-1) if "entropy" in outputs else None
            top = log_probs.argmax(-1) == targets if "is_top1" in outputs else None
        return log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1), entropy, None, None, top


def install() -> None:
    """Let TRL's trainers use it, in this process."""
    # Scoring only learned positions changes shapes from batch to batch, for which some devices compile anew; not these.
    vars(trl_utils)["_use_triton"] = lambda device: device.type in ("cuda", "xpu", "cpu")
    vars(trl_utils)["_ChunkedLogProbFunction"] = Head
