"""`fts schema`: what every message looks like, for other services."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from core.messages import REGISTRY
from tui.cli import output


def run(arguments: argparse.Namespace) -> int:
    """Print one schema, or all of them by name."""
    if arguments.name is None:
        print(json.dumps({name: schema(name) for name in sorted(REGISTRY)}, indent=2))
        return 0
    if arguments.name not in REGISTRY:
        print(f"there is no message named {arguments.name!r}; `fts schema` lists them all", file=sys.stderr)
        return output.EXIT_NOT_FOUND
    print(json.dumps(schema(arguments.name), indent=2))
    return 0


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
