"""Handlers of configs: canonical text, stored once, whoever sends it and however many at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.pages import Shelf, by, containing, equal, found, page
from actors.places import Key
from actors.world import RealWorld, as_dict
from core.facts import default
from core.messages.choosing import SHIPPED
from core.messages.configs import (
    AddConfig,
    ConfigMetadata,
    ConfigReply,
    ConfigsReply,
    GetConfig,
    ListConfigs,
    content_hash,
    family_of,
    parse_config,
    shown,
)
from core.messages.fine_tuning import CONFIG_FIELDS
from core.store.session import Store, Unit
from core.store.tables import Adapter, Config, FineTuningJob, Meta, Model
from core.types import ConfigType

USERS = 0
SHIPPED_KEY = "shipped_configs"
DEFAULTS = (
    ConfigType.training_arguments,
    ConfigType.bitsandbytes_config,
    ConfigType.lora_config,
    ConfigType.generation_config,
)


@handles(AddConfig)
def add_config(message: AddConfig, unit: Unit, world: RealWorld) -> ConfigReply:
    """Store the config, or answer the equal one that exists (CF-004)."""
    row, existed = keep(
        unit, message.type, message.config, message.description, family=family_of(world, message.description)
    )
    return ConfigReply(config=metadata(row), deduplicated=existed)


def keep(
    unit: Unit,
    kind: str,
    text: str,
    description: str | None = None,
    *,
    family: str | None = None,
    is_default: int = USERS,
) -> tuple[Config, bool]:
    """Return the config of that content, and whether it was there before; raises ConfigTextError.

    One that is shipped has the same id in every studio, so that jobs which name it can be moved.

    Two senders that race meet at the UNIQUE hash: the second's transaction is run again and finds the first's row.
    """
    content = parse_config(kind, text)
    hash = content_hash(kind, family, content)
    existing = unit.session.scalar(select(Config).where(Config.content_hash == hash))
    if existing is not None:
        return existing, True
    row = Config(
        id=str(uuid4()) if is_default == USERS else f"default-config-{hash[:12]}",
        type=kind,
        description=description,
        config=shown(kind, text, content),
        model_family=family,
        is_default=is_default,
        content_hash=hash,
        created_at=unit.now,
    )
    unit.session.add(row)
    unit.session.flush()
    unit.emit("ResourceAdded", "configs", row.id, f"config {description or kind} was added", name=description or kind)
    return row, False


def ship_defaults(store: Store) -> None:
    """Store the guide's default configs, once; nothing is ever changed or deleted."""
    ship(
        store, [Shipped(kind, json.dumps(default(kind)), f"the default {kind.replace('_', ' ')}") for kind in DEFAULTS]
    )


@dataclass(frozen=True)
class Shipped:
    """A config that the studio brings along."""

    kind: str
    text: str
    description: str
    family: str | None = None

    @property
    def hash(self) -> str:
        """Its content's hash, by which it is remembered."""
        return content_hash(self.kind, self.family, parse_config(self.kind, self.text))


def ship(store: Store, configs: Iterable[Shipped]) -> None:
    """Store what this studio has not stored before; what a user removed since is not brought back.

    Their hashes are kept in meta: a row that is gone says nothing of why.
    """
    with store.write(in_turn=True) as unit:
        marker = unit.session.get(Meta, SHIPPED_KEY)
        before = [] if marker is None else json.loads(marker.value)
        fresh = [each for each in configs if each.hash not in set(before)]
        for each in fresh:
            keep(unit, each.kind, each.text, each.description, family=each.family, is_default=SHIPPED)
        if fresh:
            value = json.dumps([*before, *(each.hash for each in fresh)])
            unit.session.merge(Meta(key=SHIPPED_KEY, value=value))


@handles(GetConfig)
def get_config(message: GetConfig, session: Session, world: RealWorld) -> ConfigReply:
    """One config."""
    return ConfigReply(config=metadata(found(session, Config, message.id, "config")))


SHELF = Shelf(
    select(Config),
    Config.id,
    own=(Key(Config.created_at),),
    orders=by(Config, "type", "description", "model_family", "created_at"),
    seen=(Config.type, Config.description, Config.model_family, Config.config, Config.id),
    what="config",
)


@handles(ListConfigs)
def list_configs(message: ListConfigs, session: Session, world: RealWorld) -> ConfigsReply:
    """A page of configs; those of the model's family first, users' never hidden (docs/decisions.md)."""
    query = equal(
        containing(SHELF.query, message.name_contains, Config.description),
        (Config.type, message.type),
        (Config.model_family, message.model_family),
        (Config.is_default, None if message.is_default is None else int(message.is_default)),
    )
    if message.fine_tuning_job_id is not None:
        query = query.where(Config.id.in_(_of_job(session, message.fine_tuning_job_id)))
    if message.adapter_id is not None:
        query = query.where(Config.id.in_(_of_adapter(session, message.adapter_id)))
    first: ColumnElement[bool] | None = None
    if message.model_id is not None:
        family = found(session, Model, message.model_id, "model").family
        first = None if family is None else and_(Config.model_family == family, Config.is_default == SHIPPED)
    part = page(session, SHELF, message, query, first=first)
    return ConfigsReply(configs=[metadata(row) for row in part.rows], **part.told)


def _of_job(session: Session, id: str) -> list[str]:
    """The configs that a fine-tuning job names."""
    row = found(session, FineTuningJob, id, "fine-tuning job")
    named = (getattr(row, f"{stem}_id") for stem, _ in CONFIG_FIELDS)
    return [each for each in (*named, row.axolotl_config_id) if each]


def _of_adapter(session: Session, id: str) -> list[str]:
    """The configs of the job that trained an adapter; none when it was trained elsewhere."""
    job_id = found(session, Adapter, id, "adapter").fine_tuning_job_id
    return _of_job(session, job_id) if job_id else []


def metadata(row: Config) -> ConfigMetadata:
    """The row as it is answered."""
    return ConfigMetadata.model_validate(as_dict(row))
