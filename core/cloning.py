"""A request rebuilt from the job that it led to, so that one like it can be started with changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from core.messages.fine_tuning import CONFIG_FIELDS, StartFineTuningJob

OVERRIDES = {"num_epochs": "num_train_epochs", "learning_rate": "learning_rate"}  # field -> what it overrides


def request_of(job: Mapping[str, Any], adapters_dir: str | None = None) -> dict[str, Any]:
    """The fields of StartFineTuningJob that lead to a job like this one (a FineTuningJobMetadata), but for its adapter's name.

    A config is named by its id, or given as it was when it is gone. What is a default (`adapters_dir` that of out_dir), or
    what a config says anyway, is left out, so that a changed config has its say.
    """
    made = {name: job.get(name) for name in StartFineTuningJob.model_fields if name not in ("adapter_name", *OVERRIDES)}
    for stem, _ in CONFIG_FIELDS:
        made.pop(stem if made.get(f"{stem}_id") else f"{stem}_id")
    arguments = json.loads(job.get("training_arguments_config") or "{}")
    for name, overridden in OVERRIDES.items():
        if job.get(name) != arguments.get(overridden):
            made[name] = job.get(name)
    if made.get("out_dir") == adapters_dir:
        made.pop("out_dir", None)
    return {name: value for name, value in made.items() if not _default(name, value)}


def _default(name: str, value: Any) -> bool:
    return value is None or value == StartFineTuningJob.model_fields[name].default


def changed(request: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The request with some fields replaced. A config that is named takes the place of one that was given, and the other way round."""
    made = {**request, **changes}
    for stem, _ in CONFIG_FIELDS:
        for given, other in ((stem, f"{stem}_id"), (f"{stem}_id", stem)):
            if given in changes and other not in changes:
                made.pop(other, None)
    return made


def next_name(name: str, taken: Iterable[str]) -> str:
    """The name for one like it: the first free number behind the one that it has, or from 2 on."""
    found = re.fullmatch(r"(.+)-(\d{1,9})", name)
    stem, number = (found[1], int(found[2])) if found else (name, 1)
    known = set(taken)
    while True:
        number += 1
        made = f"{stem}-{number}"
        if made not in known:
            return made
