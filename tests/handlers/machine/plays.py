"""How a command is played: what may be asked, what must come of it, and what it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import strategies as st

from core.messages.common import LONGEST_NAME
from tests.handlers.machine.model import Model, Tables
from tests.handlers.machine.values import STRANGE_IDS

T = TypeVar("T")
Payload = dict[str, Any]
SHAPE = frozenset({"MS-101", "MS-102", "MS-103"})


@dataclass(frozen=True)
class Expected:
    """What must be answered: the rules that are named, of errors and notes alike, and the code; no code when it is done."""

    rules: frozenset[str] = frozenset()
    code: str = ""
    carried: bool = field(default=False, compare=False)  # the rules are of a message within it: it has a shape itself

    @property
    def shapeless(self) -> bool:
        """Whether it is no request at all."""
        return bool(self.rules & SHAPE) and not self.carried

    @property
    def remembered(self) -> bool:
        """Whether it is answered again to its key: what has no shape is no request, and what was away may be back."""
        return self.code != "unavailable" and not self.shapeless


def expected(errors: Iterable[str] = (), notes: Iterable[str] = (), code: str = "") -> Expected:
    """Refused when there are errors; else what the code says, or done with notes."""
    wrong = frozenset(errors)
    if wrong:
        return Expected(wrong | frozenset(notes), "refused")
    return Expected(frozenset() if code else frozenset(notes), code)


class Picker:
    """Draws values. A careless one takes a wrong value now and then, a careful one only where there is no good one."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], model: Model) -> None:
        self.draw, self.model = draw, model
        self.careless = draw(st.integers(0, 3)) == 3

    def of(self, good: Sequence[T], wrong: Sequence[T] = ()) -> T:
        """One of the good values, or of the wrong ones."""
        slip = bool(wrong) and (not good or (self.careless and self.draw(st.integers(0, 3)) == 3))
        return self.draw(st.sampled_from(wrong if slip else good))  # type: ignore[no-any-return]

    def chance(self, one_in: int) -> bool:
        """True once in a while."""
        return bool(self.draw(st.integers(1, one_in)) == one_in)

    def count(self, most: int) -> int:
        """Nothing, or up to so many."""
        return int(self.draw(st.integers(0, most)))

    def id(self, *tables: str, none: bool = False) -> Any:
        """The id of a row of one of the tables, or of nothing or of something else."""
        model = self.model
        good = [id for table in tables for id in model.tables[table]]
        others = [id for table in ("datasets", "jobs", "configs") if table not in tables for id in model.tables[table]]
        return self.of([*good, None] if none else good, [*STRANGE_IDS, *others[-2:]])

    def linked(self, table: str) -> Any:
        """The id of a row, mostly of one that others lead to and that may go: its going must empty their links."""
        ids = self.model.linked(table)
        free = [id for id in ids if table == "configs" or not self.model.used(table, [id])]
        return self.of(free or ids) if ids and not self.chance(4) else self.id(table)

    def name(self, table: str, good: Sequence[str], wrong: Sequence[Any] = (), *, one_in: int = 5) -> Any:
        """A name, now and then one that a row of the table has."""
        taken = [row["name"] for row in self.model.tables[table].values()]
        return self.of(taken) if taken and self.chance(one_in) else self.of(good, wrong)

    def some(self, fields: dict[str, Callable[[], Any]], one_in: int) -> Payload:
        """Some of the optional fields."""
        return {name: value() for name, value in fields.items() if self.chance(one_in)}


class Play:
    """One command; subclasses are named after it."""

    def ask(self, pick: Picker) -> Payload:
        """A payload of the right shape."""
        raise NotImplementedError

    def expect(self, model: Model, payload: Payload) -> Expected:
        """What must be answered."""
        raise NotImplementedError

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        """Change the model as the command changed the studio; `seen` is only for what the studio gives out itself: ids."""
        raise NotImplementedError


PLAYS: dict[str, Play] = {}


def plays(*names: str) -> Callable[[type[Play]], type[Play]]:
    """Register the decorated class as the play of the commands; a class that plays several gets the name of each."""

    def register(kind: type[Play]) -> type[Play]:
        for name in names:
            PLAYS[name] = kind(name) if len(names) > 1 else kind()  # type: ignore[call-arg]
        return kind

    return register


@st.composite
def asked(draw: Callable[[st.SearchStrategy[Any]], Any], play: Play, model: Model) -> Payload:
    """A payload of the play, as things stand."""
    return play.ask(Picker(draw, model))


def blank(text: str | None) -> bool:
    """Whether nothing is said."""
    return text is None or not text.strip()


def too_long(name: str | None) -> bool:
    """Whether no name may be as long, as one that the studio makes of a name and more words is now and then."""
    return name is not None and len(name) > LONGEST_NAME
