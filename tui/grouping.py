"""Which fields a form shows, in which groups and order, and on what of the others each depends."""

from __future__ import annotations

from core.types import AdapterType, DatasetType, FineTuningFrameworkType, ModelExportType, ModelType

Groups = tuple[tuple[str, tuple[str, ...]], ...]
ON: tuple[str, tuple[str, ...]] = ("Where it runs", ("num_cpu", "num_gpu", "num_memory", "priority"))
GROUPS: dict[str, Groups] = {
    "StartFineTuningJob": (
        (
            "What to train",
            ("adapter_name", "framework_type", "base_model_id", "dataset_id", "prompt_id", "axolotl_config_id"),
        ),
        (
            "How",
            (
                "preset",
                "method",
                "num_epochs",
                "learning_rate",
                "max_length",
                "packing",
                "length_grouped",
                "loss_on",
                "chat_template",
            ),
        ),
        (
            "Configs",
            (
                "training_arguments_config_id",
                "lora_config_id",
                "model_bnb_config_id",
                "adapter_bnb_config_id",
            ),
        ),
        (
            "Rows",
            (
                "dataset_fraction",
                "train_test_split",
                "train_splits",
                "eval_split",
                "early_stopping_patience",
                "keep_best",
            ),
        ),
        (
            "Where it runs",
            (
                "num_cpu",
                "num_gpu",
                "num_memory",
                "num_workers",
                "dist_cpu",
                "dist_gpu",
                "dist_mem",
                "gpu_label_id",
                "priority",
            ),
        ),
        ("Where it goes", ("auto_add_adapter", "out_dir")),
        (
            "Register it if it is better",
            ("promote_as", "promote_metric", "promote_dataset_id", "promote_prompt_id"),
        ),
        ("A script of your own", ("user_script", "user_config_id")),
    ),
    "AddDataset": (
        ("Where its rows are", ("type", "location", "huggingface_name", "config_name")),
        ("What it is called", ("name", "description")),
    ),
    "AddModel": (
        ("Where its files are", ("type", "location", "huggingface_name", "model_registry_id")),
        ("What it is called", ("name", "description")),
    ),
    "AddAdapter": (
        ("Where its files are", ("type", "location", "huggingface_name", "cml_registered_model_id")),
        ("What it belongs to", ("model_id", "prompt_id", "fine_tuning_job_id")),
        ("What it is called", ("name", "description")),
    ),
    "AddPrompt": (
        ("What it is for", ("dataset_id", "name")),
        ("Templates, with {column} where a row's value goes", ("prompt_template", "input_template", "completion_template")),
        ("More", ("description",)),
    ),
    "AddConfig": (("What it is", ("type", "description")), ("Content", ("config",))),
    "StartEvaluationJob": (
        ("What to compare", ("model_adapter_combinations", "dataset_id", "prompt_id", "eval_dataset_fraction")),
        ("How they answer", ("generation_config", "model_bnb_config", "adapter_bnb_config")),
        ("What is looked at", ("metrics", "tasks", "selected_features")),
        ("Where it runs", (*ON[1], "gpu_label_id")),
    ),
    "ExportModel": (
        ("What", ("adapter_id", "base_model_id", "type", "model_name", "model_description")),
        ("How", ("merge", "alias", "hub_name", "private", "artifact_location", "auth", "generation_config")),
        ON,
    ),
    "StartComparison": (
        ("What to ask", ("base_model_id", "adapter_ids", "dataset_id", "prompt_id")),
        ("How they answer", ("generation_config", "model_bnb_config", "idle_seconds")),
        ON,
    ),
    "StartEndpoint": (
        ("What to serve", ("base_model_id", "adapter_ids", "name")),
        ("How it is called", ("host", "port", "auth", "max_concurrency", "idle_seconds", "engine", "generation_config")),
        ON,
    ),
}  # fmt: skip
HIDDEN: dict[str, frozenset[str]] = {
    "StartFineTuningJob": frozenset(
        {"training_arguments_config", "lora_config", "model_bnb_config", "adapter_bnb_config", "user_config"}
    ),
    "StartEndpoint": frozenset({"key_sha256"}),  # the form makes a key itself
    "StartEvaluationJob": frozenset({"type"}),  # there is one
    "AddPrompt": frozenset({"id", "type"}),  # one is given out, and there is one type
    **dict.fromkeys(
        ("EditDataset", "EditModel", "EditAdapter", "EditPrompt", "EditConfig", "EditFineTuningJob"), frozenset({"id"})
    ),
}
LONG = frozenset({"prompt_template", "input_template", "completion_template", "config"})
PATHS = frozenset({"location", "out_dir", "artifact_location"})
CONFIG_KINDS = {
    "training_arguments_config_id": "training_arguments",
    "lora_config_id": "lora_config",
    "model_bnb_config_id": "bitsandbytes_config",
    "adapter_bnb_config_id": "bitsandbytes_config",
    "model_bnb_config": "bitsandbytes_config",
    "adapter_bnb_config": "bitsandbytes_config",
    "user_config_id": "custom",
    "axolotl_config_id": "axolotl",
    "generation_config": "generation_config",
}
# A field that chooses a prompt -> the fields that say for which dataset, the first one that is filled counts.
PROMPTS_OF = {"prompt_id": ("dataset_id",), "promote_prompt_id": ("promote_dataset_id", "dataset_id")}
# Not chosen for people, even where there is but one.
LEFT_OUT = frozenset({"promote_dataset_id", "promote_prompt_id", "fine_tuning_job_id"})
# A field that chooses a resource -> the form that adds one, and what that begins with.
ADDED_BY: dict[str, tuple[str, dict[str, str]]] = {
    "dataset_id": ("AddDataset", {}),
    "base_model_id": ("AddModel", {}),
    "model_id": ("AddModel", {}),
    "prompt_id": ("AddPrompt", {}),
    "adapter_id": ("AddAdapter", {}),
    "adapter_ids": ("AddAdapter", {}),
    "model_adapter_combinations": ("AddModel", {}),
    **{field: ("AddConfig", {"type": kind}) for field, kind in CONFIG_KINDS.items()},
}

