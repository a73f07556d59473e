"""The world that rules and handlers look at: rows, users' paths, and what slow inspection found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors import references
from actors.desk import Desk
from core import scripts
from core.messages import Message
from core.paths import PathRefused, inside_any
from core.rules import Row
from core.store.tables import EVERY_TABLE, Base

Inspector = Callable[[Any, "RealWorld"], Any]
INSPECTORS: dict[str, Inspector] = {}


def inspects(kind: str) -> Callable[[Inspector], Inspector]:
    """Register the decorated function as the slow inspection of `kind`."""

    def register(inspector: Inspector) -> Inspector:
        INSPECTORS[kind] = inspector
        return inspector

    return register


class RealWorld:
    """One request's world. Findings are kept, so that the transaction reuses what was inspected before it.

    What inspection enters into `held` is left when the request is answered.
    """

    def __init__(
        self,
        desk: Desk,
        session: Session,
        findings: dict[str, Any] | None = None,
        held: ExitStack | None = None,
    ) -> None:
        self.desk, self.session = desk, session
        self.findings: dict[str, Any] = {} if findings is None else findings
        self.held = ExitStack() if held is None else held

    def within(self, session: Session) -> RealWorld:
        """The same world, seen in another session."""
        return RealWorld(self.desk, session, self.findings, self.held)

    def get(self, table: str, id: str) -> Row | None:
        """The row of that id, as a mapping."""
        row = self.session.get(EVERY_TABLE[table], id)
        return None if row is None else as_dict(row)

    def find(self, table: str, **equal: object) -> list[Row]:
        """The rows whose columns equal the values."""
        model = EVERY_TABLE[table]
        query = select(model).where(*(getattr(model, name) == value for name, value in equal.items()))
        return [as_dict(row) for row in self.session.scalars(query)]

    def users(self, table: str, ids: Sequence[str]) -> list[Row]:
        """The unfinished jobs that use one of the rows."""
        return references.users(self.session, table, ids)

    def path(self, text: str, *, write: bool = False) -> Path:
        """The user's path, inside the allowed roots and, to write to, outside what is the studio's; raises PathRefused."""
        path = inside_any(self.desk.settings.roots, text)
        if write and self.desk.settings.is_own(path):
            raise PathRefused(f"{text} lies among the studio's own files")
        return path

    def script(self, name: str) -> Path:
        """The script of that name in FTS_SCRIPTS_DIR; raises NoScript."""
        return scripts.find(self.desk.settings.scripts_root, name)

    def inspect(self, kind: str, message: Message[Any]) -> Any:
        """What inspection found, done once a request; raises the ValueError it failed with."""
        if kind not in self.findings:
            try:
                self.findings[kind] = INSPECTORS[kind](message, self)
            except ValueError as error:
                self.findings[kind] = error
            except OSError as error:
                self.findings[kind] = ValueError(f"{error.filename or kind} can't be read: {error.strerror or error}")
        finding = self.findings[kind]
        if isinstance(finding, Exception):
            raise finding
        return finding


def as_dict(row: Base) -> dict[str, Any]:
    """A row's columns by name."""
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}
