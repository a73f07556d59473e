"""Presets of fine-tuning: named values for the fields that a request leaves out. Data files, configs/presets/NAME.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from core.facts import CONFIGS

# A config is given inline or by its id: a request that gives either is not given the preset's.
_CONFIGS = ("training_arguments_config", "lora_config", "model_bnb_config", "adapter_bnb_config")


@lru_cache(maxsize=1)
def presets() -> Mapping[str, Mapping[str, Any]]:
    """Name -> {"description", "fields"}; configs among the fields are objects."""
    paths = sorted((CONFIGS / "presets").glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def values(name: str | None) -> dict[str, Any]:
    """The fields of a preset as a request gives them, configs as text; empty for none, and for one that there is not."""
    fields = presets().get(name or "", {}).get("fields", {})
    return {field: json.dumps(value) if field in _CONFIGS else value for field, value in fields.items()}


def filled_in(given: Any) -> Any:
    """A request's fields with those of its preset where it leaves them out. What is no request is returned as it is."""
    if not isinstance(given, Mapping) or not isinstance(given.get("preset"), str):
        return given
    missing = {
        field: value
        for field, value in values(given["preset"]).items()
        if field not in given and not (field in _CONFIGS and given.get(f"{field}_id"))
    }
    return {**given, **missing}
