"""What lists have in common: one stable order, pages by the id of the last row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from core.errors import NotFound, Refused
from core.rules import Breach
from core.store.tables import Base


def found(session: Session, model: type[Base], id: str, what: str) -> Any:
    """The row of that id; raises NotFound that names it."""
    row = session.get(model, id)
    if row is None:
        raise NotFound(f"there is no {what} with id {id!r}")
    return row


def page(session: Session, query: Select[Any], model: Any, after: str | None, limit: int, *, newest: bool = False) -> tuple[list[Any], bool]:
    """Rows of `query` after the row `after`, by time of creation and id; and whether there are more."""
    created, id = model.created_at, model.id
    order = (created.desc(), id.desc()) if newest else (created.asc(), id.asc())
    if after is not None:
        last = session.get(model, after)
        if last is None:
            raise Refused.because([Breach(rule="MS-105", field="after", message=f"there is no row with id {after!r} to go on from")])
        beyond = created < last.created_at if newest else created > last.created_at
        twin = and_(created == last.created_at, id < after if newest else id > after)
        query = query.where(or_(beyond, twin))
    rows = list(session.scalars(query.order_by(*order).limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def every(model: type[Base]) -> Select[Any]:
    """All rows of a table."""
    return select(model)
