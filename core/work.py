"""How much a training computes: floating point operations by a model's shape, from which seconds follow by a runner's pace."""

from __future__ import annotations

from core.memory import adapted_matrices
from core.shapes import Shape
from core.tuning import Tuning


def operations(shape: Shape, tuning: Tuning, tokens: float) -> float:
    """Operations of a forward and a backward pass over so many tokens, padding included.

    A matrix takes two for each of its weights in the forward pass, two for the gradient of its input, and two for its own
    when it is trained (Kaplan et al., 2020, "Scaling Laws", table 1); LoRA's thin ones are trained. The head's product is
    made again in the backward pass, and with checkpointing that of every layer.
    """
    passes = 2 + (1 if tuning.full else 0) + (1 if tuning.checkpointing else 0)
    blocks = 2 * passes * shape.blocks * shape.experts / max(1, _experts(shape))
    head = 2 * (4 if tuning.full else 3) * shape.vocab * shape.hidden
    adapters = (
        0
        if tuning.full
        else 6
        * sum((each.inputs + each.outputs) * each.count * tuning.rank for each in adapted_matrices(shape, tuning))
    )
    span = tuning.at_once if tuning.packing else tuning.length
    attention = 2 * 2 * (passes + 1) * shape.layers * shape.heads * shape.head_dim * span
    return tokens * (blocks + head + adapters + attention)


def _experts(shape: Shape) -> float:
    """How many experts a layer has, of which a token goes through some: as often as its widest matrix is there."""
    return max((each.count / shape.layers for each in shape.linears), default=1) if shape.experts > 1 else 1
