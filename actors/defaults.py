"""What a new studio begins with: shipped configs, and the project defaults, each brought in once.

The project defaults are the guide's: a JSON file of table -> rows (configs/project_defaults.json, or the one that
FINE_TUNING_STUDIO_PROJECT_DEFAULTS names), as ImportDatabase reads it too. Every entry goes the way of the message that
adds such a resource, with all its rules, but the Hub is never asked: what is there is registered by name, with what the
entry says of it. An entry that has been brought in, or left out for good reason, is remembered by its id in meta: so one
that was edited or removed since stays as it is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from actors.adapters import add_adapter
from actors.configs import USERS, Shipped, keep, ship, ship_defaults
from actors.datasets import add_dataset
from actors.desk import Desk
from actors.models import add_model
from actors.prompts import add_prompt
from actors.world import RealWorld
from core.axolotl import shipped_formats, shipped_template
from core.errors import StudioError
from core.families import families
from core.messages import Command
from core.messages.adapters import AddAdapter
from core.messages.choosing import SHIPPED
from core.messages.common import LONGEST_NAME, no_twice
from core.messages.configs import AddConfig
from core.messages.datasets import AddDataset
from core.messages.models import AddModel
from core.messages.prompts import AddPrompt
from core.messages.shape import shape_breaches
from core.rules import ALL, check, refusing
from core.store.session import Store, Unit
from core.store.tables import TABLE_TO_MODEL, Config, Meta
from core.store.upgrade import alone
from core.types import ConfigType

log = logging.getLogger("fts.defaults")
KEY = "project_defaults"
ORDER = ("datasets", "models", "prompts", "adapters", "configs")  # what is named comes before what names it
LINKS = {"dataset_id": "datasets", "model_id": "models", "prompt_id": "prompts"}
Row = Mapping[str, Any]


def settle(desk: Desk) -> None:
    """Bring in all that is shipped and is not in the store yet; processes that start together do it once."""
    with alone(desk.store):
        ship_defaults(desk.store)
        ship_library(desk.store)
        load_project_defaults(desk)


def ship_library(store: Store) -> None:
    """Store each family's LoRA config, Axolotl's template, and its dataset formats."""
    lora = [
        Shipped(ConfigType.lora_config, json.dumps(each.lora_config), f"LoRA for {each.name}", each.architecture)
        for each in families().values()
    ]
    formats = [
        Shipped(ConfigType.axolotl_dataset_formats, json.dumps(content), name)
        for name, content in shipped_formats().items()
    ]
    ship(store, [*lora, Shipped(ConfigType.axolotl, shipped_template(), "Axolotl: LoRA in 8 bits"), *formats])


def load_project_defaults(desk: Desk) -> None:
    """Bring in the entries of the file that were not brought in before; what can't be is told, and stops nothing."""
    path = desk.settings.defaults_file
    with desk.store.read() as session:
        marker = session.get(Meta, KEY)
        known = {} if marker is None else json.loads(marker.value)
    loading = _Loading(desk, path.parent, known)
    try:
        tables = _read(path)
    except ValueError as error:
        loading.leave_out("configs", str(path), {"name": path.name}, str(error))
        return
    for table in ORDER:
        for number, row in enumerate(tables.get(table, ())):
            loading.take(table, row, number)
    for table in tables.keys() - set(ORDER):
        if tables[table]:
            told = "only datasets, models, prompts, adapters and configs can be defaults; import the rest"
            loading.leave_out(table, f"{table}/*", {"name": table}, told)


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=no_twice)
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(rows, list) for rows in content.values()):
        raise ValueError(f"{path} must hold an object of lists: table -> rows")
    return content


class LeftOut(ValueError):
    """An entry can't be brought in; the message says why."""


