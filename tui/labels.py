"""What fields and their choices are called in front of people. The field's own name stands in its hint."""

from __future__ import annotations

LABELS: dict[str, str] = {
    "adapter_bnb_config": "Quantised adapter",
    "adapter_bnb_config_id": "Quantised adapter",
    "adapter_id": "Adapter",
    "adapter_ids": "Adapters",
    "adapter_name": "Name of the adapter",
    "alias": "Alias",
    "artifact_location": "Directory",
    "auth": "Ask for a key",
    "auto_add_adapter": "Register it when trained",
    "axolotl_config_id": "Axolotl config",
    "base_model_id": "Base model",
    "chat_template": "The model's chat template",
    "cml_registered_model_id": "Id in the registry",
    "completion_template": "Completion template",
    "config": "Content",
    "config_name": "Config of the dataset",
    "dataset_fraction": "Share of the rows",
    "dataset_id": "Dataset",
    "dist_cpu": "CPU cores a worker",
    "dist_gpu": "GPUs a worker",
    "dist_mem": "Memory a worker, GiB",
    "early_stopping_patience": "Patience, evaluations",
    "eval_dataset_fraction": "Share of the rows",
    "eval_split": "Split that is held out",
    "fine_tuning_job_id": "Job that trained it",
    "framework_type": "Framework",
    "generation_config": "Generation config",
    "gpu_label_id": "Accelerator label",
    "hub_name": "Repository on the Hub",
    "huggingface_name": "Name on the Hub",
    "idle_seconds": "End when idle, seconds",
    "input_template": "Input template",
    "keep_best": "Keep the best weights",
    "learning_rate": "Learning rate",
    "length_grouped": "Batch rows of like length",
    "location": "File or directory",
    "lora_config_id": "LoRA config",
    "loss_on": "Learn",
    "max_concurrency": "Requests at once",
    "max_length": "Longest row, tokens",
    "method": "Method",
    "metrics": "Metrics of your own",
    "model_adapter_combinations": "Models and adapters",
    "model_bnb_config": "Quantised model",
    "model_bnb_config_id": "Quantised model",
    "model_description": "Description",
    "model_id": "Base model",
    "model_name": "Name",
    "model_registry_id": "Id in the registry",
    "num_cpu": "CPU cores",
    "num_epochs": "Epochs",
    "num_gpu": "GPUs",
    "num_memory": "Memory, GiB",
    "num_workers": "Workers",
    "out_dir": "Directory of the adapter",
    "packing": "Pack rows",
    "preset": "Preset",
    "private": "Private",
    "promote_as": "Register as",
    "promote_dataset_id": "Judged on the dataset",
    "promote_metric": "Judged by the metric",
    "promote_prompt_id": "Judged with the prompt",
    "prompt_id": "Prompt",
    "prompt_template": "Training template",
    "selected_features": "Columns to carry along",
    "tasks": "Tasks of the harness",
    "train_splits": "Splits to train on",
    "train_test_split": "Share that is trained on",
    "training_arguments_config_id": "Training arguments",
    "user_config_id": "Config of the script",
    "user_script": "Script of your own",
}
# (message, field) -> its label there, where the field's own does not say enough
HERE: dict[tuple[str, str], str] = {
    ("AddModel", "location"): "Directory",
    ("AddAdapter", "location"): "Directory",
    ("AddAdapter", "prompt_id"): "Prompt it learned with",
    ("AddDataset", "type"): "What it is",
    ("AddModel", "type"): "Where it is",
    ("AddAdapter", "type"): "Where it is",
    ("ExportModel", "type"): "Where to",
    ("ExportModel", "merge"): "Merge the weights",
    ("AddConfig", "type"): "What it is for",
    ("StartEndpoint", "host"): "Address to listen at",
}
CHOICES: dict[str, str] = {
    "project_csv": "a CSV file of the project",
    "project_json": "a JSON file of the project",
    "project_jsonl": "a JSONL file of the project",
    "project_parquet": "a Parquet file of the project",
    "huggingface": "on the Hugging Face Hub",
    "project": "a directory of the project",
    "model_registry": "in a model registry",
    "merged": "a directory, base and adapter merged",
    "cml_model": "a model of Cloudera ML",
    "training_arguments": "training arguments",
    "bitsandbytes_config": "quantisation (bitsandbytes)",
    "generation_config": "generation",
    "lora_config": "LoRA",
    "custom": "a script of your own",
    "axolotl": "Axolotl",
    "axolotl_dataset_formats": "a dataset format for Axolotl",
}
CHOICES_HERE: dict[tuple[str, str], str] = {
    ("framework_type", "legacy"): "Legacy (TRL SFT), built in",
    ("framework_type", "axolotl"): "Axolotl, by a config of its own",
    ("method", "lora"): "LoRA: an adapter",
    ("method", "full"): "full: all weights",
    ("loss_on", "all"): "every token",
    ("loss_on", "completion"): "the completion only",
    ("loss_on", "assistant"): "all that the assistant says",
    ("preset", "fast"): "fast: the measured recipe",
    ("preset", "guide"): "guide: the guide's defaults",
    ("engine", "auto"): "vLLM where there is one, else the studio's",
    ("engine", "studio"): "the studio's own",
    ("engine", "vllm"): "vLLM",
}
UNSET: dict[str, str] = {  # what holds where nothing stands in a field that may stay empty
    "preset": "none",
    "fine_tuning_job_id": "none",
    "num_epochs": "as the training arguments say",
    "learning_rate": "as the training arguments say",
    "early_stopping_patience": "never stop early",
    "eval_split": "validation, eval or test",
    "dist_cpu": "as above",
    "dist_gpu": "as above",
    "dist_mem": "as above",
    "out_dir": "data/adapters",
    "promote_as": "not registered",
    "promote_dataset_id": "the rows that are held out",
    "promote_prompt_id": "the training's own",
    "user_script": "none",
    "user_config_id": "none",
    "axolotl_config_id": "choose one",
    "artifact_location": "data/exports",
    "alias": "none",
    "model_bnb_config_id": "none",
    "adapter_bnb_config_id": "none",
    "model_bnb_config": "none",
    "adapter_bnb_config": "none",
}
TITLES: dict[str, str] = {
    "StartFineTuningJob": "Train a New Adapter",
    "AddDataset": "Import Datasets",
    "AddModel": "Import Base Models",
    "AddPrompt": "Create Prompts",
    "AddAdapter": "Add an Adapter",
    "AddConfig": "Add a Config",
    "StartEvaluationJob": "Run MLflow Evaluation",
    "ExportModel": "Export And Deploy Model",
    "StartComparison": "Local Adapter Comparison",
    "StartEndpoint": "Start an Endpoint",
    "EditDataset": "Rename a Dataset",
    "EditModel": "Rename a Base Model",
    "EditPrompt": "Rename a Prompt",
    "EditAdapter": "Rename an Adapter",
    "EditConfig": "Describe a Config",
}


