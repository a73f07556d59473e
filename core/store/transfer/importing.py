"""Import: every row has an outcome of its own, and none is lost for another's sake.

First every row is stored without its links, each in a savepoint; then the links of the rows that got in are set, to the
rows that they mean now. So the order of rows and tables in a file does not matter, nor do circles.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import inspect, select
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from core.store.tables import TABLE_TO_MODEL, Base, Dataset
from core.store.transfer.fitting import fit, name_only
from core.store.transfer.reading import Tables, Unusable, values_of

INSERTED, MENDED, SKIPPED, FAILED = "inserted", "mended", "skipped", "failed"
NAMED = ("models", "datasets", "prompts", "adapters")
# Which columns together stand for the same thing wherever it is registered; the row that exists is taken instead.
SAME: dict[str, tuple[str, ...]] = {
    "models": ("huggingface_model_name",),
    "datasets": ("huggingface_name", "config_name"),
    "configs": ("content_hash",),
}


@dataclass
class Outcome:
    """What became of one row: `index` counts from 1 in its table."""

    table: str
    index: int
    id: str | None
    outcome: str
    reasons: list[str] = field(default_factory=list)

    def mend(self, *reasons: str) -> None:
        """Note that the row is not as it was in the file."""
        self.reasons += reasons
        if reasons and self.outcome == INSERTED:
            self.outcome = MENDED


@dataclass
class Report:
    """All outcomes, and what of the file was left out."""

    outcomes: list[Outcome]
    unknown_columns: dict[str, list[str]]
    ignored_tables: list[str]

    def counts(self) -> dict[str, Counter[str]]:
        """How many rows of each table came to which end."""
        counted: dict[str, Counter[str]] = {}
        for each in self.outcomes:
            counted.setdefault(each.table, Counter())[each.outcome] += 1
        return counted

    @property
    def failed(self) -> list[Outcome]:
        """The rows that did not get in."""
        return [each for each in self.outcomes if each.outcome == FAILED]


class Import:
    """One import into the session's store. Nothing is committed here."""

    def __init__(self, session: Session, tables: Tables) -> None:
        self.session, self.tables = session, tables
        self.meant: dict[tuple[str, str], str] = {}  # (table, id in the file) -> id in the store
        self.links: list[tuple[Outcome, Base, dict[str, str]]] = []
        self.unknown: dict[str, set[str]] = {}
        self.names: dict[str, _Names] = {}
        self.ids: dict[str, set[str]] = {}

    def run(self) -> Report:
        """Store what can be stored."""
        outcomes = [
            self._row(table, index, row)
            for table in TABLE_TO_MODEL
            for index, row in enumerate(self.tables.rows.get(table, ()), 1)
        ]
        for outcome, row, links in self.links:
            outcome.mend(*self._link(outcome, row, links))
        self.session.flush()
        unknown = {table: sorted(names) for table, names in self.unknown.items() if names}
        return Report(outcomes, unknown, self.tables.ignored)

    def _row(self, table: str, index: int, row: Any) -> Outcome:
        given = row.get("id") if isinstance(row, dict) else None
        outcome = Outcome(table, index, given if isinstance(given, str) else None, INSERTED)
        try:
            values, mended, unknown = values_of(table, row)
            self.unknown.setdefault(table, set()).update(unknown)
            if isinstance(given, dict | list | bool):
                raise Unusable("id must be text")
            if not values.get("id"):
                values["id"] = outcome.id = str(uuid4())
                mended.append("id was missing and is issued")
            self._store(table, outcome, values, mended)
        except Unusable as error:
            outcome.outcome, outcome.reasons = FAILED, [str(error)]
        return outcome

    def _store(self, table: str, outcome: Outcome, values: dict[str, Any], mended: list[str]) -> None:
        model, id = TABLE_TO_MODEL[table], values["id"]
        outcome.id = id
        existing = self._existing(table, id)
        if existing is not None:
            self.meant[table, id] = id
            outcome.outcome, outcome.reasons = SKIPPED, _differences(existing, values)
            return
        mended += fit(table, values)
        if (same := self._same(table, values)) is not None:
            self.meant[table, id] = same
            outcome.outcome, outcome.reasons = (
                SKIPPED,
                [f"it is the one that exists with id {same}, which takes its place"],
            )
            return
        if table == "prompts":
            self._check_columns(values)
        mended += self._name(table, values)
        named = {name: values.pop(name, None) for name in LINKS[table]}
        links = {name: wanted for name, wanted in named.items() if wanted}  # the original writes no adapter as ""
        row = model(**values)
        self._insert(row)
        self.ids[table].add(id)
        if table in NAMED:
            self.names[table].taken.add(values["name"])
        self.meant[table, id] = id
        outcome.mend(*mended)
        if links:
            self.links.append((outcome, row, links))

    def _existing(self, table: str, id: str) -> Base | None:
        """The row of that id. All ids are read at once: nobody else can write while an import looks for each of its rows."""
        model: Any = TABLE_TO_MODEL[table]
        if table not in self.ids:
            self.ids[table] = set(self.session.scalars(select(model.id)))
        found: Base | None = self.session.get(model, id) if id in self.ids[table] else None
        return found

    def _check_columns(self, values: dict[str, Any]) -> None:
        """Datasets are stored before prompts: of one that is nowhere there are no columns to compare with."""
        wanted = values.get("dataset_id") or ""
        dataset = self.session.get(Dataset, self.meant.get(("datasets", wanted), wanted))
        if dataset is not None and dataset.features:
            name_only(values, json.loads(dataset.features))

    def _insert(self, row: Base) -> None:
        try:
            with self.session.begin_nested():
                self.session.add(row)
        except (IntegrityError, DataError) as error:
            self.ids.pop(row.__tablename__, None)  # what another session stored meanwhile is there now
            raise Unusable(f"the store refuses it: {error.orig}") from None

    def _same(self, table: str, values: dict[str, Any]) -> str | None:
        names = SAME.get(table, ())
        if not names or not values.get(names[0]):
            return None
        model: Any = TABLE_TO_MODEL[table]
        equal = [getattr(model, name) == (values.get(name) or "") for name in names]
        found: str | None = self.session.scalar(select(model.id).where(*equal))
        return found

    def _name(self, table: str, values: dict[str, Any]) -> list[str]:
        """Give the row a name that is free."""
        if table not in NAMED:
            return []
        if table not in self.names:
            model: Any = TABLE_TO_MODEL[table]
            self.names[table] = _Names(set(self.session.scalars(select(model.name))))
        wanted = values["name"]
        values["name"] = name = self.names[table].free(wanted)
        return [] if name == wanted else [f"the name {wanted!r} is taken: it is called {name!r}"]

    def _link(self, outcome: Outcome, row: Base, links: dict[str, str]) -> Iterator[str]:
        for name, wanted in links.items():
            table = LINKS[outcome.table][name]
            target = self.meant.get((table, wanted))
            if target is None and self.session.get(TABLE_TO_MODEL[table], wanted) is not None:
                target = wanted
            setattr(row, name, target)
            if target is None:
                yield f"{name} named a row that is nowhere ({wanted}) and is left empty"
            elif target != wanted:
                yield f"{name} leads to {target} now"