When = tuple[str, frozenset[str]]  # another field, and the values of it with which this one is asked for
_LEGACY: When = ("framework_type", frozenset({FineTuningFrameworkType.legacy}))
_FILES = frozenset(DatasetType) - {DatasetType.huggingface}
WHEN: dict[tuple[str, str], When] = {
    ("AddDataset", "location"): ("type", frozenset({"", *_FILES})),
    ("AddDataset", "huggingface_name"): ("type", frozenset({DatasetType.huggingface})),
    ("AddDataset", "config_name"): ("type", frozenset({DatasetType.huggingface})),
    ("AddModel", "location"): ("type", frozenset({ModelType.project})),
    ("AddModel", "huggingface_name"): ("type", frozenset({ModelType.huggingface})),
    ("AddModel", "model_registry_id"): ("type", frozenset({ModelType.model_registry})),
    ("AddAdapter", "location"): ("type", frozenset({AdapterType.project})),
    ("AddAdapter", "huggingface_name"): ("type", frozenset({AdapterType.huggingface})),
    ("AddAdapter", "cml_registered_model_id"): ("type", frozenset({AdapterType.model_registry})),
    ("ExportModel", "merge"): ("type", frozenset({ModelExportType.model_registry})),
    ("ExportModel", "alias"): ("type", frozenset({ModelExportType.model_registry})),
    ("ExportModel", "hub_name"): ("type", frozenset({ModelExportType.huggingface})),
    ("ExportModel", "private"): ("type", frozenset({ModelExportType.huggingface})),
    ("ExportModel", "auth"): ("type", frozenset({ModelExportType.cml_model})),
    ("ExportModel", "artifact_location"): ("type", frozenset({ModelExportType.merged, ModelExportType.model_registry})),
    ("StartFineTuningJob", "axolotl_config_id"): ("framework_type", frozenset({FineTuningFrameworkType.axolotl})),
    **{
        ("StartFineTuningJob", field): _LEGACY
        for field in (
            "preset",
            "method",
            "max_length",
            "packing",
            "length_grouped",
            "loss_on",
            "chat_template",
            "training_arguments_config_id",
            "lora_config_id",
            "model_bnb_config_id",
            "adapter_bnb_config_id",
            "early_stopping_patience",
            "keep_best",
            "user_script",
            "user_config_id",
        )
    },
    **{
        ("StartFineTuningJob", field): ("promote_as", frozenset({"*"}))
        for field in ("promote_metric", "promote_dataset_id", "promote_prompt_id")
    },
}  # fmt: skip
