"""What a job was made of, as short texts that are alike exactly when it was: data, settings, templates, base model."""

from __future__ import annotations

from core.spec import DatasetSource, EvaluationSpec, FineTuningSpec, ModelSource, PromptSource, Spec
from gpu_runner.checkpoint import digest

SETTINGS = {  # what of a training's specification is settings, besides data, templates and the base
    "framework", "sampling", "training_arguments", "lora", "model_bnb", "adapter_bnb", "max_length", "packing", "loss_on",
    "length_grouped", "method", "early_stopping_patience", "keep_best", "user_script", "user_script_sha256", "user_config",
    "axolotl_config",
}  # fmt: skip


def provenance(spec: Spec) -> dict[str, str]:
    """Tags of a job's run; what is not known is left out."""
    made: dict[str, str | None] = {}
    if isinstance(spec, FineTuningSpec):
        made = {
            **_dataset(spec.dataset),
            "config_hash": digest(spec.model_dump(mode="json", include=SETTINGS)),
            "template_hash": _templates(spec.prompt, chat=spec.chat_template),
            **of_base(spec.model),
        }
    elif isinstance(spec, EvaluationSpec):
        settings = spec.model_dump(
            mode="json", include={"sampling", "fraction", "seed", "generation", "model_bnb", "adapter_bnb"}
        )
        made = {
            **_dataset(spec.dataset),
            "config_hash": digest(settings),
            "template_hash": _templates(spec.prompt, chat=any(each.chat_template for each in spec.combinations)),
        }
    return {f"fts.{name}": value for name, value in made.items() if value}


def of_base(model: ModelSource) -> dict[str, str | None]:
    """The base model: its commit on the Hub; of a directory the hash of its files' hashes."""
    return {"base_model": model.name, "base_commit": model.revision or (digest(model.files) if model.files else None)}


def _dataset(dataset: DatasetSource) -> dict[str, str | None]:
    return {"dataset": dataset.name, "dataset_sha256": dataset.sha256, "dataset_commit": dataset.revision}


def _templates(prompt: PromptSource, *, chat: bool) -> str:
    return digest([prompt.prompt_template, prompt.input_template, prompt.completion_template, chat])
