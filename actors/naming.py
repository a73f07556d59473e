"""The names that models and adapters have now, beside their ids: people know no ids."""

from __future__ import annotations

from typing import Protocol, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.store.tables import Adapter, Model


class Combination(Protocol):
    """What names a base model and perhaps an adapter."""

    base_model_id: str | None
    adapter_id: str | None
    base_model_name: str | None
    adapter_name: str | None


C = TypeVar("C", bound=Combination)


def named(session: Session, shown: list[C]) -> list[C]:
    """The same, with the names that models and adapters have now."""
    models, adapters = ({getattr(each, field) for each in shown} for field in ("base_model_id", "adapter_id"))
    names: dict[str, str] = {}
    for table, ids in ((Model, models - {None}), (Adapter, adapters - {None})):
        if ids:
            found = session.execute(select(table.id, table.name).where(table.id.in_(ids)))
            names |= {id: name or id for id, name in found}
    for each in shown:
        each.base_model_name = names.get(each.base_model_id or "")
        each.adapter_name = names.get(each.adapter_id or "")
    return shown