@dataclass
class _Loading:
    """One reading of a file. `known` maps an entry's key to {"id"} of its row, or {"left_out"} with the reason."""

    desk: Desk
    directory: Path
    known: dict[str, dict[str, str]] = field(default_factory=dict)

    def take(self, table: str, row: Any, number: int) -> None:
        """Bring in one entry, unless that was done before."""
        if not isinstance(row, dict):
            self.leave_out(table, f"{table}/#{number}", {}, f"entry {number} of {table} is no object")
            return
        named = str(row.get("id") or row.get("name") or "")
        key = f"{table}/{named}" if 0 < len(named) <= LONGEST_NAME - len(table) - 1 else f"{table}/#{number}"
        if "id" in self.known.get(key, {}):
            return
        try:
            self._bring_in(table, key, {name: value for name, value in row.items() if value is not None})
        except ValidationError as error:
            self.leave_out(table, key, row, "; ".join(map(str, shape_breaches(error))))
        except StudioError as error:
            self.leave_out(table, key, row, "; ".join(map(str, error.breaches)) or error.message)
        except (ValueError, OSError) as error:
            self.leave_out(table, key, row, str(error))

    def leave_out(self, table: str, key: str, row: Row, why: str) -> None:
        """Tell why an entry is not there: once, until the reason is another one."""
        if self.known.get(key) == {"left_out": why}:
            return
        name = str(row.get("name") or key)
        text = f"project default {name} was left out: {why}"
        log.warning("%s", text)
        with self.desk.store.write(in_turn=True) as unit:
            kind = table if table in TABLE_TO_MODEL else "configs"
            unit.emit("DefaultNoted", kind, key, text, level="warning", name=name)
            self._remember(unit, key, {"left_out": why})

    def _bring_in(self, table: str, key: str, row: Row) -> None:
        if table == "configs":
            with self.desk.store.write(in_turn=True) as unit:
                self._remember(unit, key, {"id": _config(unit, self._world(unit), row).id})
            return
        message, findings = _MESSAGES[table](self, {**row, **self._linked(row)})
        kind, by_name = table.removesuffix("s"), bool(findings)
        with self.desk.store.read() as session:
            world = RealWorld(self.desk_of_file, session, findings)
            if table != "prompts" and self._there(session, table, row) is None:
                _inspect(world, kind, message)
        with self.desk.store.write(in_turn=True) as unit:
            id = self._there(unit.session, table, row)
            if id is None:
                id = _called(unit, table, _added(message, unit, world.within(unit.session)), row.get("id"))
            if by_name:
                text = f"{kind} {row.get('name')} was registered by its name: the Hub was not asked"
                unit.emit("DefaultNoted", table, id, text, name=str(row.get("name")))
            self._remember(unit, key, {"id": id})

    @property
    def desk_of_file(self) -> Desk:
        """The desk, from which paths beside the file may be read too: who names the file answers for it."""
        using = self.desk.settings
        roots = [*using.allowed_roots, self.directory]
        return replace(self.desk, settings=using.model_copy(update={"allowed_roots": roots}))

    def location(self, row: Row) -> str | None:
        """The entry's path: below the project, else beside the file."""
        given = row.get("location")
        if given is None or (self.desk.settings.project / str(given)).exists():
            return given
        return str(self.directory / str(given))

    def _linked(self, row: Row) -> dict[str, str]:
        """The links of an entry, to the rows that the entries they name have become."""
        return {
            name: self.known.get(f"{table}/{row[name]}", {}).get("id", str(row[name]))
            for name, table in LINKS.items()
            if row.get(name)
        }

    def _there(self, session: Any, table: str, row: Row) -> str | None:
        """The id of the row that has the entry's name already: it is left as it is."""
        model: Any = TABLE_TO_MODEL[table]
        name = str(row.get("name") or row.get("huggingface_name") or row.get("huggingface_model_name") or "")
        id: str | None = session.scalar(select(model.id).where(model.name == name.strip()))
        return id

    def _world(self, unit: Unit) -> RealWorld:
        return RealWorld(self.desk, unit.session)

    def _remember(self, unit: Unit, key: str, what: dict[str, str]) -> None:
        self.known[key] = what
        unit.session.merge(Meta(key=KEY, value=json.dumps(self.known)))


