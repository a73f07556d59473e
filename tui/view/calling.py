"""How an endpoint is called: a line for a shell, made of what the endpoint tells of itself."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from core.text import plain

KEY = "$KEY"  # the shell's, where it is not known: the studio keeps none
OWN_KEY = "$API_KEY"
CLOUDERA = "cml_model"  # the engine of an endpoint that is a model of Cloudera's
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
    if row.get("engine") == CLOUDERA:
        return _of_cloudera(address, key, authenticates=bool(row.get("auth")))
    words = ["curl", "-sS", f"{address}/v1/completions", "-H", "Content-Type: application/json"]
    made = [shlex.quote(plain(word, limit=2000)) for word in words]
    if row.get("auth"):
        made += ["-H", shlex.quote(f"Authorization: Bearer {key}") if key else f'"Authorization: Bearer {KEY}"']
    body = json.dumps({"model": model_of(row), "prompt": "Hello", "max_tokens": 32})
    return plain(" ".join([*made, "-d", shlex.quote(body)]), limit=10_000)


def _of_cloudera(address: str, key: str | None, *, authenticates: bool) -> str:
    """The line for a model of Cloudera's, which its page tells the access key of; where that authenticates, with a key of one's own too."""
    shown = plain(address, limit=2000)
    bare = shown == shlex.quote(shown)
    service = f'"{shown}?accessKey={KEY}"' if bare else f'{shlex.quote(shown)}"?accessKey={KEY}"'
    if key is not None:
        service = shlex.quote(f"{shown}?accessKey={plain(key)}")
    made = ["curl", "-sS", service, "-H", shlex.quote("Content-Type: application/json")]
    made += ["-H", f'"Authorization: Bearer {OWN_KEY}"'] if authenticates else []
    return " ".join([*made, "-d", shlex.quote(json.dumps({"request": {"prompt": "Hello"}}))])


def reach(row: Mapping[str, Any]) -> str:
    """From where it can be called, when that is its runner's machine alone; or with which keys, when they are Cloudera's."""
    if row.get("engine") == CLOUDERA:
        own = f", {OWN_KEY} an API key of yours in Cloudera ML" if row.get("auth") else ""
        return f"with {KEY} the access key (K, or on the model's page){own}"
    return "from its runner's machine alone" if row.get("host") in LOOPBACK else ""
