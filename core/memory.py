"""How much memory a training needs: arithmetic on a model's shape and a job's settings, nothing measured, nothing loaded.

The peak of a step is where the backward pass begins: weights, the optimiser's state, what the forward pass kept for the
gradients, and the tiles that the language model's head works in. Each figure says where it comes from; how far they are
from what real trainings take is measured by benchmarks/estimate.py (docs/preflight.md).

What is kept for the gradients was read off autograd (torch.autograd.graph.saved_tensors_hooks) for transformers 5.23's
modules: the inputs of norms, of the attention and of the activation, and the inputs of every matrix that is trained.
The head is TRL 1.16's ChunkedLogProbFunction (trl/kernels/chunked_logprob.py), which never makes all logits at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.shapes import Linear, Shape
from core.tuning import Tuning

MIB = 1 << 20
# Of a forked child on Linux: the libraries' pages that it touches, and its own heap, before it has a model.
LIBRARIES = 76 * MIB
BITSANDBYTES = 60 * MIB  # its import, where quantisation or an optimiser needs it
CONTEXT = 600 * MIB  # of a GPU, taken by CUDA itself
A_WORD = 1_000  # bytes of the tokenizer for each entry of its vocabulary
A_TOKEN = 64  # bytes of a row's token: two Python lists, and the table that the trainer reads
TILE_ROWS, TILE_COLUMNS = 4096, 32768  # of the head's tiles: TOKEN_CHUNK_SIZE and _CHUNKED_LOGPROB_CHUNK_SIZE
FEW = 1 << 22  # logits that a processor computes all at once: LARGEST of gpu_runner/head.py
# fp32 tiles that live at once where the head's gradient is made with torch's own operations (_backward_tile), besides
# that of the product: y, z, log_p, p, grad, two temporaries, and a quarter for a mask.
TILES = 7.25
# glibc keeps blocks of up to 32 MiB in a heap (DEFAULT_MMAP_THRESHOLD_MAX) that does not shrink; larger ones go back at once.
HEAP = 32 * MIB
HOLES = 0.6  # of what is kept in the heap that much more is lost between blocks that came and went, as measured
Tensors = Iterable[tuple[float, float]]  # (how many, bytes of each)


@dataclass(frozen=True)
class Parts:
    """Bytes of the peak by what takes them.

    `activations` are kept for the gradients; `working` is what the head, or a layer, makes its gradients in; `loading` what
    reading the weights takes beyond the training's peak.
    """

    libraries: float
    rows: float
    weights: float
    gradients: float
    optimiser: float
    activations: float
    working: float
    loading: float

    @property
    def total(self) -> float:
        """Bytes at the peak."""
        return float(sum(vars(self).values()))


def largest(parts: Parts) -> Iterator[tuple[str, float]]:
    """The parts that take something, the largest first."""
    yield from sorted(((name, size) for name, size in vars(parts).items() if size), key=lambda each: -each[1])


def estimate(shape: Shape, tuning: Tuning) -> Parts:
    """The peak of one worker's training on one device; on a GPU that of the GPU's memory, its context included."""
    on_gpu = tuning.device == "cuda"
    libraries = CONTEXT if on_gpu else LIBRARIES + A_WORD * shape.vocab + (BITSANDBYTES if tuning.bitsandbytes else 0)
    rows = 0 if on_gpu else A_TOKEN * tuning.tokens
    trained = trained_parameters(shape, tuning)
    gradients, optimiser = 4 * trained, trained * tuning.optimiser_bytes
    activations, working = sum(_split(kept(shape, tuning), tuning)), _working(shape, tuning)
    held = gradients if tuning.accumulation > 1 else 0  # gradients of the micro-batches before
    stepping = _stepping(shape, tuning, trained)
    if (
        held + activations + working < gradients + stepping
    ):  # then the peak is a step's end: every gradient, nothing kept
        held, activations, working = gradients, 0, stepping
    beyond = _reading(shape, tuning) - (held + optimiser + activations + working)
    loading = 0 if on_gpu else max(0, beyond)
    return Parts(libraries, rows, _weights(shape, tuning), held, optimiser, activations, working, loading)


def _split(tensors: Tensors, tuning: Tuning, holes: float | None = None) -> tuple[float, float]:
    """Bytes of the tensors (in glibc's heap with what is lost there, elsewhere)."""
    heap = elsewhere = 0.0
    for count, size in tensors:
        if tuning.device == "cpu" and size <= HEAP:
            heap += count * size * (1 + (HOLES if holes is None else holes))
        else:
            elsewhere += count * size
    return heap, elsewhere


def _working(shape: Shape, tuning: Tuning) -> float:
    """The head's pass or a layer's, whichever takes more; in a heap both: the holes of the one are too small for the other."""
    head, layer = _split(_head(shape, tuning), tuning, holes=0), _split(_backward(shape, tuning), tuning)
    if tuning.device == "cpu":
        return head[0] + layer[0] + max(head[1], layer[1])
    return max(sum(head), sum(layer))


def _stepping(shape: Shape, tuning: Tuning, trained: int) -> float:
    """What torch's own AdamW, where it is not fused, makes of a parameter when it steps: on a GPU of all of them at once."""
    if not tuning.full or tuning.optimiser != "adamw_torch":
        return 0
    largest = max([shape.vocab * shape.hidden, *(each.inputs * each.outputs for each in shape.linears)])
    return 4 * trained if tuning.device == "cuda" else 2 * 4 * largest


# ─── what is trained ──────────────────────────────────────────────────────────────────────────────

_VOCABULARY = ("lm_head", "embed_tokens", "wte", "embed_out")


def trained_parameters(shape: Shape, tuning: Tuning) -> int:
    """How many parameters are trained: all, or LoRA's two thin matrices beside each that is adapted."""
    if tuning.full:
        return shape.parameters
    adapted = adapted_matrices(shape, tuning)
    thin = sum((each.inputs + each.outputs) * each.count * tuning.rank for each in adapted)
    magnitudes = sum(each.outputs * each.count for each in adapted) if tuning.dora else 0
    whole = shape.vocab * shape.hidden * sum(name in _VOCABULARY for name in tuning.whole_modules)
    return thin + magnitudes + whole


def adapted_matrices(shape: Shape, tuning: Tuning) -> list[Linear]:
    """The blocks' matrices that are trained themselves, or get LoRA's beside them."""
    return [each for each in shape.linears if tuning.full or tuning.adapts(each.name, shape.family)]


# ─── weights ──────────────────────────────────────────────────────────────────────────────────────


def _weights(shape: Shape, tuning: Tuning) -> float:
    """Quantised: 4 or 8 bits, and the scales of blocks of 64, which double quantisation shrinks; what is no block's matrix is
    fp32. Where that is as the files have it, it stays mapped from them, and so do the pages of what was quantised.
    """
    if tuning.bits is None:
        return shape.parameters * tuning.weight_bytes
    a_weight = 1.0 if tuning.bits == 8 else 0.5 + (0.016 if tuning.double_quantised else 0.0625)
    whole = shape.parameters if _mapped(shape, tuning) else shape.parameters - shape.blocks
    return shape.blocks * a_weight + whole * 4


def _mapped(shape: Shape, tuning: Tuning) -> bool:
    """Whether weights that are not quantised are the files' own pages: on a processor, in the type that they are stored in."""
    return tuning.device == "cpu" and shape.stored == tuning.weight_bytes


def _reading(shape: Shape, tuning: Tuning) -> float:
    """Bytes beside the weights while they are read: the files' pages, unless those are the weights, and what one matrix is
    quantised to 4 bits in, which compares each number with 16 codes (bitsandbytes/backends/default/ops.py).
    """
    largest = max((each.inputs * each.outputs for each in shape.linears), default=0)
    quantising = 37 * 4 * largest if tuning.bits == 4 else 0
    return quantising + (0 if _mapped(shape, tuning) else shape.parameters * shape.stored)


# ─── what the forward pass keeps ──────────────────────────────────────────────────────────────────


def kept(shape: Shape, tuning: Tuning) -> Iterator[tuple[float, float]]:
    """(how many, bytes of each) of the tensors that the forward pass of a micro-batch keeps for the backward pass.

    With checkpointing they are the layers' inputs only; the rest is made again layer by layer.
    """
    residual = tuning.at_once * shape.hidden * tuning.weight_bytes
    yield 2 + (shape.layers if tuning.checkpointing else 0), residual
    if not tuning.checkpointing:
        yield from ((count * shape.layers, size) for count, size in _layer(shape, tuning))


def _backward(shape: Shape, tuning: Tuning) -> Iterator[tuple[float, float]]:
    """What a layer's backward pass works in: three gradients as wide as the feed-forward part, and what is made again."""
    yield 3, tuning.at_once * shape.intermediate * shape.experts * tuning.number_bytes
    if tuning.checkpointing:
        yield from _layer(shape, tuning)


def _layer(shape: Shape, tuning: Tuning) -> Iterator[tuple[float, float]]:
    """Tensors that one layer keeps, weights in halves included, which autocast makes of fp32 ones."""
    number, tokens = tuning.number_bytes, tuning.at_once
    heads = shape.kv_heads if tuning.shares_heads else shape.heads
    yield (
        4 if tuning.full else 2,
        tokens * shape.hidden * 4,
    )  # inputs of the norms, of trained ones also what they scale
    # Queries, and what attention gives, which plain products don't need again.
    yield 1 if tuning.attention == "eager" else 2, tokens * shape.heads * shape.head_dim * number
    yield 2, tokens * heads * shape.head_dim * number  # keys and values
    yield (
        _ACTIVATION.get(shape.activation, 1) + (2 if shape.gated else 0),
        tokens * shape.intermediate * shape.experts * number,
    )
    yield 2 if shape.hidden_dropout else 0, tokens * shape.hidden * number
    yield from _scores(shape, tuning)
    yield from _inputs(shape, tuning)
    if tuning.autocasts:
        yield from ((each.count / shape.layers, each.inputs * each.outputs * 2) for each in shape.linears)


# How many tensors as wide as its input an activation keeps: those written out in Python keep their steps.
_ACTIVATION = {"gelu_new": 4, "gelu_fast": 4, "quick_gelu": 2, "relu2": 2}


def _scores(shape: Shape, tuning: Tuning) -> Iterator[tuple[float, float]]:
    """What grows with the square of the length: the mask between tokens, or without a fused kernel all scores."""
    span, sequences = (tuning.at_once, 1) if tuning.packing else (tuning.length, tuning.batch)
    pairs = sequences * span * span * tuning.number_bytes
    if tuning.attention == "eager" or shape.softcapped or shape.attention_dropout:
        yield 1, pairs * shape.heads * 4 / tuning.number_bytes  # the softmax, which is fp32
        more = (tuning.number_bytes == 2) + 2 * bool(shape.attention_dropout) + 2 * shape.softcapped
        yield more, pairs * shape.heads
    elif tuning.masked:
        yield 1, pairs


def _inputs(shape: Shape, tuning: Tuning) -> Iterator[tuple[float, float]]:
    """Inputs of the matrices that are trained: shared by those with one input, unless each drops out or casts its own.

    LoRA's thin matrices are fp32; autocast, which a processor does without, has their inputs in halves.
    """
    seen = set()
    number = 4 if tuning.device == "cpu" and not tuning.full else tuning.number_bytes
    for each in adapted_matrices(shape, tuning):
        count, size = each.count / shape.layers, tuning.at_once * each.inputs
        if tuning.dropout and not tuning.full:
            yield count, size * number
            yield count, size * (4 if tuning.device == "cpu" else 1)  # the mask
        elif tuning.number_bytes == 2:
            yield count, size * number
        elif (role := _role(each, shape)) not in seen and (role != "out" or tuning.attention == "eager"):
            seen.add(role)
            yield 1, size * number
        if not tuning.full:
            yield count, tuning.at_once * tuning.rank * number
            yield 2 * count if tuning.dora else 0, tuning.at_once * each.outputs * number


def _role(linear: Linear, shape: Shape) -> str:
    """Which input a matrix has; that of "out" is what attention gives, and kept as such."""
    if linear.inputs == shape.intermediate and linear.outputs == shape.hidden:
        return "down"
    if linear.name in ("o_proj", "out_proj", "dense", "c_proj"):
        return "out"
    return "attention" if linear.name[:1] in "qkvW" or "attn" in linear.name else "feed-forward"


# ─── the head ─────────────────────────────────────────────────────────────────────────────────────


def _head(shape: Shape, tuning: Tuning) -> Iterator[tuple[float, float]]:
    """Tensors of the head's backward pass over the tokens that are learned; its gradients are summed in fp32.

    On a processor few logits are computed all at once (gpu_runner/head.py).
    """
    scored = tuning.scored or tuning.at_once
    rows, columns = min(scored, TILE_ROWS), min(shape.vocab, TILE_COLUMNS)
    yield 1, tuning.at_once * shape.hidden * 4
    if tuning.device == "cuda":
        yield 1, rows * TILE_COLUMNS * tuning.number_bytes
    elif scored * shape.vocab <= FEW:
        yield 4, scored * shape.vocab * 4
    else:  # the product's tile is made for TILE_COLUMNS words, but takes no more than is written
        yield 1, rows * columns * tuning.number_bytes
        yield TILES, rows * columns * 4
    if tuning.autocasts:
        yield 1, columns * shape.hidden * 2
    if tuning.full or any(name in _VOCABULARY for name in tuning.whole_modules):
        yield 1, shape.vocab * shape.hidden * 4