def _dataset(loading: _Loading, row: Row) -> tuple[Command[Any], dict[str, Any]]:
    names = ("type", "name", "huggingface_name", "config_name", "description")
    message = AddDataset.model_validate({**_only(row, names), "location": loading.location(row)}, strict=True)
    if message.type != "huggingface":
        return message, {}
    features = row.get("features")
    known = {"features": json.loads(features) if isinstance(features, str) else features or []}
    return message, {"dataset": {**known, **_only(row, ("revision", "column_types", "is_chat"))}}


def _model(loading: _Loading, row: Row) -> tuple[Command[Any], dict[str, Any]]:
    fields = {**_only(row, ("type", "name", "description")), "location": loading.location(row)}
    message = AddModel.model_validate({**fields, "huggingface_name": row.get("huggingface_model_name")}, strict=True)
    return message, {"model": _only(row, ("family", "revision"))} if message.type == "huggingface" else {}


def _prompt(loading: _Loading, row: Row) -> tuple[Command[Any], dict[str, Any]]:
    templates = ("prompt_template", "input_template", "completion_template")
    fields = _only(row, ("type", "name", "description", "dataset_id", *templates))
    return AddPrompt.model_validate({"prompt": fields}, strict=True), {}


def _adapter(loading: _Loading, row: Row) -> tuple[Command[Any], dict[str, Any]]:
    fields = _only(row, ("type", "name", "description", "model_id", "prompt_id", "huggingface_name"))
    message = AddAdapter.model_validate({**fields, "location": loading.location(row)}, strict=True)
    return message, {"adapter": _only(row, ("revision",))} if message.type == "huggingface" else {}


_MESSAGES = {"datasets": _dataset, "models": _model, "prompts": _prompt, "adapters": _adapter}


def _inspect(world: RealWorld, kind: str, message: Command[Any]) -> None:
    """Look at the entry's files before the transaction; what is wrong with them is told by the rules."""
    try:
        world.inspect(kind, message)
    except StudioError:
        raise
    except ValueError:
        return


def _added(message: Command[Any], unit: Unit, world: RealWorld) -> str:
    """The id of the row that the message adds; raises LeftOut with all that its rules have against it."""
    if wrong := refusing(check(message, world, ALL)):
        raise LeftOut("; ".join(map(str, wrong)))
    match message:
        case AddDataset():
            return add_dataset(message, unit, world).dataset.id
        case AddModel():
            return add_model(message, unit, world).model.id
        case AddPrompt():
            return add_prompt(message, unit, world).prompt.id
        case AddAdapter():
            return add_adapter(message, unit, world).adapter.id
    raise LeftOut(f"{type(message).__name__} brings no default in")


def _called(unit: Unit, table: str, id: str, wanted: object) -> str:
    """Give the new row the entry's own id, when it has one that is free; the row's id is returned.

    So every studio has its defaults by the same ids, and an export of one that is imported by another finds them there.
    """
    model: Any = TABLE_TO_MODEL[table]
    if not isinstance(wanted, str) or not wanted or unit.session.get(model, wanted) is not None:
        return id
    unit.session.get_one(model, id).id = wanted
    unit.session.flush()
    for event in unit.events:
        if event.resource_id == id:
            event.resource_id = wanted
    return wanted


def _config(unit: Unit, world: RealWorld, row: Row) -> Config:
    message = AddConfig.model_validate(_only(row, ("type", "config", "description")), strict=True)
    if wrong := refusing(check(message, world, ALL)):
        raise LeftOut("; ".join(map(str, wrong)))
    family, is_default = row.get("model_family"), row.get("is_default", SHIPPED)
    if not isinstance(family, str | None) or is_default not in (SHIPPED, USERS):
        raise LeftOut("model_family must be text, and is_default 1 or 0")
    made, _ = keep(unit, message.type, message.config, message.description, family=family, is_default=is_default)
    return made


def _only(row: Row, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names if name in row}
