"""An adapter folded into the weights answers as beside them, and leaves the base as it was, bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from gpu_runner import folding
from gpu_runner.device import Device
from gpu_runner.folding import folded
from tests.runner.tiny import make_model

CPU = Device("cpu", "fp32")
IDS = torch.tensor([[5, 6, 7, 8]])
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


def adapted(base: Path, **config: Any) -> PeftModel:
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base)
    asked = {"r": 4, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False, **config}
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **asked)).eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
    return found


def is_folded(model: PeftModel, device: Device = CPU) -> bool:
    with folded(model, device):
        return any(getattr(each, "merged_adapters", []) for each in model.modules())


def test_it_answers_alike_and_the_base_comes_back_bit_by_bit(base: Path) -> None:
    model = adapted(base)
    beside, before = logits(model), {name: each.clone() for name, each in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="in between"), folded(model, CPU):
        assert (logits(model) - beside).abs().max() < 1e-5
        assert not all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
        raise RuntimeError("in between")
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert torch.equal(logits(model), beside)
    assert torch.equal(logits(model.unload()), logits(AutoModelForCausalLM.from_pretrained(base)))


def test_what_is_not_plain_lora_on_plain_weights_stays_beside_them(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_folded(adapted(base)) and is_folded(adapted(base, target_modules="all-linear"))
    assert not is_folded(adapted(base), Device("cpu", "bf16")) and not is_folded(adapted(base), Device("cuda", "bf16"))
    assert not is_folded(adapted(base, use_dora=True))
    assert not is_folded(adapted(base, target_modules=["q_proj", "embed_tokens"]))
    shared = adapted(base, target_modules=["q_proj", "lm_head"])
    shared.base_model.model.lm_head.base_layer.weight = shared.base_model.model.model.embed_tokens.weight
    assert not is_folded(shared)
    monkeypatch.setattr(folding, "MOST", 100)
    assert not is_folded(adapted(base))
