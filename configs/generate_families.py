"""What configs/families/*.json hold: which layers LoRA adapts in each architecture, and what its tokenizers pad with.

The layers are read from the architectures themselves: each is built on the meta device, which allocates nothing, and
every linear layer of attention and MLP is named. What peft adapts by itself must be among them.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

# File -> (family's name, model types of transformers, what is known of its tokenizers). `pads_with` is what the
# runner's chain of padding tokens comes to (docs/decisions.md): the tokenizer's own, the unknown token's, one among the
# added tokens, or EOS. Figures of the tokenizers published with the models that are named.
FAMILIES: dict[str, tuple[str, tuple[str, ...], tuple[dict[str, str], ...]]] = {
    "llama": (
        "Llama",
        ("llama",),
        (
            {"models": "Llama 2", "eos": "</s>", "pad": "<unk>", "pads_with": "unknown"},
            {
                "models": "Llama 3",
                "eos": "<|end_of_text|>",
                "pad": "<|reserved_special_token_0|>",
                "pads_with": "added",
            },
            {"models": "Llama 3.1", "eos": "<|end_of_text|>", "pad": "<|finetune_right_pad_id|>", "pads_with": "added"},
        ),
    ),
    "mistral": (
        "Mistral",
        ("mistral",),
        ({"models": "Mistral 7B", "eos": "</s>", "pad": "<unk>", "pads_with": "unknown"},),
    ),
    "mixtral": (
        "Mixtral",
        ("mixtral",),
        ({"models": "Mixtral 8x7B", "eos": "</s>", "pad": "<unk>", "pads_with": "unknown"},),
    ),
    "qwen2": (
        "Qwen2",
        ("qwen2", "qwen2_moe"),
        ({"models": "instruct", "eos": "<|im_end|>", "pad": "<|endoftext|>", "pads_with": "own"},),
    ),
    "qwen3": (
        "Qwen3",
        ("qwen3", "qwen3_moe"),
        ({"models": "instruct", "eos": "<|im_end|>", "pad": "<|endoftext|>", "pads_with": "own"},),
    ),
    "gemma": ("Gemma", ("gemma",), ({"models": "all", "eos": "<eos>", "pad": "<pad>", "pads_with": "own"},)),
    "gemma2": ("Gemma 2", ("gemma2",), ({"models": "all", "eos": "<eos>", "pad": "<pad>", "pads_with": "own"},)),
    "gemma3": (
        "Gemma 3",
        ("gemma3_text", "gemma3"),
        ({"models": "all", "eos": "<eos>", "pad": "<pad>", "pads_with": "own"},),
    ),
    "phi": (
        "Phi",
        ("phi",),
        ({"models": "Phi-2", "eos": "<|endoftext|>", "pad": "<|endoftext|>", "pads_with": "eos"},),
    ),
    "phi3": (
        "Phi-3",
        ("phi3",),
        ({"models": "Phi-3 mini", "eos": "<|endoftext|>", "pad": "<unk>", "pads_with": "unknown"},),
    ),
    "gpt2": (
        "GPT-2",
        ("gpt2",),
        ({"models": "all", "eos": "<|endoftext|>", "pad": "<|endoftext|>", "pads_with": "eos"},),
    ),
    "gpt_neo": (
        "GPT-Neo",
        ("gpt_neo",),
        ({"models": "all", "eos": "<|endoftext|>", "pad": "<|endoftext|>", "pads_with": "eos"},),
    ),
    "gpt_neox": (
        "GPT-NeoX",
        ("gpt_neox",),
        ({"models": "GPT-NeoX-20B, Pythia", "eos": "<|endoftext|>", "pad": "<|padding|>", "pads_with": "added"},),
    ),
    "gptj": (
        "GPT-J",
        ("gptj",),
        ({"models": "GPT-J-6B", "eos": "<|endoftext|>", "pad": "<|endoftext|>", "pads_with": "eos"},),
    ),
    "bloom": ("Bloom", ("bloom",), ({"models": "all", "eos": "</s>", "pad": "<pad>", "pads_with": "own"},)),
    "falcon": (
        "Falcon",
        ("falcon",),
        ({"models": "Falcon 7B", "eos": "<|endoftext|>", "pad": "<|endoftext|>", "pads_with": "eos"},),
    ),
    "opt": ("OPT", ("opt",), ({"models": "all", "eos": "</s>", "pad": "<pad>", "pads_with": "own"},)),
    "mpt": (
        "MPT",
        ("mpt",),
        ({"models": "MPT-7B", "eos": "<|endoftext|>", "pad": "<|padding|>", "pads_with": "added"},),
    ),
    "stablelm": (
        "StableLM",
        ("stablelm",),
        ({"models": "StableLM 3B", "eos": "<|endoftext|>", "pad": "<|padding|>", "pads_with": "added"},),
    ),
    "starcoder2": (
        "StarCoder2",
        ("starcoder2",),
        ({"models": "all", "eos": "<|endoftext|>", "pad": "<fim_pad>", "pads_with": "added"},),
    ),
    "gpt_bigcode": (
        "StarCoder",
        ("gpt_bigcode",),
        ({"models": "StarCoder", "eos": "<|endoftext|>", "pad": "<fim_pad>", "pads_with": "added"},),
    ),
}
# Layers that choose among experts or turn states into tokens: adapting them costs much and is not what LoRA is for.
_LEFT_OUT = frozenset({"lm_head", "router", "gate", "shared_expert_gate"})
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers")
_LANGUAGE = "language_model"  # where a model that also sees keeps the part that writes


class Disagreement(RuntimeError):
    """peft adapts a layer that the architecture, as transformers builds it, does not have."""


def all_families() -> dict[str, dict[str, Any]]:
    """File's stem -> its content; raises Disagreement."""
    libraries = {name: version(name) for name in ("transformers", "peft")}
    return {
        stem: {"name": name, "architectures": dict(map(_architecture, types)), "tokenizers": tokens, "from": libraries}
        for stem, (name, types, tokens) in FAMILIES.items()
    }


def _architecture(model_type: str) -> tuple[str, dict[str, Any]]:
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    model = _built(model_type)
    layers, transposed = _linear(model)
    usual = KNOWN.get(model_type)
    if isinstance(usual, list) and not set(usual) <= set(layers):
        raise Disagreement(f"{model_type}: peft adapts {sorted(set(usual) - set(layers))}, which it does not have")
    sees = any(f".{_LANGUAGE}." in f".{name}." for name, _ in model.named_modules())
    targets = rf".*{_LANGUAGE}\..*\.({'|'.join(layers)})" if sees else layers
    lora = {"target_modules": targets, **({"fan_in_fan_out": True} if transposed else {})}
    return type(model).__name__, {"model_type": model_type, "lora": lora, "peft_target_modules": usual}


def _built(model_type: str) -> Any:
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    config = CONFIG_MAPPING[model_type]()
    for name in _LAYERS:
        if hasattr(config, name) and model_type != "gpt_neo":  # whose kinds of attention are listed layer by layer
            setattr(config, name, 2)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def _linear(model: Any) -> tuple[list[str], bool]:
    """The names of the linear layers in order, and whether they hold their weights transposed (GPT-2's Conv1D)."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    found = {
        name.rpartition(".")[2]: isinstance(module, Conv1D)
        for name, module in model.named_modules()
        if isinstance(module, Linear | Conv1D) and not re.search(r"vision|projector", name)
    }
    kept = {name: transposed for name, transposed in found.items() if name not in _LEFT_OUT}
    return list(kept), any(kept.values())
