"""What of a model is trained: an adapter on its (perhaps quantised) layers, or all of its weights."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFTS

from core.families import family
from core.spec import FineTuningSpec
from core.types import Method
from gpu_runner.child import Context
from gpu_runner.failures import JobError

FULL_HINT = "Leave the bitsandbytes config out, or use method lora."
LORA_HINT = "Change the lora_config and start the job again."


def prepare(model: Any, spec: FineTuningSpec, context: Context) -> Any:
    """The model with what is to be trained requiring gradients: a fresh adapter (the same for the same seed), or everything."""
    model.config.use_cache = False
    if spec.method is Method.lora:
        return with_adapter(model, spec, context)
    if spec.model_bnb or spec.adapter_bnb:
        raise JobError("quantised weights can't be trained", FULL_HINT)
    for each in model.parameters():
        each.requires_grad_(True)
    return model


def with_adapter(model: Any, spec: FineTuningSpec, context: Context) -> Any:
    """The model with a fresh LoRA adapter; DoRA and rank-stabilised LoRA as the config says. Raises JobError."""
    if spec.model_bnb or spec.adapter_bnb:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = {"task_type": "CAUSAL_LM", **spec.lora}
    if not config.get("target_modules"):
        config |= targets(model)
        told = config["target_modules"]
        told = told if isinstance(told, str) else ", ".join(told)
        context.spool.log(f"the adapter is trained on {told}, as is usual for this model")
    try:
        return get_peft_model(model, LoraConfig(**config))
    except (TypeError, ValueError) as error:
        raise JobError(f"the LoRA config is refused: {error}", LORA_HINT) from error


def targets(model: Any) -> dict[str, Any]:
    """LoRA's layers of the model's family; of one that the studio does not know PEFT's, else all linear ones."""
    known = next(filter(None, map(family, model.config.architectures or [])), None)
    if known is not None:
        return dict(known.lora)
    return {"target_modules": PEFTS.get(model.config.model_type, "all-linear")}


def in_full_precision(model: Any) -> None:
    """Weights that are trained are fp32, whatever a library made of a quantised model's adapter: small steps get lost in bf16."""
    for each in model.parameters():
        if each.requires_grad and each.dtype in (torch.bfloat16, torch.float16):
            each.data = each.data.float()


def parameters(model: Any) -> tuple[int, int]:
    """(all parameters, trained ones) of a model."""
    total = sum(each.numel() for each in model.parameters())
    return total, sum(each.numel() for each in model.parameters() if each.requires_grad)
