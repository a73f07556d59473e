"""Writing what a job made, whole or not at all: a temporary name, then a rename. Safetensors and the tokenizer."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any, Literal

from core.spec import FineTuningSpec
from core.types import Method
from gpu_runner import checkpoint
from gpu_runner.child import Context
from gpu_runner.holding import Writing, with_room
from gpu_runner.reserve import Reserve
from gpu_runner.team import Team

SAMPLING_NEEDS = ("temperature", "top_p", "top_k", "min_p", "typical_p")


def save(model: Any, tokenizer: Any, spec: FineTuningSpec, context: Context) -> Path:
    """Write the adapter, or the model, to out_dir/<job>/<attempt> once there is room, and tell it as an artifact; its directory.

    Raises Cancelled, Paused.
    """
    final = Path(spec.out_dir) / spec.job_id / str(context.attempt)
    draft = final.with_name(f".{final.name}.draft")
    kind: Literal["adapter", "model"] = "adapter" if spec.method is Method.lora else "model"
    files: dict[str, str] = {}

    def write() -> None:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        (_adapter if kind == "adapter" else _model)(model, spec, draft)
        tokenizer.save_pretrained(str(draft))
        shutil.rmtree(final, ignore_errors=True)
        files.update(checkpoint.publish(draft, final))

    Reserve(context.files.reserve).release()  # no checkpoint comes any more
    final.parent.mkdir(parents=True, exist_ok=True)
    needed = sum(
        each.numel() * each.element_size() for each in model.parameters() if kind == "model" or each.requires_grad
    )
    with_room(
        context,
        Writing(f"the {kind}", needed, final.parent, spare=0),
        [write],
        lambda: shutil.rmtree(draft, ignore_errors=True),
        Team(),
    )
    context.spool.write("artifact", kind=kind, path=str(final), job_id=spec.job_id, files=files)
    context.spool.sync()
    return final


def _adapter(model: Any, spec: FineTuningSpec, draft: Path) -> None:
    model.peft_config["default"].base_model_name_or_path = spec.model.hub_name or spec.model.location
    # The base's embeddings are never changed; looking whether they were would ask the Hub.
    model.save_pretrained(str(draft), safe_serialization=True, save_embedding_layers=False)
    (draft / "README.md").unlink(missing_ok=True)  # PEFT's empty model card


def _model(model: Any, spec: FineTuningSpec, draft: Path) -> None:
    """All weights, with the config that they were loaded with, but for what training needed."""
    model.config.use_cache = True
    settings = model.generation_config
    if settings is not None and any(getattr(settings, name, None) not in (None, 1.0) for name in SAMPLING_NEEDS):
        settings.do_sample = True  # what else such settings would mean; saving refuses them without it
    with warnings.catch_warnings(action="ignore"):
        model.save_pretrained(str(draft), safe_serialization=True)
