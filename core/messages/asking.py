"""What requests for work have alike, and rules of several domains ask of it: resources, and configs given as text or by id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.facts import wrong
from core.messages.common import positive
from core.messages.configs import ConfigTextError, parse_config
from core.rules import Breach, World
from core.types import ConfigType


def resources(message: Any, rule: str) -> Iterator[Breach]:
    """Complain unless num_cpu and num_memory are above 0, and num_gpu is at least 0."""
    for name in ("num_cpu", "num_memory"):
        yield from (Breach(rule=rule, field=name, message=text) for text in positive(getattr(message, name), name))
    if message.num_gpu < 0:
        yield Breach(rule=rule, field="num_gpu", message=f"num_gpu must be at least 0, not {message.num_gpu}")


def config(world: World, kind: ConfigType, given: str | None) -> Iterator[str]:
    """Complain unless `given` is none, the id of a config of that type, or a JSON object of keys that the library knows."""
    if given is None:
        return
    if given.lstrip().startswith("{"):
        yield from content(kind, given)
        return
    row = world.get("configs", given)
    if row is None or row["type"] != kind:
        yield f"{given!r} is neither a JSON object nor the id of a config of type {kind}"


def content(kind: ConfigType, given: str) -> Iterator[str]:
    """Complain of what a config's text holds that the library does not know."""
    try:
        yield from wrong(kind, parse_config(kind, given))
    except ConfigTextError as error:
        yield str(error)
