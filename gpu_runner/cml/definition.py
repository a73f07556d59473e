"""What is asked of Cloudera's: the job of a part, and the environment of a run of it. Neither holds a payload or a secret.

The payload is `spec.json` on the project's file system. The Hub's token is in the environment of the runs that need it, and
nowhere else.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core.cml import FALLBACK, NewJob, Template
from core.settings import Settings
from core.spec import Resources
from core.types import JobKind

STUDIO, ATTEMPT, DIRECTORY, PART, RUNNER = (
    "FTS_STUDIO", "FTS_ATTEMPT", "FTS_ATTEMPT_DIR", "FTS_PART", "FTS_RUNNER_ID"
)  # fmt: skip
TOKEN = "HUGGINGFACE_ACCESS_TOKEN"
LEAST = 1, 4  # cores and GiB of what is done beside the quota: a plan
# What a daemon's own children find in its environment. Other variables of the project a pod has anyway.
PASSED_ON = (
    "FTS_SCRIPTS_DIR", "FTS_METRIC_SECONDS", "FTS_TOXICITY_MODEL", "FTS_KEEP_CHECKPOINTS", "FTS_VLLM",
    "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE",
)  # fmt: skip
STORES = ("FTS_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI", "FTS_MLFLOW_REGISTRY_URI", "MLFLOW_REGISTRY_URI")


def templates(using: Settings, kind: str) -> tuple[str, ...]:
    """The names of the jobs that one of this kind is made from, the best first."""
    return (using.cml_evaluation_template,) if kind == JobKind.evaluation else (using.cml_training_template, FALLBACK)


def job_of(template: Template, name: str, resources: Resources, studio: str, using: Settings) -> NewJob:
    """The job of a part: the template's script and runtime, with what the part takes. A label is asked for by its id."""
    cpus, memory = (resources.cpus or LEAST[0]), (resources.memory or LEAST[1])
    label = template.accelerator_label if resources.gpu_label_id in (None, -1) else str(resources.gpu_label_id)
    return template.job(
        name,
        cpu=cpus,
        memory=memory,
        gpus=resources.gpus,
        accelerator_label=label if resources.gpus else None,
        environment={**template.environment, STUDIO: studio},
        timeout=using.cml_timeout or None,
    )


def changes_of(new: NewJob) -> dict[str, Any]:
    """What makes a job that there is like a new one. A job's environment is a text there, and no time limit is 0."""
    limit = {"timeout": new.timeout or 0, "kill_on_timeout": bool(new.timeout)}
    return {**new.body, **limit, "environment": json.dumps(dict(new.environment))}


def environment_of(
    directory: Path, part: int, runner_id: str, studio: str, using: Settings, token: str | None
) -> dict[str, str]:
    """The environment of a run: which attempt it is, and what else a child gets from its daemon."""
    own = {
        STUDIO: studio,
        ATTEMPT: directory.name,
        DIRECTORY: str(directory),
        PART: str(part),
        RUNNER: runner_id,
        "FTS_HOME": str(using.root),
        "FTS_ARTIFACTS": str(using.artifacts_root),
        "FTS_PROJECT": str(using.project.resolve()),
    }
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    stores = {name: os.environ[name] for name in STORES if _is_open(os.environ.get(name))}
    return {**passed, **stores, **own, **({TOKEN: token} if token else {})}


def _is_open(url: str | None) -> bool:
    """Whether there is a URL that holds no password."""
    return bool(url) and urlsplit(url).password is None
