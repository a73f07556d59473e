"""The stored corpus: payloads as senders wrote them once, and what they meant. What is stored is never changed, only added to.

python -m tests.contracts.stored                      an entry for every message that has none
python -m tests.contracts.stored NAME WHAT PAYLOAD    one more entry: what it shows, and the payload as JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from core.messages import REGISTRY, Message, parse

CORPUS = Path(__file__).resolve().parent / "corpus"
SAMPLES: dict[str, object] = {"string": "1", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}


def entries(name: str) -> list[dict[str, Any]]:
    """The message's entries: {"what", "payload", "meaning"}."""
    path = CORPUS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def meaning(name: str, payload: object) -> dict[str, Any]:
    """Every field of the message that the payload is."""
    return parse(name, payload).model_dump(mode="json")


def store(name: str, what: str, payload: object) -> None:
    """Add an entry, unless the payload is stored already."""
    known = entries(name)
    if any(each["payload"] == payload for each in known):
        return
    known.append({"what": what, "payload": payload, "meaning": meaning(name, payload)})
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{name}.json").write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sample(message: type[Message[Any]]) -> dict[str, Any]:
    """The message's own example, with something in every required field."""
    schema = message.model_json_schema()
    needed = {field: SAMPLES[schema["properties"][field]["type"]] for field in schema.get("required", [])}
    return {**needed, **message.EXAMPLE}


def older(message: type[Message[Any]]) -> dict[str, Any]:
    """The example with every field that has an older name written by that; empty when there is none."""
    aliases = {
        field: [str(each) for each in getattr(info.validation_alias, "choices", [])]
        for field, info in message.model_fields.items()
    }
    schema = message.model_json_schema()["properties"]
    made: dict[str, Any] = {}
    for field, (first, *others) in ((field, names) for field, names in aliases.items() if names):
        told = schema[first]
        kind = told.get("type") or next(each["type"] for each in told["anyOf"] if each["type"] != "null")
        made[next(each for each in [*others, first] if each != field)] = SAMPLES[kind]
    return {**sample(message), **made} if made else {}


def main() -> None:
    """Write what is missing, or one entry more."""
    if sys.argv[1:]:
        name, what, payload = sys.argv[1:]
        store(name, what, json.loads(payload))
        return
    for name, message in REGISTRY.items():
        if not entries(name):
            store(name, "the message's own example", sample(message))
            if written := older(message):
                store(name, "by the fields' other names", written)


if __name__ == "__main__":
    main()
