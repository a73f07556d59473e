"""docs/schemas/: the JSON Schema of each message's payload and of its reply, for services that don't use our client."""

from __future__ import annotations

import json
from typing import Any

from core.messages import REGISTRY, Message, Reply

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def pages() -> dict[str, str]:
    """The files by their path in docs/."""
    made = {}
    for name, message in REGISTRY.items():
        made[f"schemas/{name}.json"] = _text(payload(message))
        made[f"schemas/{name}.reply.json"] = _text(reply(message))
    return made


def payload(message: type[Message[Any]]) -> dict[str, Any]:
    """What `kwargs.payload` of the message must be; the queue it goes to is told as x-queue."""
    schema = message.model_json_schema(mode="validation")
    return {"$schema": DIALECT, "title": message.__name__, "x-queue": message.QUEUE, **schema}


def reply(message: type[Message[Any]]) -> dict[str, Any]:
    """What comes back: the value when it is ok, a code and breaches when it is not."""
    schema = Reply.model_json_schema(mode="serialization")
    value = message.REPLY.model_json_schema(mode="serialization")
    defs = {**schema.pop("$defs", {}), **value.pop("$defs", {}), message.REPLY.__name__: value}
    schema["properties"]["value"] = {"anyOf": [{"$ref": f"#/$defs/{message.REPLY.__name__}"}, {"type": "null"}]}
    return {"$schema": DIALECT, **schema, "title": f"The reply to {message.__name__}", "$defs": defs}


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
