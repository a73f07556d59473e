"""What lists have in common: one stable order, pages by the id of the last row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import Session

from core.errors import NotFound, Refused
from core.rules import Breach
from core.store.tables import Base

FIRST = literal(0)  # every row alike


def found(session: Session, model: type[Base], id: str, what: str) -> Any:
    """The row of that id; raises NotFound that names it."""
    row = session.get(model, id)
    if row is None:
        raise NotFound(f"there is no {what} with id {id!r}")
    return row


def page(
    session: Session, query: Select[Any], model: Any, after: str | None, limit: int, *, rank: ColumnElement[int] = FIRST
) -> tuple[list[Any], bool]:
    """Rows of `query` after the row `after`, by rank, time of creation (unknown: first) and id; and whether there are more."""
    place = (rank, func.coalesce(model.created_at, 0.0), model.id)
    if after is not None:
        last = session.execute(select(*place).where(model.id == after)).one_or_none()
        if last is None:
            raise Refused.because(
                [Breach(rule="MS-105", field="after", message=f"there is no row with id {after!r} to go on from")]
            )
        query = query.where(tuple_(*place) > tuple_(*map(literal, last)))
    rows = list(session.scalars(query.order_by(*place[1:] if rank is FIRST else place).limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def every(model: type[Base]) -> Select[Any]:
    """All rows of a table."""
    return select(model)
