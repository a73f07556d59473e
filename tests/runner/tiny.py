"""A real Llama, as small as they come, with a tokenizer and rows: made on the spot, in seconds."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from tests.runner.studio import spec_of

WORDS = ["<unk>", "<s>", "</s>", "<pad>", *"abcdefghijklmnopqrstuvwxyz", *(f"w{number}" for number in range(98))]


def make_model(directory: Path, *, decided: float = 1.0, **shape: int) -> Path:
    """Write a Llama of one layer and a tokenizer of 128 words; the same bytes every time. `shape` goes over its config.

    Its logits are multiplied by `decided`: the higher it is, the surer are its answers.
    """
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(**{**small, "vocab_size": len(WORDS), "max_position_embeddings": 128, **shape})
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight *= decided
    model.save_pretrained(directory)
    words = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(directory)
    return directory


def make_adapter(directory: Path, model: Path, seed: int = 0) -> Path:
    """Write a LoRA adapter of the model that changes its answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    lora = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    with warnings.catch_warnings(action="ignore"):  # of one library about another
        get_peft_model(AutoModelForCausalLM.from_pretrained(model), lora).save_pretrained(directory)
    return directory


def make_rows(path: Path, rows: int = 24) -> Path:
    """Write rows of a question and an answer."""
    path.write_text("".join(json.dumps({"question": f"w{n} a b", "answer": f"c w{n}"}) + "\n" for n in range(rows)))
    return path


def tiny_spec(job_id: str, tmp: Path, model: Path, rows: Path, **extra: Any) -> dict[str, Any]:
    """The specification of a fine-tuning that takes seconds on a processor."""
    arguments = {
        "num_train_epochs": 1,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "learning_rate": 0.01,
        "save_strategy": "no",
    }
    prompt = {
        "id": "p",
        "name": "p",
        "prompt_template": "{question} {answer}",
        "input_template": "{question}",
        "completion_template": "{answer}",
    }
    fields = {
        "model": {"id": "m", "name": "m", "location": str(model)},
        "dataset": {
            "id": "d",
            "name": "d",
            "type": "project_jsonl",
            "location": str(rows),
            "features": ["question", "answer"],
        },
        "prompt": prompt,
        "training_arguments": arguments,
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"},
        "max_length": 32,
        "packing": False,
    }
    return spec_of(job_id, tmp, **(fields | extra))