@dataclass
class _Names:
    """The names of a table's rows; looked up once, since a file may call all of its rows alike."""

    taken: set[str]
    numbers: dict[str, int] = field(default_factory=dict)  # name -> the last number that was tried behind it

    def free(self, wanted: str) -> str:
        """The name, or the first of name-2, name-3, … that no row has."""
        name, number = wanted, self.numbers.get(wanted, 1)
        while name in self.taken:
            number += 1
            name = f"{wanted}-{number}"
        self.numbers[wanted] = number
        return name


def _differences(existing: Base, values: dict[str, Any]) -> list[str]:
    """Why an existing row is kept as it is: no reason when it is the same. Every studio has its defaults since another time."""
    told = {name: value for name, value in values.items() if value is not None and name != "created_at"}
    other = sorted(name for name, value in told.items() if getattr(existing, name) != value)
    return [f"a row with this id exists and is kept; it differs in {', '.join(other)}"] if other else []


def _foreign(model: type[Base]) -> dict[str, str]:
    table: Any = inspect(model).local_table
    return {key.parent.name: key.column.table.name for key in table.foreign_keys}


LINKS: dict[str, dict[str, str]] = {name: _foreign(model) for name, model in TABLE_TO_MODEL.items()}
LINKS["evaluation_jobs"]["comparison_adapter_id"] = "adapters"
