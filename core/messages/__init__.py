"""The messages of the studio. Importing this package registers all of them; `REGISTRY` maps their names to their classes."""

from core.messages import (
    adapters,
    configs,
    datasets,
    editing,
    evaluation,
    events,
    fine_tuning,
    fine_tuning_rules,
    jobs,
    models,
    prompts,
    removal,
    runners,
)
from core.messages.base import REGISTRY, AsOf, Command, Message, Query, Reply, parse

__all__ = [
    "REGISTRY",
    "AsOf",
    "Command",
    "Message",
    "Query",
    "Reply",
    "adapters",
    "configs",
    "datasets",
    "editing",
    "evaluation",
    "events",
    "fine_tuning",
    "fine_tuning_rules",
    "jobs",
    "models",
    "parse",
    "prompts",
    "removal",
    "runners",
]
