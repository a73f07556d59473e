"""The real warm process, whose jobs say what they were born with: `stand_in_warm.py sound|spoiled|cuda FD`.

A spoiled one has computed with several threads before it forks, the known way to children that hang; one that touched
CUDA is only made to say so, since no machine of the tests has any.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from gpu_runner import child, warm


def run(attempt_dir: Path, token: str | None, place: object = None, part: object = None) -> int:
    """A job: a forward and backward pass through LoRA, quantised when asked, and what this process is."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

    spec = json.loads((attempt_dir / "spec.json").read_text())
    tiny = LlamaConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, vocab_size=64)
    base: Any = LlamaForCausalLM(tiny)
    if spec.get("model_bnb"):
        base.save_pretrained(attempt_dir / "model")
        quantised = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
        base = LlamaForCausalLM.from_pretrained(attempt_dir / "model", quantization_config=quantised)
    model: Any = get_peft_model(base, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    tokens = torch.randint(0, 64, (2, 8))
    model(input_ids=tokens, labels=tokens).loss.backward()
    said = {
        "layer": str(type(model.base_model.model.model.layers[0].self_attn.q_proj)),
        "session": os.getsid(0),
        "pid": os.getpid(),
        "threads": torch.get_num_threads(),
        "random": torch.rand(1).item(),
        "token": token,
        "cuda": os.environ["CUDA_VISIBLE_DEVICES"],
        "bitsandbytes": sys.modules.get("bitsandbytes") is not None,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "secrets": [name for name in os.environ if name == "HF_TOKEN"],
    }
    (attempt_dir / "said.json").write_text(json.dumps(said))
    return int(spec.get("code", 0))


def main() -> None:
    how = sys.argv.pop(1)
    vars(child)["run"] = run
    if how != "sound":
        import torch

        if how == "spoiled":
            torch.set_num_threads(2)
            torch.ones(1024, 1024).mm(torch.ones(1024, 1024))
        else:
            torch.cuda.is_initialized = lambda: True
    warm.main()


if __name__ == "__main__":
    main()
