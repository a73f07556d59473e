"""The LM head as a processor computes it: TRL's numbers and gradients, of learned positions only."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from gpu_runner import head
from gpu_runner import trainer as installs

OUTPUTS = ("log_probs", "entropy", "is_top1")
SIZES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
    "head_dim": 16, "vocab_size": 96,
}  # fmt: skip


def model_of(name: str) -> Any:
    torch.manual_seed(0)
    if name == "gemma2":  # its logits are capped
        made: Any = Gemma2ForCausalLM(Gemma2Config(**SIZES, final_logit_softcapping=5.0, attn_implementation="eager"))
    else:
        made = LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=name == "tied"))
    add_fused_lm_head(made, outputs=OUTPUTS)
    return made


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(0, 96, (3, 12))
    return {"input_ids": ids, "labels": ids.masked_fill(torch.arange(12) < 9, -100)}


@pytest.mark.parametrize("name", ["llama", "tied", "gemma2"])
def test_loss_numbers_and_gradients_are_trls(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installs.head is head
    model, found = model_of(name), []
    for largest in (0, head.LARGEST):
        monkeypatch.setattr(head, "LARGEST", largest)
        model.zero_grad()
        out = model(**batch(), fused_lm_head=True)
        out.loss.backward()
        told = [out.log_probs.detach(), out.entropy.detach(), out.is_top1.float()]
        found.append([out.loss.detach(), *told, *(each.grad.clone() for each in model.parameters())])
    for trls, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, trls, rtol=1e-4, atol=1e-6)


def test_only_positions_that_are_learned_are_projected(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = model_of("llama"), []
    real = torch.nn.functional.linear

    def counted(hidden: Any, weight: Any, bias: Any = None) -> Any:
        if weight is model.lm_head.weight:
            rows.append(len(hidden))
        return real(hidden, weight, bias)

    monkeypatch.setattr(head.functional, "linear", counted)
    model(**batch(), fused_lm_head=True)
    assert rows == [3 * 3]
    nothing = batch() | {"labels": torch.full((3, 12), -100)}
    loss = model(**nothing, fused_lm_head=True).loss
    loss.backward()
    assert float(loss.detach()) == 0
