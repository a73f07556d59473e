"""A real studio for one run of the machine: its desk, its tables as they are, and the files and networks around it."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import func, select

from actors import handlers
from actors.answering import answer
from actors.defaults import settle
from actors.desk import Desk
from actors.world import INSPECTORS, RealWorld
from core.errors import Unavailable
from core.messages import REGISTRY, Command
from core.queue import stream
from core.settings import Settings
from core.store.session import Store
from core.store.tables import EVERY_TABLE, EventRow, Inbox
from tests.handlers.machine.adding import repository
from tests.handlers.machine.formats import shipped
from tests.handlers.machine.model import RESOURCES, TABLES, Model, Row, Sent, Tables
from tests.handlers.machine.past import LETTERS
from tests.handlers.machine.values import (
    ADAPTERS,
    COUNT,
    FILES,
    HUB_ADAPTERS,
    HUB_DATASETS,
    HUB_MODELS,
    MODELS,
    REGISTERED,
    SAVED,
    Text,
)

CLOSED = "http://127.0.0.1:9"  # nobody listens there
DEFAULTED = ("training_arguments", "bitsandbytes_config", "lora_config", "generation_config")


class Studio:
    """A studio that was settled, with commands to say and tables to look at."""

    def __init__(self, settings: Settings, store: Store, client: redis.Redis) -> None:
        handlers.load()
        self.desk = Desk(settings, store, client)
        self.events: dict[str, Row] = {}
        settle(self.desk)
        self.desk.publish()
        self.log: list[Sent] = []
        self.remembered: dict[str, str] = {}
        for id, (raw, _) in LETTERS.items():
            client.xadd(f"{settings.namespace}:dead", {"queue": "commands", "reason": "why", "raw": raw}, id=id)

    def say(self, name: str, payload: object, key: str | None = None) -> dict[str, Any]:
        """The reply, as it goes over the wire."""
        reply: dict[str, Any] = json.loads(json.dumps(answer(self.desk, name, payload, key)))
        if key is not None and issubclass(REGISTRY[name], Command):
            self._note(name, payload, key, reply)
        return reply

    def _note(self, name: str, payload: object, key: str, reply: dict[str, Any]) -> None:
        """What the log of messages must hold of it: a line, or one more delivery of what was answered before."""
        whole, code = f"{name} {json.dumps(payload, sort_keys=True)}", reply.get("code") or ""
        if self.remembered.get(key) == whole:
            place = next(i for i, line in enumerate(self.log) if line[:3] == (key, name, code))
            self.log[place] = (key, name, code, self.log[place][3] + 1, payload)
            return
        self.log.append((key, name, code, 1, deepcopy(payload)))
        with self.desk.store.read() as session:
            if key not in self.remembered and session.get(Inbox, key) is not None:
                self.remembered[key] = whole

    def tables(self) -> Tables:
        """Every row of every table."""
        found: Tables = {}
        with self.desk.store.read() as session:
            for name, model in EVERY_TABLE.items():
                rows = session.connection().execute(select(model.__table__).where(*self._fresh(name, model)))
                columns = list(rows.keys())
                read = (dict(zip(columns, row, strict=True)) for row in rows)
                found[name] = {_key(name, row): row for row in read}
            self.events |= found["events"]
            assert session.scalar(select(func.count(EventRow.id))) == len(self.events), "the log is only added to"
        return {**found, "events": dict(self.events)}

    def _fresh(self, name: str, model: Any) -> list[Any]:
        """Of events, those that were not read before."""
        return [model.id > max(map(int, self.events), default=0)] if name == "events" else []

    def top(self) -> int:
        """The id of the last event on the stream."""
        with self.desk.store.read() as session:
            epoch = session.get_one(EVERY_TABLE["meta"], "epoch").value  # type: ignore[attr-defined]
        return stream.top(self.desk.redis, self.desk.settings.namespace, epoch)

    def surround(self, model: Model) -> None:
        """Let the registry be as the model says. (The Hub asks the model itself.)"""
        self.desk.settings.mlflow_tracking_uri = CLOSED if model.registry_away else None
        self.desk.settings.cdsw_project_id = "1" if model.cloudera else None

    def close(self) -> None:
        """Give the connections back."""
        self.desk.store.close()


def _key(table: str, row: Any) -> str:
    names = {
        "metrics": ("job_id", "name", "step"),
        "inbox": ("key",),
        "meta": ("key",),
        "job_members": ("job_id", "attempt", "rank"),
        "comparison_adapters": ("comparison_id", "place"),
        "comparison_questions": ("comparison_id", "number"),
        "trainings": ("job_id",),
        "trained_weights": ("sha256", "job_id"),
    }.get(table, ("id",))
    return "\0".join(str(row[name]) for name in names)


def begun(seen: Tables) -> Model:
    """The model of a studio that was settled: what it begins with is taken as given."""
    model = Model({table: {} for table in TABLES}, seen["meta"]["marker"]["value"])
    model.letters = {*LETTERS}
    for table in RESOURCES:
        for id, row in seen[table].items():
            model.put(table, id, **_known(table, row))
    model.begin()
    return model


def _known(table: str, row: Row) -> Row:
    left_out = {
        "id",
        "location",
        "features",
        "column_types",
        "preview",
        "is_chat",
        "rows",
        "bytes",
        "sha256",
        "revision",
        "files",
        "splits",
        "shape",
        "source",
        "mlflow_experiment_id",
        "mlflow_run_id",
    }
    known = {
        name: value for name, value in row.items() if name not in left_out | {"config", "content_hash", "framework"}
    }
    if table in ("datasets", "models", "adapters"):
        known |= {"_outside": False, "_place": row["location"]}
    if table == "datasets":
        known |= {"_columns": tuple(json.loads(row["features"] or "[]")), "_rows": bool(row["preview"])}
        known |= {"_chat": bool(row["is_chat"]), "_splits": tuple(row["splits"] or ()), "_count": row["rows"]}
    if table == "configs":
        kind, name = row["type"], row["description"]
        content = "default" if kind in DEFAULTED and row["model_family"] is None else f"shipped {row['id']}"
        formats = (name, shipped()[name]) if kind == "axolotl_dataset_formats" else None
        known |= {"_content": content, "_text": Text(kind, row["config"], content, formats=formats)}
    return known


def furnish(project: Path) -> None:
    """Make the files that values.py tells of."""
    for path, columns in FILES.items():
        (project / path).parent.mkdir(exist_ok=True)
        _write_rows(project / path, columns)
    for path, text in {"ragged.csv": "q,a\n1\n", "empty.csv": "", "broken.jsonl": "{", "notes.txt": "x"}.items():
        (project / path).write_text(text)
    for path in ("folder", "folder.csv", "out", "scripts"):
        (project / path).mkdir()
    (project / "scripts/train.py").write_text("")
    (project / "outside").symlink_to("/etc")
    (project / "link.csv").symlink_to("/etc/passwd")
    for path, family in MODELS.items():
        _write_model(project / path, {"architectures": [family]} if family else {})
    for path, name in {"models/none": "", "models/pickled": "pytorch_model.bin"}.items():
        (project / path).mkdir()
        (project / path / (name or "config.json")).write_text("{}")
    _write_model(project / "models/broken", {})
    (project / "models/broken/config.json").write_text("[")
    for path, base in ADAPTERS.items():
        (project / path).mkdir(parents=True)
        (project / path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
        (project / path / "adapter_model.safetensors").write_bytes(b"weights")
    for path, content in {"adapters/pickled": "{}", "adapters/list": "[]"}.items():
        (project / path).mkdir()
        (project / path / "adapter_config.json").write_text(content)
    (project / "adapters/list/adapter_model.safetensors").write_bytes(b"weights")


def _write_rows(path: Path, columns: tuple[str, ...]) -> None:
    row: dict[str, Any] = {name: f"a {name}" for name in columns}
    if columns == ("messages",):
        row = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    match path.suffix.lower():
        case ".csv":
            path.write_text(f"{','.join(row)}\n" + f"{','.join(row.values())}\n" * COUNT)
        case ".json":
            path.write_text(json.dumps([row] * COUNT))
        case ".jsonl":
            path.write_text((json.dumps(row) + "\n") * COUNT)
        case ".parquet":
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.table({name: [value] * COUNT for name, value in row.items()}), path)


def _write_model(path: Path, config: dict[str, Any]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")


class Networks:
    """The Hub, the registry and what reads directories of datasets, in place of the real ones; `model` tells what is away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model: Model | None = None
        handlers.load()
        for kind, ask in (("model", self.find_model), ("dataset", self.find_dataset), ("adapter", self.find_adapter)):
            monkeypatch.setitem(INSPECTORS, kind, self._instead(kind, ask))

    def _instead(self, kind: str, ask: Any) -> Any:
        files = INSPECTORS[kind]

        def inspect(message: Any, world: RealWorld) -> Any:
            far = message.type in ("huggingface", "model_registry")
            if far and self.model is not None and self.model.hub_away:
                raise Unavailable("the network is away")
            return (
                ask(message, world) if far or (kind, message.type) == ("dataset", "project") else files(message, world)
            )

        return inspect

    def find_model(self, message: Any, world: RealWorld) -> dict[str, Any]:
        """A model on the Hub, or in the registry."""
        if message.type == "model_registry":
            id = message.model_registry_id
            return self._registered(message, world) if id in REGISTERED else _nothing(id)
        name = repository(message.huggingface_name)
        return {"revision": "c0ffee", "family": HUB_MODELS[name]} if name in HUB_MODELS else _nothing(name)

    @staticmethod
    def _registered(message: Any, world: RealWorld) -> dict[str, Any]:
        id = getattr(message, "model_registry_id", None) or message.cml_registered_model_id
        return {"cml_registered_model_id": id.strip(), "revision": "1", "location": str(world.path("models/tiny"))}

    def find_dataset(self, message: Any, world: RealWorld) -> dict[str, Any]:
        """A dataset on the Hub, or a directory that `datasets` reads."""
        if message.type == "project":
            if message.location not in SAVED:
                return _nothing(message.location)
            return {"features": [*SAVED[message.location]], "rows": 1, "location": str(world.path(message.location))}
        name, config = repository(message.huggingface_name), message.config_name.strip()
        known = name in HUB_DATASETS and config in ("", "en", "de")
        return {"features": [*HUB_DATASETS[name]], "revision": "c0ffee"} if known else _nothing(name)

    def find_adapter(self, message: Any, world: RealWorld) -> dict[str, Any]:
        """An adapter on the Hub, or in the registry."""
        if message.type == "model_registry":
            id = message.cml_registered_model_id
            known = id in REGISTERED
            return {**self._registered(message, world), "base_model": REGISTERED[id]} if known else _nothing(id)
        name = repository(message.huggingface_name)
        return {"revision": "c0ffee", "base_model": HUB_ADAPTERS[name]} if name in HUB_ADAPTERS else _nothing(name)


def _nothing(name: str | None) -> Any:
    raise ValueError(f"{name} was not found")
