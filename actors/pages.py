"""What lists have in common: an order with ties by id, pages by places in it (places.py), filters, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    collate,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Session

from actors.places import SIGN, Key, Place, beyond, read
from core.errors import NotFound, Refused
from core.messages.common import COUNTED, PagedQuery
from core.rules import Breach
from core.store.tables import Base, Job, Runner


def found(session: Session, model: type[Base], id: str, what: str, *, lock: bool = False) -> Any:
    """The row of that id, locked if it is to be changed; raises NotFound that names it."""
    row = locked(session, model, id) if lock else session.get(model, id)
    if row is None:
        raise NotFound(f"there is no {what} with id {id!r}")
    return row


def locked(session: Session, model: type[Base], id: str) -> Any:
    """The row of that id as it is now, kept from other writers until the unit ends; None when there is none.

    Where writers run at once, what the session read before may be another's by now: a change that is made of it would
    undo the other's. Where they take turns (SQLite) this is the row, no more.
    """
    return session.get(model, id, with_for_update=True, populate_existing=True)


@dataclass(frozen=True, eq=False)
class Shelf:
    """A list, made once: the rows that there are, what they can be ordered by, and what a text is looked for in.

    `query` selects the entities of a row, `id` names it, `own` is the list's own order before ids decide. A column of
    `orders` has the name that it has in the reply. `options` are for the reading of whole rows.
    """

    query: Any
    id: Any
    own: tuple[Key, ...]
    orders: Mapping[str, Any]
    seen: tuple[Any, ...]
    what: str = "row"
    options: tuple[Any, ...] = ()


def by(table: type[Base], *names: str) -> dict[str, Any]:
    """Columns of a table by their names."""
    return {name: getattr(table, name) for name in names}


@dataclass(frozen=True)
class Found:
    """The rows of a page, each an entity or a tuple of entities, and what the reply tells of the page."""

    rows: list[Any]
    told: dict[str, Any]


def page(
    session: Session,
    shelf: Shelf,
    message: PagedQuery[Any],
    query: Select[Any],
    *,
    first: ColumnElement[bool] | None = None,
) -> Found:
    """The page of `shelf` that `message` asks for, of the rows that `query` leaves; those that `first` is true of come first.

    Ids and places are looked for first, whole rows then: an index answers the one, and the other are few.
    """
    query = _holding(query, message.contains, shelf.seen)
    way = _Way(session, shelf, message.order, first if message.order is None else None)
    backwards, limit = message.descending, message.limit
    before: list[Any] = []
    if message.around is not None:
        middle = way.at(message.around, "around", behind=backwards)
        before = way.walk(query, middle, not backwards, limit // 2 + 1)
        start: Place | None = middle
        has_before, before = len(before) > limit // 2, before[: limit // 2][::-1]
    else:
        start = None if message.after is None else way.place(message.after, behind=not backwards)
        has_before = start is not None
    after = way.walk(query, start, backwards, limit - len(before) + 1)
    places = [*before, *after[: limit - len(before)]]
    told: dict[str, Any] = {
        "has_more": len(after) > limit - len(before),
        "has_before": has_before,
        "begins": way.told(places[0], behind=backwards) if places else None,
        "ends": way.told(places[-1], behind=not backwards) if places else None,
    }
    if message.counts:
        told |= {"total": _counted(session, shelf.query, shelf), "matching": _counted(session, query, shelf)}
    return Found(_whole(session, shelf, [values[-1] for _, values in places]), told)


class _Order:
    """An order of a list, in parts: what is `first`, and in it what has no value to be ordered by."""

    def __init__(self, shelf: Shelf, order: str | None, first: ColumnElement[bool] | None, *, sqlite: bool) -> None:
        self.shelf = shelf
        keys = shelf.own if order is None else (Key(shelf.orders[order]),)
        nullable = getattr(keys[0].column, "nullable", True)
        value = _sorted(keys[0].column) if sqlite else keys[0].column
        self.keys = (Key(value, keys[0].down), *keys[1:], Key(shelf.id, keys[-1].down))
        known = [value.is_(None), value.is_not(None)] if nullable else [true()]
        is_first = literal(1) if first is None else case((first, 1), else_=0)
        halves = [true()] if first is None else [first, is_first == 0]
        self.parts = [and_(half, part) for half in halves for part in known]
        self.part = (1 - is_first) * len(known) + (case((value.is_(None), 0), else_=1) if nullable else 0)
        self.unknown = {number for number in range(len(self.parts)) if nullable and number % 2 == 0}
        self._whole: dict[tuple[int, bool], Select[Any]] = {}

    def of_part(self, number: int) -> tuple[Key, ...]:
        """The keys that tell the rows of a part apart."""
        return self.keys[1:] if number in self.unknown else self.keys

    def walked(self, query: Select[Any], number: int, backwards: bool) -> Select[Any]:
        """The keys of at most `most` of a part's rows in their order; put together once for the list without a filter."""
        whole = query is self.shelf.query
        if whole and (made := self._whole.get((number, backwards))) is not None:
            return made
        order = [key.column.desc() if key.down is not backwards else key.column.asc() for key in self.of_part(number)]
        made = _only(query.where(self.parts[number]), *(key.column for key in self.keys)).order_by(*order).limit(_MOST)
        if whole:
            self._whole[number, backwards] = made
        return made


