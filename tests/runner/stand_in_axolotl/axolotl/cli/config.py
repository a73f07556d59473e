"""Configs: checked by pydantic, as Axolotl checks its own."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    model_config = ConfigDict(extra="allow")

    base_model: str
    micro_batch_size: int = 1
    gradient_accumulation_steps: int = 1
    num_epochs: float = 1
    learning_rate: float = 0.01
    sequence_len: int = 64


def load_cfg(path):
    return Config.model_validate(yaml.safe_load(Path(path).read_text())).model_dump()
