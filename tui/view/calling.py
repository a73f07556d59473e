"""How an endpoint is called: a line for a shell, made of what the endpoint tells of itself."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from core.text import plain

KEY = "$KEY"  # the shell's, where it is not known: the studio keeps none
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def model_of(row: Mapping[str, Any]) -> str:
    """The name that is asked by default: the first adapter's, else the base model's."""
    models = list(row.get("models") or [])
    return str((models[1:2] or models or [""])[0])


def curl(row: Mapping[str, Any], key: str | None = None) -> str:
    """A line that asks the endpoint; `key` where it is known. Empty while it can't be called."""
    address = row.get("address") or row.get("last_address")
    if not address:
        return ""
    words = ["curl", "-sS", f"{address}/v1/completions", "-H", "Content-Type: application/json"]
    made = [shlex.quote(plain(word, limit=2000)) for word in words]
    if row.get("auth"):
        made += ["-H", shlex.quote(f"Authorization: Bearer {key}") if key else f'"Authorization: Bearer {KEY}"']
    body = json.dumps({"model": model_of(row), "prompt": "Hello", "max_tokens": 32})
    return plain(" ".join([*made, "-d", shlex.quote(body)]), limit=10_000)


def reach(row: Mapping[str, Any]) -> str:
    """From where it can be called, when that is its runner's machine alone."""
    return "from its runner's machine alone" if row.get("host") in LOOPBACK else ""
