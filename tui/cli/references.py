"""Names where ids are wanted: `--dataset-id tickets` finds the dataset of that name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.text import plain

if TYPE_CHECKING:
    from core.client import StudioClient

# A field that holds an id -> (message that lists, field of its reply, the name's field)
REFERENCES: dict[str, tuple[str, str, str]] = {
    "dataset_id": ("ListDatasets", "datasets", "name"),
    "base_model_id": ("ListModels", "models", "name"),
    "model_id": ("ListModels", "models", "name"),
    "prompt_id": ("ListPrompts", "prompts", "name"),
    "adapter_id": ("ListAdapters", "adapters", "name"),
    "fine_tuning_job_id": ("ListFineTuningJobs", "fine_tuning_jobs", "adapter_name"),
}
# Messages whose own `id` may be a name -> the kind of id it is
BY_ID = {
    "GetDataset": "dataset_id",
    "GetModel": "model_id",
    "GetPrompt": "prompt_id",
    "GetAdapter": "adapter_id",
    "GetFineTuningJob": "fine_tuning_job_id",
    "GetJobMetrics": "fine_tuning_job_id",
    **dict.fromkeys(
        ("CancelJob", "PauseJob", "ResumeJob", "RetryJob", "CheckpointJob", "SetJobPriority"), "fine_tuning_job_id"
    ),
    "EditDataset": "dataset_id",
    "EditModel": "model_id",
    "EditPrompt": "prompt_id",
    "EditAdapter": "adapter_id",
    "EditFineTuningJob": "fine_tuning_job_id",
    "RemoveDataset": "dataset_id",
    "RemoveModel": "model_id",
    "RemovePrompt": "prompt_id",
    "RemoveAdapter": "adapter_id",
    "RemoveFineTuningJob": "fine_tuning_job_id",
}


class Ambiguous(ValueError):
    """Several resources have the name."""


def resolve(client: StudioClient, payload: Any, name: str = "") -> Any:
    """Return the payload of the message `name` with names replaced by ids; what is no name stays, for the studio to judge."""
    if name in BY_ID and isinstance(payload.get("id"), str):
        payload = {**payload, "id": by_name(client, BY_ID[name], payload["id"])}
    if isinstance(payload, dict):
        return {name: _resolved(client, name, value) for name, value in payload.items()}
    if isinstance(payload, list):
        return [resolve(client, each) for each in payload]
    return payload


def _resolved(client: StudioClient, field: str, value: Any) -> Any:
    if field in REFERENCES and isinstance(value, str) and value:
        return by_name(client, field, value)
    return resolve(client, value) if isinstance(value, dict | list) else value


def by_name(client: StudioClient, field: str, value: str) -> str:
    """The id of the resource named `value`, newest last; `value` itself when it is an id or unknown."""
    message, many, column = REFERENCES[field]
    found: list[str] = []
    for row in client.rows(message, many):
        if row.id == value:
            return value
        if getattr(row, column) == value:
            found.append(row.id)
    if len(found) > 1:
        raise Ambiguous(f"{len(found)} resources are named {plain(value)}: {', '.join(found)}; give the id")
    return found[0] if found else value
