"""What a form can begin with: templates drafted from a dataset, a shipped config, an earlier job. Blocks: called in a thread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

KEY: dict[str, str] = {  # message -> what ctrl+g does in its form
    "AddPrompt": "write templates from the dataset's columns",
    "AddConfig": "begin with the shipped one of this type",
    "StartFineTuningJob": "begin like an earlier job",
}
SHORT = {
    "AddPrompt": "^g write it",
    "AddConfig": "^g the shipped one",
    "StartFineTuningJob": "^g like a job",
}
JOBS = 200  # newest that one chooses from


class Studio(Protocol):
    """What of tui.studio.Studio is needed."""

    def ask(self, name: str, fields: dict[str, Any], timeout: float | None = None) -> Any:
        """Send a message."""

    def rows(self, name: str, field: str, **fields: Any) -> tuple[list[dict[str, Any]], bool]:
        """The rows of a list, and whether there are more."""


class Nothing(ValueError):
    """There is nothing to begin with; the message says what to do first."""


def templates(studio: Studio, values: Mapping[str, Any]) -> dict[str, Any]:
    """A drafted prompt's fields; raises Nothing without a dataset, and core.errors."""
    dataset = values.get("prompt.dataset_id")
    if not dataset:
        raise Nothing("Choose the dataset first: the templates are written from its columns.")
    drafted = studio.ask("GeneratePrompt", {"dataset_id": dataset}).value.prompt.model_dump(mode="json")
    named = {} if values.get("prompt.name") else {"name": drafted["name"]}
    fields = {name: drafted[name] for name in ("prompt_template", "input_template", "completion_template")}
    return {f"prompt.{name}": text for name, text in {**named, **fields}.items()}


def config(studio: Studio, values: Mapping[str, Any]) -> dict[str, Any]:
    """The shipped config of the type that is chosen; raises Nothing."""
    kind = values.get("type")
    if not kind:
        raise Nothing("Choose what it is for first.")
    rows, _ = studio.rows("ListConfigs", "configs", type=kind, is_default=True, limit=1)
    if not rows:
        raise Nothing("The studio ships none of this type.")
    return {"config": spread(rows[0]["config"])}


def spread(text: str) -> str:
    """A config's text to read and edit: JSON over several lines, whatever else as it is."""
    with suppress(ValueError):
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text


def jobs(studio: Studio) -> list[dict[str, Any]]:
    """The newest fine-tuning jobs; raises Nothing without any."""
    rows, _ = studio.rows("ListFineTuningJobs", "fine_tuning_jobs", limit=JOBS)
    if not rows:
        raise Nothing("There is no earlier job yet.")
    return rows


def like(job: Mapping[str, Any], taken: list[str], adapters_dir: str | None) -> dict[str, Any]:
    """The fields of a request like the job's, under a free name."""
    from core.cloning import next_name, request_of

    name = next_name(str(job.get("adapter_name") or "job"), taken)
    return {**request_of(job, adapters_dir), "adapter_name": name}
