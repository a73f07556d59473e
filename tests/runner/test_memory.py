"""The arithmetic of core/memory.py against what the libraries do: parameters that PEFT trains, tensors that autograd keeps."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel
from trl.kernels import ChunkedLogProbFunction, chunked_logprob
from trl.trainer import utils
from trl.trainer.utils import add_fused_lm_head

from core.memory import FEW, TILE_COLUMNS, TILE_ROWS, TILES, kept, trained_parameters
from core.shapes import Shape, read_shape, shape_of
from core.tuning import Tuning, tuning_of
from gpu_runner import head
from gpu_runner.methods import targets

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT asks transformers by older names
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BATCH, LENGTH = 2, 48


def llama(**sizes: Any) -> PreTrainedModel:
    config = LlamaConfig(
        hidden_size=64, intermediate_size=176, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=300, architectures=["LlamaForCausalLM"], **sizes,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def gpt2(**sizes: Any) -> PreTrainedModel:
    config = GPT2Config(
        n_embd=64, n_layer=3, n_head=4, vocab_size=300, n_positions=128, architectures=["GPT2LMHeadModel"], **sizes
    )
    return GPT2LMHeadModel(config)


def shape(model: PreTrainedModel) -> Shape:
    tensors = {name: ("F32", tuple(each.shape)) for name, each in model.named_parameters()}
    return shape_of(model.config.to_dict(), tensors)


@pytest.mark.parametrize("tied", [True, False])
def test_a_models_files_tell_its_shape(tmp_path: Path, tied: bool) -> None:
    model = llama(tie_word_embeddings=tied)
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    found = read_shape(tmp_path)
    assert found.parameters == sum(each.numel() for each in model.parameters())
    assert (found.hidden, found.layers, found.heads, found.kv_heads, found.head_dim) == (64, 3, 4, 2, 16)
    assert (found.intermediate, found.vocab, found.tied, found.stored, found.gated) == (176, 300, tied, 2.0, True)
    assert found.family == "LlamaForCausalLM"
    linear = {name: each for name, each in model.model.layers.named_modules() if isinstance(each, torch.nn.Linear)}
    assert found.blocks == sum(each.weight.numel() for each in linear.values())


def test_transposed_weights_are_told_as_they_are_used(tmp_path: Path) -> None:
    gpt2().save_pretrained(tmp_path)
    sizes = {(each.name, each.inputs, each.outputs, each.count) for each in read_shape(tmp_path).linears}
    assert sizes == {("c_attn", 64, 192, 3), ("c_proj", 64, 64, 3), ("c_fc", 64, 256, 3), ("c_proj", 256, 64, 3)}


@pytest.mark.parametrize(
    ("make", "lora"),
    [
        (llama, {"target_modules": ALL, "r": 4}),
        (llama, {"r": 16}),  # the family's own targets
        (llama, {"target_modules": "all-linear", "r": 8, "use_dora": True}),
        (llama, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
        (gpt2, {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
        (gpt2, {"r": 4}),
    ],
)
def test_as_many_parameters_are_trained_as_peft_trains(make: Any, lora: dict[str, Any]) -> None:
    model = make(tie_word_embeddings="modules_to_save" not in lora)
    found = trained_parameters(shape(model), tuning_of({}, lora, None))
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **{**targets(model), **lora}))
    assert found == sum(each.numel() for each in adapted.parameters() if each.requires_grad)


class Pack:
    """A tensor that autograd keeps, as long as it keeps it."""

    alive: ClassVar[weakref.WeakSet[Pack]] = weakref.WeakSet()

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        Pack.alive.add(self)


def held(model: torch.nn.Module) -> int:
    """Bytes of what autograd keeps now; the model's own tensors are no part of it."""
    own = {each.untyped_storage().data_ptr() for each in [*model.parameters(), *model.buffers()]}
    storages = [pack.tensor.untyped_storage() for pack in Pack.alive]
    return sum({each.data_ptr(): each.nbytes() for each in storages if each.data_ptr() not in own}.values())


