"""Asking what the studio would say to a command, without doing it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from core.messages.base import Command, Query, Value, find
from core.rules import Breach, World, rule


class Checked(Value):
    """What the studio has to say to one payload."""

    refused: bool = Field(description="Whether it would be refused now.")
    breaches: list[Breach]


class CheckedReply(Value):
    """What the studio has to say, in the order of the payloads."""

    checked: list[Checked]


class CheckCommand(Query[CheckedReply]):
    """Tell what would be refused of a command, and why, without doing it: by the rules that need neither a file nor the network."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"name": "RemoveDataset", "payloads": [{"id": "d"}]}

    name: str = Field(description="The command's name.")
    payloads: list[dict[str, Any]] = Field(max_length=1000, description="The fields of each.")


@rule(
    CheckCommand,
    "MS-104",
    "name",
    passes=[{"name": "CancelJob"}],
    fails=[{"name": "ListDatasets"}, {"name": "Nothing"}],
)
def _is_command(message: CheckCommand, world: World) -> Iterator[str]:
    """what is checked is a command that there is"""
    kind = find(message.name)
    if kind is None or not issubclass(kind, Command):
        yield f"there is no command named {message.name!r}"
