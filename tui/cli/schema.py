"""`fts schema`: what every message looks like, for other services."""

from __future__ import annotations

import argparse
from typing import Any

from core.messages import REGISTRY
from core.messages.base import find
from core.messages.common import meaning
from core.text import plain
from tui.cli import output, tables
from tui.cli.console import warn
from tui.cli.parsing import near


def run(arguments: argparse.Namespace) -> int:
    """Print one schema, or all of them by name."""
    name, form = arguments.name, arguments.output
    if name is not None and find(name) is None:
        start = f"there is no message named {name}{near(name, REGISTRY)}"
        mark = "" if start.endswith("?") else ";"
        warn(plain(f"{start}{mark} `fts schema -o table` lists them all"))
        return output.EXIT_NOT_FOUND
    if form == "table":
        tables.table(_fields(name) if name else [_summary(each) for each in sorted(REGISTRY)])
    else:
        output.show(schema(name) if name else {each: schema(each) for each in sorted(REGISTRY)}, form)
    return 0


def _summary(name: str) -> dict[str, Any]:
    message = REGISTRY[name]
    return {"name": name, "queue": message.QUEUE, "fields": list(message.model_fields)}


def _fields(name: str) -> list[dict[str, Any]]:
    fields = REGISTRY[name].model_fields.items()
    rules = {field: [rule.id for rule in REGISTRY[name].rules if rule.field == field] for field, _ in fields}
    return [{"field": field, "rules": rules[field], "meaning": meaning(info)} for field, info in fields]


def schema(name: str) -> dict[str, Any]:
    """A message's queue, fields, rules and reply."""
    message = REGISTRY[name]
    rules = [
        {
            "id": rule.id,
            "field": rule.field,
            "severity": rule.severity.value,
            "needs": rule.need.value,
            "text": rule.text,
        }
        for rule in message.rules
    ]
    return {
        "name": name,
        "queue": message.QUEUE,
        "payload": message.model_json_schema(),
        "reply": message.REPLY.model_json_schema(),
        "rules": rules,
    }