def batch(*, packed: bool) -> dict[str, torch.Tensor]:
    ids = torch.randint(0, 300, (1, BATCH * LENGTH) if packed else (BATCH, LENGTH))
    if packed:
        places = torch.arange(LENGTH // 2).repeat(2 * BATCH)[None]
        return {"input_ids": ids, "labels": ids.clone(), "position_ids": places}
    mask = torch.ones_like(ids)
    mask[0, -3:] = 0
    return {"input_ids": ids, "labels": ids.clone(), "attention_mask": mask}


CASES: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (llama, {"target_modules": ["q_proj", "v_proj"]}, {}),
    (llama, {"target_modules": ALL}, {}),
    (llama, {"target_modules": ALL, "lora_dropout": 0.1}, {}),
    (llama, {"target_modules": ALL, "use_dora": True}, {}),
    (llama, {"target_modules": ["q_proj", "v_proj"]}, {"packing": True}),
    (llama, {"target_modules": ["q_proj", "v_proj"]}, {"checkpointing": True}),
    (llama, {"target_modules": ["q_proj", "v_proj"]}, {"precision": "bf16"}),
    (llama, {"target_modules": ["q_proj", "v_proj"]}, {"attention": "eager"}),
    (llama, {"target_modules": ALL}, {"attention": "eager"}),
    (llama, {"target_modules": ALL}, {"attention": "eager", "precision": "bf16"}),
    (llama, {"target_modules": ALL, "lora_dropout": 0.1}, {"precision": "bf16"}),
    (llama, {}, {"method": "full"}),
    (llama, {}, {"method": "full", "precision": "bf16"}),
    (gpt2, {"target_modules": ["c_attn"], "fan_in_fan_out": True}, {}),
]


@pytest.mark.parametrize(("make", "lora", "how"), CASES, ids=[f"{m.__name__}-{x}-{y}" for m, x, y in CASES])
def test_what_is_kept_for_the_gradients_is_what_autograd_keeps(
    make: Any, lora: dict[str, Any], how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "LARGEST", 0)  # what few logits take, 16 MiB at most, is not reckoned with
    model = make()
    sizes = shape(model)
    tuning = tuning_of({}, lora, None, **{"batch": BATCH, "length": LENGTH, "attention": "sdpa", **how})
    model.set_attn_implementation(tuning.attention)
    model.to(torch.bfloat16 if tuning.weight_bytes == 2 else torch.float32)
    if lora:
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora))
    if tuning.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": True})
        model.enable_input_require_grads()
    add_fused_lm_head(model.get_base_model() if lora else model, outputs=("log_probs", "entropy", "is_top1"))
    model.train()
    Pack.alive.clear()
    hooks = torch.autograd.graph.saved_tensors_hooks(Pack, lambda pack: pack.tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=tuning.autocasts):
        made = model(**batch(packed=tuning.packing), fused_lm_head=True)
    assert made.loss.requires_grad
    assert held(model) == pytest.approx(sum(count * size for count, size in kept(sizes, tuning)), rel=0.06)


class Live(TorchDispatchMode):
    """The most bytes that tensors made within held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, tuple[Any, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple) else (made,):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage._cdata not in self.sizes:
                self.sizes[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.sizes = {key: each for key, each in self.sizes.items() if not each[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.sizes.values()))
        return made


def test_the_heads_gradient_is_made_in_as_many_tiles_as_reckoned_with() -> None:
    rows, words = 16, TILE_COLUMNS
    hidden, weight = torch.randn(rows, 4, requires_grad=True), torch.randn(words, 4)
    targets = torch.randint(0, words, (rows,))
    outputs = ("log_probs", "entropy", "is_top1")
    told = ChunkedLogProbFunction.apply(hidden, weight, None, targets, 1.0, words, None, 1.0, outputs)
    loss = -told[0].sum()
    with Live() as live:
        loss.backward()
    assert live.peak / (rows * words * 4) == pytest.approx(TILES + 1, rel=0.05)
    assert head.LARGEST == FEW
    assert (TILE_ROWS, TILE_COLUMNS) == (chunked_logprob.TOKEN_CHUNK_SIZE, utils._CHUNKED_LOGPROB_CHUNK_SIZE)


def test_checkpointing_keeps_less_and_length_costs_more() -> None:
    sizes = shape(llama())
    plain = Tuning(length=256)

    def total(tuning: Tuning) -> float:
        return sum(count * size for count, size in kept(sizes, tuning))

    assert total(Tuning(length=256, checkpointing=True)) < total(plain) < total(Tuning(length=512))
