"""How a rule is declared, shown by examples, and evaluated.

A rule belongs to one message, carries the guide's id (or one of ours, from 101 on in its domain), names the field it
speaks of, and says what it needs: nothing, the files of the studio's machine, the store, or the network. Whoever
checks says what is at hand; the rules that need more are left to the one who has it. All breaches come at once.

    @rule(StartFineTuningJob, "FT-004", "num_cpu", passes=[{"num_cpu": 2}], fails=[{"num_cpu": 0}])
    def _num_cpu(message, world):
        if message.num_cpu <= 0:
            yield f"num_cpu must be greater than 0, not {message.num_cpu}"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from core.types import Severity

if TYPE_CHECKING:
    from core.messages.base import Message

Row = Mapping[str, Any]


class Breach(BaseModel):
    """One thing that is wrong with a request (ERROR), or worth knowing about it (INFO)."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    rule: str
    field: str
    severity: Severity = Severity.ERROR
    message: str

    def __str__(self) -> str:
        return f"{self.rule} {self.field}: {self.message}" if self.field else f"{self.rule}: {self.message}"


class Need(StrEnum):
    """What a rule must look at besides the message."""

    nothing = "nothing"
    files = "files"
    store = "store"
    network = "network"


class World(Protocol):
    """What rules that need more than the message may ask. `table` is a table's name, as in the guide."""

    def get(self, table: str, id: str) -> Row | None:
        """The row of that id, or None."""

    def find(self, table: str, **equal: object) -> list[Row]:
        """The rows whose columns equal the values given."""

    def users(self, table: str, ids: Sequence[str]) -> list[Row]:
        """The unfinished jobs that use one of the rows, each with id, name, kind and status; it keeps new ones off them."""

    def path(self, text: str, *, write: bool = False) -> Path:
        """The user's path resolved inside the allowed roots, one to `write` to outside the studio's own directory; raises PathRefused (a ValueError)."""

    def script(self, name: str) -> Path:
        """The script of that name in the directory of the scripts that jobs may run; raises NoScript (a ValueError)."""

    def inspect(self, kind: str, message: Message[Any]) -> Any:
        """What slow inspection (a file, the Hub, a registry) found for `message`; raises ValueError with the reason."""


@dataclass(frozen=True)
class NoWorld:
    """A world of plain dictionaries: what the examples beside the rules run in."""

    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    directories: frozenset[str] = frozenset()
    jobs_of: Mapping[str, Sequence[Row]] = field(default_factory=dict)  # a row's id -> the unfinished jobs that use it
    scripts: frozenset[str] = frozenset()

    def get(self, table: str, id: str) -> Row | None:
        """The first row of that id."""
        return next((row for row in self.tables.get(table, ()) if row.get("id") == id), None)

    def find(self, table: str, **equal: object) -> list[Row]:
        """The rows that match."""
        return [row for row in self.tables.get(table, ()) if all(row.get(key) == value for key, value in equal.items())]

    def users(self, table: str, ids: Sequence[str]) -> list[Row]:
        """The jobs that the example lists."""
        return [job for id in ids for job in self.jobs_of.get(id, ())]

    def path(self, text: str, *, write: bool = False) -> Path:
        """The text as a path when the example lists it; else a refusal."""
        if text in self.directories:
            return Path(text)
        raise ValueError(f"{text} does not exist")

    def script(self, name: str) -> Path:
        """The name as a path when the example lists it; else a refusal."""
        if name in self.scripts:
            return Path(name)
        raise ValueError(f"there is no script {name!r}")

    def inspect(self, kind: str, message: Message[Any]) -> Any:
        """What the example says was found; an Exception among the findings is raised."""
        finding = self.found.get(kind, ValueError("nothing was found"))
        if isinstance(finding, Exception):
            raise finding
        return finding


M = TypeVar("M", bound="Message[Any]")
Check = Callable[[Any, Any], Iterable["str | Breach"]]


@dataclass(frozen=True)
class Example:
    """A message's fields (over the message's own example) and the world it is checked in."""

    fields: Mapping[str, Any]
    world: NoWorld = field(default_factory=NoWorld)


@dataclass(frozen=True)
class Rule:
    """A declared rule; `check(message, world)` yields what is wrong."""

    id: str
    field: str
    severity: Severity
    need: Need
    text: str
    check: Check
    passes: tuple[Example, ...]
    fails: tuple[Example, ...]

    def breaches(self, message: Message[Any], world: World) -> Iterator[Breach]:
        """What `message` does against this rule."""
        for found in self.check(message, world):
            yield found if isinstance(found, Breach) else self.breach(found)

    def breach(self, message: str, at: str | None = None) -> Breach:
        """A breach of this rule, at its own field or at `at`."""
        return Breach(rule=self.id, field=self.field if at is None else at, severity=self.severity, message=message)


def rule(
    on: type[M],
    id: str,
    at: str,
    *,
    passes: Sequence[Mapping[str, Any] | Example],
    fails: Sequence[Mapping[str, Any] | Example],
    need: Need = Need.nothing,
    severity: Severity = Severity.ERROR,
) -> Callable[[Callable[[M, World], Iterable[str | Breach]]], Callable[[M, World], Iterable[str | Breach]]]:
    """Declare the decorated generator as rule `id` of the message `on`; its docstring is the rule's text."""

    def declare(check: Callable[[M, World], Iterable[str | Breach]]) -> Callable[[M, World], Iterable[str | Breach]]:
        text = " ".join((check.__doc__ or "").split())
        on.rules.append(Rule(id, at, severity, need, text, check, _examples(passes), _examples(fails)))
        return check

    return declare


def _examples(given: Sequence[Mapping[str, Any] | Example]) -> tuple[Example, ...]:
    return tuple(each if isinstance(each, Example) else Example(each) for each in given)


LOCAL = frozenset({Need.nothing})
CHEAP = frozenset({Need.nothing, Need.store})
SLOW = frozenset({Need.files, Need.network})
ALL = frozenset(Need)


def rules_of(kind: type[Message[Any]]) -> list[Rule]:
    """Return the rules of a message. Those that have a module of their own are imported here: a dashboard's first list needs none."""
    if kind.RULES is not None:
        import_module(kind.RULES)
    return kind.rules


def check(message: Message[Any], world: World | None = None, have: frozenset[Need] = LOCAL) -> list[Breach]:
    """Return every breach of the rules of `message` whose need is in `have`, in the order of declaration."""
    at_hand = world if world is not None else NoWorld()
    return [each for rule in rules_of(type(message)) if rule.need in have for each in rule.breaches(message, at_hand)]


def refusing(breaches: Iterable[Breach]) -> list[Breach]:
    """Those of the breaches that refuse the request."""
    return [each for each in breaches if each.severity is Severity.ERROR]
