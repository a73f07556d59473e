"""Something to export: a tiny base, adapters of it, the rows one was trained on; and the specification of its export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, make_rows, tiny_spec


def make_pair(root: Path, **shape: int) -> Path:
    """A base model in `root`/base, an adapter of it in `root`/adapter that answers otherwise, and rows."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    make_model(root / "base", **shape)
    make_rows(root / "rows.jsonl")
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(root / "base")
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(root / "adapter")
    return root


def export_spec(pair: Path, tmp: Path, destination: str, **extra: Any) -> dict[str, Any]:
    """The specification of an export of the pair."""
    return {
        "kind": "export",
        "job_id": "job",
        "name": "export tickets",
        "destination": destination,
        "model": {"id": "m", "name": "base", "location": str(pair / "base")},
        "adapter": {"id": "a", "name": "tickets", "location": str(pair / "adapter")},
        "model_name": "tickets",
        "model_description": "sorts *tickets*",
        "directory": str(tmp / "exports" / "tickets") if destination == "merged" else None,
        "training": tiny_spec("trained", tmp, pair / "base", pair / "rows.jsonl"),
        "scores": {"dataset": "rows|2", "rows": 6, "values": {"exact_match": 0.5}, "evaluation_job_id": "e"},
        "generation": {"do_sample": False, "max_new_tokens": 8},
        "resources": {"cpus": 1, "gpus": 0, "memory": 1},
        **extra,
    }


def answers(pair: Path, prompts: list[str], adapter: Path | None = None) -> list[str]:
    """What base and adapter answer, asked by the library alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(pair / "base")
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    tokenizer = AutoTokenizer.from_pretrained(pair / "base")
    texts = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        new = model.generate(input_ids=ids, max_new_tokens=8, do_sample=False)[0, ids.shape[1] :]
        texts.append(tokenizer.decode(new, skip_special_tokens=True))
    return texts


def die_and_go_on(spec: dict[str, Any], root: Path, fates: list[str], **environment: str) -> list[Attempt]:
    """The attempts of an export that is killed at each of the fates (dying_exports.py), and then left alone."""
    attempts = [Attempt(root, number) for number in range(1, len(fates) + 2)]
    plan = [(str(each.prepare(spec)), fate) for each, fate in zip(attempts, [*fates, None], strict=True)]
    command = [sys.executable, "-m", "tests.runner.dying_exports", json.dumps(plan)]
    paths = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, env={**os.environ, **paths, **environment}, check=True, timeout=240)
    return attempts
