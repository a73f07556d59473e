"""A GPT-2 without a padding token learns to stop: the share of answers that EOS ends, before and after fine-tuning."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from tests.runner.attempts import Attempt
from tests.runner.tiny import tiny_spec

END = "<|endoftext|>"
ANIMALS = ("cat", "dog", "owl", "fox", "hen", "bee", "ant", "yak")
PLACES = ("barn", "tree", "lake", "hill", "cave", "nest")


def lines(count: int) -> list[dict[str, str]]:
    """Questions and short answers about animals."""
    dice = random.Random(0)
    drawn = [(dice.choice(ANIMALS), dice.choice(PLACES)) for _ in range(count)]
    return [{"q": f"The {animal} is in the {place}. Who?", "a": f" The {animal}."} for animal, place in drawn]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of two layers that has read such text, one line after the other and never an end."""
    made = tmp_path_factory.mktemp("gpt2")
    text = [each["q"] + each["a"] for each in lines(200)]
    words = Tokenizer(BPE())
    words.pre_tokenizer = ByteLevel(add_prefix_space=False)
    words.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=320, special_tokens=[END], initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    words.train_from_iterator(text, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token=END, eos_token=END, unk_token=END)
    tokenizer.save_pretrained(made)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 128, "vocab_size": len(tokenizer)}
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    stream = torch.tensor(tokenizer("\n".join(text))["input_ids"])
    learning = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        starts = torch.randint(0, len(stream) - 48, (16,))
        batch = torch.stack([stream[start : start + 48] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        learning.step()
        learning.zero_grad()
    assert loss < 1
    model.save_pretrained(made)
    return made


@pytest.mark.parametrize(
    "how", [{"packing": True}, {"packing": False, "loss_on": "completion"}], ids=["packed", "padded"]
)
def test_a_gpt2_without_a_padding_token_learns_to_stop(gpt2: Path, tmp_path: Path, how: dict[str, Any]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(each) + "\n" for each in lines(240)))
    prompt = {
        "id": "p",
        "name": "p",
        "prompt_template": "{q}{a}",
        "input_template": "{q}",
        "completion_template": "{a}",
    }
    arguments = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 0.01, "logging_steps": 50}
    lora = {"r": 16, "lora_alpha": 32}
    spec = tiny_spec(
        "job", tmp_path, gpt2, rows, prompt=prompt, training_arguments=arguments, lora=lora, max_length=128
    )
    if how["packing"]:
        arguments |= {"per_device_train_batch_size": 2, "num_train_epochs": 4}
    trained = Attempt(tmp_path)
    end = trained.run(spec | how)
    assert end["outcome"] == "succeeded", end["error"]
    model = {"id": "m", "name": "m", "location": str(gpt2)}
    adapter = {"id": "a", "name": "a", "location": end["summary"]["location"]}
    batch = {
        "kind": "evaluation", "job_id": "batch", "name": "n", "dataset": spec["dataset"], "prompt": prompt,
        "sampling": spec["sampling"], "resources": spec["resources"],
        "generation": {"do_sample": False, "max_new_tokens": 16},
        "combinations": [
            {"job_id": "base", "run_number": 1, "model": model},
            {"job_id": "adapter", "run_number": 2, "model": model, "adapter": adapter},
        ],
    }  # fmt: skip
    asked = Attempt(tmp_path, 1, "batch")
    assert asked.run(batch)["outcome"] == "succeeded"
    share = {
        record["job_id"]: record["values"]["stopped_by_eos"]
        for record in asked.records("scored")
        if record.get("values")
    }
    assert share["base"] == 0 and share["adapter"] >= 0.95, share
