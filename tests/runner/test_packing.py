"""Packed rows don't see each other: the logits of each are those that it has alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

from core.spec import SPEC
from gpu_runner import train
from gpu_runner.arguments import Terms
from gpu_runner.best import Best
from gpu_runner.child import Context
from gpu_runner.device import Device
from gpu_runner.methods import with_adapter
from gpu_runner.models import load_model, load_tokenizer
from gpu_runner.packing import keeps_apart
from gpu_runner.spool import Spool
from gpu_runner.tokens import Tokenized
from gpu_runner.trainer import Reporter
from tests.runner.attempts import Attempt
from tests.runner.tiny import WORDS, make_model, make_rows, tiny_spec

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
WORD_COUNT = len(WORDS)
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=WORD_COUNT
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=WORD_COUNT, n_positions=128)),
    "bloom": lambda: BloomForCausalLM(BloomConfig(hidden_size=32, n_layer=2, n_head=2, vocab_size=WORD_COUNT)),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models with weights large enough that what they attend to shows."""
    made = {}
    for name, build in MODELS.items():
        made[name] = make_model(tmp_path_factory.mktemp(name) / "base")
        torch.manual_seed(1)
        model = build()
        for each in model.parameters():
            each.data = torch.randn_like(each) * 0.3
        model.save_pretrained(made[name])
    return made


def packed_trainer(base: Path, tmp: Path, attention: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """The trainer of a job that packs, and its tokenizer."""
    raw = tiny_spec("job", tmp, base, make_rows(tmp / "rows.jsonl"), packing=True, sampling={"split": 1.0})
    spec = SPEC.validate_python(raw | {"lora": {"r": 4}})
    context = Context(Attempt(tmp).directory, Spool(tmp / "events.jsonl"))
    tokenizer = load_tokenizer(spec.model)
    rows, nothing = train.read(spec, tokenizer, context)
    assert nothing == Tokenized()
    cpu = Device("cpu", "fp32")
    model = with_adapter(load_model(spec.model, cpu, attention=attention), spec, context)
    terms = Terms(spec.training_arguments, cpu, tmp / "drafts", evaluates=False, packs=True)
    return train._trainer(
        spec, terms, model, tokenizer, (rows, nothing), (Reporter(spec, context), Best(spec, context))
    ), tokenizer


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_every_packed_row_has_the_logits_that_it_has_alone(
    bases: dict[str, Path], tmp_path: Path, name: str, attention: str
) -> None:
    trainer, _ = packed_trainer(bases[name], tmp_path, attention)
    model = trainer.model.eval()
    assert model.config._attn_implementation == attention
    plain = AutoModelForCausalLM.from_pretrained(bases[name], attn_implementation=attention)
    seen = 0
    for batch in trainer.get_train_dataloader():
        ids, positions = batch["input_ids"], batch["position_ids"]
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        with torch.no_grad():
            packed, leaking = model(**inputs).logits[0], plain(input_ids=ids).logits[0]
        starts = [*(positions.flatten() == 0).nonzero().flatten().tolist(), ids.shape[1]]
        assert len(starts) > 4
        for number, (start, end) in enumerate(itertools.pairwise(starts)):
            with torch.no_grad():
                alone = plain(input_ids=ids[:, start:end]).logits[0]
            torch.testing.assert_close(packed[start:end], alone, rtol=1e-4, atol=1e-4)
            assert number == 0 or float((leaking[start:end] - alone).abs().max()) > 0.1
            seen += 1
    assert seen == 24


@pytest.mark.parametrize(("name", "apart"), [("llama", True), ("gpt2", True), ("bloom", False)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_is_tried_before_its_rows_are_packed(
    bases: dict[str, Path], name: str, apart: bool, precision: Any
) -> None:
    model = AutoModelForCausalLM.from_pretrained(bases[name], dtype=Device("cpu", precision).load_dtype).train()
    assert keeps_apart(model) is apart and model.training


def test_rows_of_a_model_that_would_mix_them_are_padded_and_that_is_told(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    spec = tiny_spec("job", tmp_path, bases["bloom"], make_rows(tmp_path / "rows.jsonl"), packing=True, lora={"r": 4})
    attempt = Attempt(tmp_path)
    end = attempt.run(spec)
    assert end["outcome"] == "succeeded", end["error"]
    assert any("see each other" in record["text"] for record in attempt.records("warning"))
    assert end["summary"]["steps"] == 6  # 21 rows, four a step