HINTS: dict[tuple[str, str], str] = {  # where the message's own description says nothing, or not what one does here
    ("AddDataset", "type"): "The name of a file tells it: tab goes on to the path. On the Hub, choose that first.",
    ("AddModel", "type"): "What is asked for next depends on it.",
    ("AddPrompt", "name"): "What the prompt is called; ctrl+g writes one with the templates.",
    ("AddPrompt", "prompt_template"): "A whole row as it is learned: the input and the answer.",
    (
        "AddPrompt",
        "input_template",
    ): "What the model is given when it is asked: the beginning of the training template.",
    ("AddPrompt", "completion_template"): "The answer that is expected.",
    ("AddPrompt", "dataset_id"): "Whose columns the templates name.",
    ("AddConfig", "type"): "ctrl+g fills in the shipped one of this type.",
    ("StartFineTuningJob", "base_model_id"): "The model that the adapter is trained on.",
    ("StartFineTuningJob", "dataset_id"): "The rows that are learned.",
    (
        "StartFineTuningJob",
        "prompt_id",
    ): "Makes text of the rows; conversations with the model's chat template need none.",
    (
        "StartFineTuningJob",
        "training_arguments_config_id",
    ): "Batch size, learning rate, schedule; the default is the shipped one.",
    ("StartFineTuningJob", "lora_config_id"): "Rank, alpha and which layers; the default is the shipped one.",
    ("StartFineTuningJob", "model_bnb_config_id"): "With one, the model is loaded in 4 or 8 bits (QLoRA).",
    (
        "StartFineTuningJob",
        "loss_on",
    ): "What is learned of a row: every token of it, or only the answer that is wanted.",
    (
        "StartFineTuningJob",
        "chat_template",
    ): "Write rows as the model's own chat template does; for models made to chat.",
    (
        "StartFineTuningJob",
        "preset",
    ): "guide: rows packed, every token learned. fast: single rows in batches of 8, only completions, a higher rate.",
    ("StartEvaluationJob", "model_adapter_combinations"): "Each that is marked answers the same rows.",
    ("StartEvaluationJob", "generation_config"): "How answers are generated: greedy or drawn, and how long.",
}


def hint(message: str, field: str) -> str:
    """What the field is for, where its message does not say it."""
    return HINTS.get((message, field), "")


def label(message: str, field: str) -> str:
    """What the field is called in the form of the message."""
    told = HERE.get((message, field)) or LABELS.get(field)
    return told or field.removesuffix("_id").replace("_", " ").capitalize()


def choice(field: str, value: str) -> str:
    """What one of a field's values is called."""
    return CHOICES_HERE.get((field, value)) or CHOICES.get(value) or value.replace("_", " ")


def unset(field: str) -> str:
    """What holds where nothing stands in the field; empty where something has to, or where nothing follows."""
    return UNSET.get(field, "")
