"""Families of models: which layers LoRA adapts, what rows are padded with. Data files that configs/generate.py wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.facts import CONFIGS, default
from core.types import ConfigType


@dataclass(frozen=True)
class Family:
    """One architecture of a family. `tokenizers` tells of each generation of models its EOS and its padding token."""

    name: str
    architecture: str
    model_type: str
    lora: Mapping[str, Any]
    tokenizers: tuple[Mapping[str, str], ...]

    @property
    def eos_token(self) -> str | None:
        """The end-of-sequence token when all of the family have the same one."""
        known = {each["eos"] for each in self.tokenizers}
        return known.pop() if len(known) == 1 else None

    @property
    def lora_config(self) -> dict[str, Any]:
        """The guide's default LoRA config, on this architecture's layers."""
        return {**default(ConfigType.lora_config), **self.lora}


@lru_cache(maxsize=1)
def families() -> Mapping[str, Family]:
    """Architecture (as `architectures` of a config.json names it) -> what is known of it."""
    found = {}
    for path in sorted((CONFIGS / "families").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        for architecture, facts in content["architectures"].items():
            found[architecture] = Family(
                content["name"], architecture, facts["model_type"], facts["lora"], tuple(content["tokenizers"])
            )
    return found


def family(architecture: str | None) -> Family | None:
    """What is known of an architecture."""
    return families().get(architecture or "")
