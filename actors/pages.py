"""What lists have in common: one stable order, pages by the id of the last row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, case, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from core.errors import NotFound, Refused
from core.rules import Breach
from core.store.tables import Base


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


def page(
    session: Session,
    query: Select[Any],
    model: Any,
    after: str | None,
    limit: int,
    *,
    first: ColumnElement[bool] | None = None,
) -> tuple[list[Any], bool]:
    """Rows of `query` after the row `after`, by time of creation (unknown: first) and id; and whether there are more.

    Those that `first` is true of come before all others. The parts of the list are asked for one after the other, each
    in the order of the index on (created_at, id), so that a page costs the same wherever it lies.
    """
    place = (model.created_at, model.id)
    is_first = literal(1) if first is None else case((first, 1), else_=0)
    parts = [query] if first is None else [query.where(first), query.where(is_first == 0)]
    parts = [part.where(known) for part in parts for known in (place[0].is_(None), place[0].is_not(None))]
    if after is not None:
        last = session.execute(select(*place, is_first).where(model.id == after)).one_or_none()
        if last is None:
            raise gone(after, "row")
        here, *later = parts[(0 if last[2] else 2) + (0 if last[0] is None else 1) :]
        beyond = model.id > after if last[0] is None else tuple_(*place) > tuple_(*map(literal, last[:2]))
        parts = [here.where(beyond), *later]
    rows: list[Any] = []
    for part in parts:
        if len(rows) <= limit:
            rows += session.scalars(part.order_by(*place).limit(limit + 1 - len(rows)))
    return rows[:limit], len(rows) > limit


def gone(id: str, what: str) -> Refused:
    """The refusal of a page that was to begin after a row that is not there."""
    text = f"there is no {what} with id {id!r} to go on from"
    return Refused.because([Breach(rule="MS-105", field="after", message=text)])


def containing(query: Any, text: str | None, *columns: Any) -> Any:
    """The rows that have the text in one of the columns, in upper or lower case; % and _ mean themselves."""
    return query.where(or_(*(column.icontains(text, autoescape=True) for column in columns))) if text else query


def equal(query: Any, *pairs: tuple[Any, Any]) -> Any:
    """The rows whose columns have the values given as (column, value); None asks for nothing."""
    return query.where(*(column == value for column, value in pairs if value is not None))


def every(model: type[Base]) -> Select[Any]:
    """All rows of a table."""
    return select(model)
