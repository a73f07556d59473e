"""What of a model decides about memory and time: sizes from its config.json, weights from the headers of its safetensors.

Nothing is loaded: a safetensors file begins with a JSON header that names every tensor, its type and its shape
(huggingface.co/docs/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.families import family

LARGEST = 1 << 40  # of anything that a config or a header may tell
BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1}
LONGEST_HEADER = 100_000_000  # the format's own bound
_IN_A_LAYER = re.compile(r"\.\d+\.")
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]  # name -> (type, shape)


class Linear(BaseModel):
    """Weights of one kind in the blocks: `count` matrices from `inputs` to `outputs`."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    name: str
    inputs: int
    outputs: int
    count: int

    @property
    def elements(self) -> int:
        """Numbers in all of them."""
        return self.inputs * self.outputs * self.count


class Shape(BaseModel):
    """The sizes of a causal language model, in elements; what is not told is 0 or the usual."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    parameters: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool = False
    family: str = ""
    activation: str = "silu"
    attention_dropout: float = 0.0
    hidden_dropout: float = 0.0
    softcapped: bool = False
    experts: int = 1  # that a token goes through
    stored: float = 4.0  # bytes a parameter has on disk
    linears: list[Linear] = []

    @property
    def blocks(self) -> int:
        """Parameters of the blocks' matrices: what LoRA adapts and bitsandbytes quantises."""
        return sum(each.elements for each in self.linears)

    @property
    def gated(self) -> bool:
        """Whether the feed-forward part multiplies two projections."""
        return any("gate" in each.name for each in self.linears)


def shape_of(config: Mapping[str, Any], tensors: Tensors) -> Shape:
    """The shape of a model with this config.json and these tensors; raises ValueError when the config tells too little."""
    inner = config.get("text_config")
    text: Mapping[str, Any] = inner if isinstance(inner, dict) else config
    hidden = _number(text, "hidden_size", "n_embd", "d_model")
    heads = _number(text, "num_attention_heads", "n_head", "n_heads", "num_heads")
    architecture = next(iter(config.get("architectures") or ()), "")
    matrices = {name: shape for name, (_, shape) in tensors.items() if len(shape) == 2}
    parameters = sum(math.prod(shape) for _, shape in tensors.values())
    size = sum(math.prod(shape) * BYTES.get(kind, 4) for kind, shape in tensors.values())
    if not 0 < parameters <= LARGEST:
        raise ValueError(f"weights of {parameters} numbers are no model's")
    return Shape(
        parameters=parameters,
        hidden=hidden,
        layers=_number(text, "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        heads=heads,
        kv_heads=1 if text.get("multi_query") else _number(text, "num_key_value_heads", otherwise=heads),
        head_dim=_number(text, "head_dim", otherwise=hidden // heads),
        intermediate=_number(text, "intermediate_size", "n_inner", "ffn_dim", otherwise=4 * hidden),
        vocab=_number(text, "vocab_size"),
        tied="lm_head.weight" not in tensors and "embed_out.weight" not in tensors,
        family=str(architecture),
        activation=str(next((text[key] for key in _ACTIVATION if isinstance(text.get(key), str)), "gelu")),
        attention_dropout=_share(text, "attention_dropout", "attn_pdrop", "attention_probs_dropout_prob"),
        hidden_dropout=_share(text, "resid_pdrop", "hidden_dropout", "dropout", "resid_dropout"),
        softcapped=bool(text.get("attn_logit_softcapping")),
        experts=_number(text, "num_experts_per_tok", otherwise=1) if _mixed(text) else 1,
        stored=size / parameters,
        linears=_linears(matrices, transposed=_transposed(str(architecture))),
    )


_ACTIVATION = ("hidden_activation", "hidden_act", "activation_function", "activation")


def _mixed(text: Mapping[str, Any]) -> bool:
    return any(text.get(key) for key in ("num_local_experts", "num_experts"))


def _transposed(architecture: str) -> bool:
    known = family(architecture)
    return known is not None and bool(known.lora.get("fan_in_fan_out"))


def _linears(matrices: Mapping[str, tuple[int, ...]], *, transposed: bool) -> list[Linear]:
    """The blocks' matrices by the last part of their module's name; what has no layer's number is no block's."""
    found: Counter[tuple[str, int, int]] = Counter()
    for name, shape in matrices.items():
        module = name.removesuffix(".weight").rsplit(".", 1)[-1]
        if name.endswith(".weight") and _IN_A_LAYER.search(name) and "norm" not in module and "embed" not in module:
            outputs, inputs = reversed(shape) if transposed else shape
            found[module, inputs, outputs] += 1
    return [
        Linear(name=name, inputs=inputs, outputs=outputs, count=count)
        for (name, inputs, outputs), count in sorted(found.items())
    ]


def _number(text: Mapping[str, Any], *names: str, otherwise: int | None = None) -> int:
    for name in names:
        value = text.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST:
            return value
    if otherwise is None:
        raise ValueError(f"its config.json has no {names[0]}")
    return otherwise


def _share(text: Mapping[str, Any], *names: str) -> float:
    return next((float(text[name]) for name in names if isinstance(text.get(name), int | float)), 0.0)


def read_shape(directory: Path) -> Shape:
    """The shape of the model in `directory`; raises ValueError, OSError when its files don't tell it."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        files = sorted(each for each in directory.glob("*.safetensors") if each.is_file())
        return shape_of(config, read_headers(files))
    except (
        AttributeError,
        KeyError,
        TypeError,
        OverflowError,
        RecursionError,
    ) as error:  # whatever a file's content causes
        raise ValueError(f"the model's files don't tell its shape: {error}") from error


def read_headers(paths: Iterable[Path]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of safetensors files: eight bytes tell the header's length, the header is JSON. Raises what reading it can."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for path in paths:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > LONGEST_HEADER:
                raise ValueError(f"{path} is no safetensors file")
            header = json.loads(file.read(length))
        for name, told in header.items():
            if name != "__metadata__":
                found[name] = (str(told["dtype"]), tuple(map(_size, told["shape"])))
    return found


def _size(told: Any) -> int:
    if not isinstance(told, int) or not 0 <= told <= LARGEST:
        raise ValueError(f"{told!r} is no size of a tensor")
    return told
