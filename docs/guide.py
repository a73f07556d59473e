"""What the guide lists: the names of its 32 messages and the ids of its 49 rules. They are counted from here, and nowhere else."""

from __future__ import annotations

MESSAGES: dict[str, tuple[str, ...]] = {
    "Datasets": ("ListDatasets", "GetDataset", "AddDataset", "RemoveDataset", "GetDatasetSplitByAdapter"),
    "Models": ("ListModels", "GetModel", "AddModel", "ExportModel", "RemoveModel"),
    "Adapters": ("ListAdapters", "GetAdapter", "AddAdapter", "RemoveAdapter"),
    "Prompts": ("ListPrompts", "GetPrompt", "AddPrompt", "RemovePrompt"),
    "Fine-tuning": ("ListFineTuningJobs", "GetFineTuningJob", "StartFineTuningJob", "RemoveFineTuningJob"),
    "Evaluation": ("ListEvaluationJobs", "GetEvaluationJob", "StartEvaluationJob", "RemoveEvaluationJob"),
    "Configs": ("ListConfigs", "GetConfig", "AddConfig", "RemoveConfig"),
    "Database": ("ExportDatabase", "ImportDatabase"),
}
# A domain's scope in the guide, and how many rules it has there: DS-001 … DS-003, and so on.
RULES: dict[str, tuple[str, int]] = {
    "DS": ("Datasets", 3),
    "MD": ("Models", 3),
    "AD": ("Adapters", 5),
    "PR": ("Prompts", 5),
    "CF": ("Configs", 4),
    "FT": ("Fine-tuning jobs", 16),
    "EV": ("Evaluation jobs", 8),
    "EX": ("Exports", 5),
}
NAMES = [name for names in MESSAGES.values() for name in names]
IDS = [f"{domain}-{number:03}" for domain, (_, count) in RULES.items() for number in range(1, count + 1)]