_MOST = bindparam("most", type_=Integer)
_ordered = lru_cache(maxsize=256)(_Order)


class _Way:
    """The order in which a list is gone through."""

    def __init__(
        self, session: Session, shelf: Shelf, order: str | None, first: ColumnElement[bool] | None = None
    ) -> None:
        self.session, self.shelf, self.order = session, shelf, order or ""
        sqlite = session.get_bind().dialect.name == "sqlite"
        self.by = (_ordered if first is None else _Order)(shelf, order, first, sqlite=sqlite)

    def walk(
        self, query: Select[Any], start: Place | None, backwards: bool, limit: int
    ) -> list[tuple[int, tuple[Any, ...]]]:
        """(part, values of the keys, of which the id is the last) of at most `limit` rows from `start` on."""
        found: list[tuple[int, tuple[Any, ...]]] = []
        connection = self.session.connection()  # rows of columns need nothing of what the session does for entities
        numbers = range(len(self.by.parts))
        for number in reversed(numbers) if backwards else numbers:
            if len(found) == limit or (start and (number > start.part if backwards else number < start.part)):
                continue
            here = self.by.walked(query, number, backwards)
            if start is not None and number == start.part:
                keys = self.by.of_part(number)
                values = start.values[len(self.by.keys) - len(keys) :]
                ahead = beyond(keys, values, backwards=backwards, with_it=start.behind is backwards)
                here = here.where(true() if ahead is None else ahead)
            found += [(number, tuple(row)) for row in connection.execute(here, {"most": limit - len(found)})]
        return found

    def told(self, row: tuple[int, tuple[Any, ...]], *, behind: bool) -> str:
        """The place at a row."""
        return Place(self.order, *row, behind).text()

    def place(self, text: str, *, behind: bool) -> Place:
        """The place that is meant by an id or what was told of a place; raises Refused."""
        if not text.startswith(SIGN):
            return self.at(text, "after", behind=behind)
        place = read(text, self.order, self.by.keys, len(self.by.parts))
        if place is None:
            raise nowhere("after", "it is no place of this list in this order: begin without `after`")
        return place

    def at(self, id: str, field: str, *, behind: bool) -> Place:
        """The place at the row of that id, whether the filters leave it or not; raises Refused."""
        its = self.shelf.id.type.python_type(id)  # PostgreSQL compares no number with a text
        columns = (key.column for key in self.by.keys)
        query = _only(self.shelf.query.where(self.shelf.id == its), self.by.part, *columns)
        row = self.session.execute(query).one_or_none()
        if row is None:
            raise nowhere(field, f"there is no {self.shelf.what} with id {id!r} to go on from")
        return Place(self.order, row[0], tuple(row[1:]), behind)


def _only(query: Select[Any], *columns: Any) -> Select[Any]:
    return query.with_only_columns(*columns, maintain_column_froms=True)


def _sorted(column: Any) -> Any:
    """A column as people sort, in SQLite: capitals don't come before all small letters."""
    return collate(column, "NOCASE") if isinstance(column.type, String) else column


def _whole(session: Session, shelf: Shelf, ids: list[Any]) -> list[Any]:
    """The entities of the rows of these ids, in their order."""
    if not ids:
        return []
    found = session.execute(_these(shelf), {"ids": ids})
    rows = {row[-1]: row[0] if len(row) == 2 else tuple(row[:-1]) for row in found}
    return [rows[id] for id in ids]


@lru_cache(maxsize=256)
def _these(shelf: Shelf) -> Any:
    """The rows of `ids`, put together once for a list."""
    chosen = shelf.id.in_(bindparam("ids", expanding=True))
    return shelf.query.where(chosen).add_columns(shelf.id).options(*shelf.options)


def _counted(session: Session, query: Select[Any], shelf: Shelf) -> int:
    """How many rows there are, counted up to one more than are told."""
    some = _only(query, shelf.id).limit(COUNTED + 1).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def _holding(query: Select[Any], text: str | None, columns: Sequence[Any]) -> Select[Any]:
    """The rows that have each word of the text in one of the columns, in upper or lower case."""
    if not (wanted := (text or "").split()):
        return query  # the usual case: what would be looked through need not be put together
    whole: Any = func.coalesce(columns[0], "")
    for column in columns[1:]:
        whole = whole + " " + func.coalesce(column, "")
    return query.where(*(whole.icontains(word, autoescape=True) for word in wanted))


def nowhere(field: str, text: str) -> Refused:
    """The refusal of a page that was to begin where nothing is."""
    return Refused.because([Breach(rule="MS-105", field=field, message=text)])


# What people see of any job, whatever it is for.
JOB_SEEN: tuple[Any, ...] = (
    Job.id,
    Job.status,
    Job.failure_class,
    select(Runner.host).where(Runner.id == Job.runner_id).correlate(Job).scalar_subquery(),
)


def containing(query: Any, text: str | None, *columns: Any) -> Any:
    """The rows that have the text in one of the columns, in upper or lower case; % and _ mean themselves."""
    return query.where(or_(*(column.icontains(text, autoescape=True) for column in columns))) if text else query


def equal(query: Any, *pairs: tuple[Any, Any]) -> Any:
    """The rows whose columns have the values given as (column, value); None asks for nothing."""
    asked = [column == value for column, value in pairs if value is not None]
    return query.where(*asked) if asked else query
