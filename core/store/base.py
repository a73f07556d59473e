"""What every table stands on: names of constraints, types of columns, and the two kinds of links."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, list[Any]: JSON, float: Double}


def origin(target: str, *, use_alter: bool = False) -> Any:
    """A link that only tells where something came from: emptied when that goes."""
    return ForeignKey(target, ondelete="SET NULL", deferrable=True, initially="DEFERRED", use_alter=use_alter)


def holds(target: str) -> Any:
    """A link that keeps its target from being removed; checked at commit."""
    return ForeignKey(target, ondelete="NO ACTION", deferrable=True, initially="DEFERRED")
