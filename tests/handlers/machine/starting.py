"""What starting a job, whichever kind, has in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.handlers.machine.adding import TEMPLATE_RULES, kept, named
from tests.handlers.machine.model import Model, Row
from tests.handlers.machine.plays import Payload, Picker
from tests.handlers.machine.values import BY_TEXT, Text, texts

GREATEST = 2**31 - 1
HUB_NAMES = {"datasets": "huggingface_name", "models": "huggingface_model_name", "adapters": "huggingface_name"}


def resources(pick: Picker) -> Payload:
    """What a job asks for: mostly little."""
    if pick.chance(12):
        return {"num_cpu": GREATEST, "num_gpu": GREATEST, "num_memory": GREATEST}
    asked = {"num_cpu": pick.of([1, 2], [0, -1]), "num_memory": pick.of([1, 4], [0, -GREATEST])}
    return asked | {"num_gpu": pick.of([0, 0, 1], [-1])}


def a_dataset(pick: Picker) -> str:
    """A dataset, mostly one that has a prompt."""
    prompts = pick.model.tables["prompts"].values()
    prompted = [row["dataset_id"] for row in prompts if row["dataset_id"] is not None]
    return pick.of(prompted) if prompted and not pick.chance(4) else pick.id("datasets")


def wrong_resources(payload: Payload) -> dict[str, bool]:
    """Which of them can't be."""
    return {
        "num_cpu": payload["num_cpu"] <= 0,
        "num_gpu": payload["num_gpu"] < 0,
        "num_memory": payload["num_memory"] <= 0,
    }


def lacks(model: Model, prompt: str | None, dataset: str | None) -> bool:
    """Whether the prompt names a column that the dataset lacks, when both are there."""
    row = model.get("prompts", prompt)
    if row is None or model.get("datasets", dataset) is None:
        return False
    names = {name for field in TEMPLATE_RULES for name in named(row[field] or "") or ()}
    return not names <= set(model.columns(dataset))


def misplaced(model: Model, rows: Iterable[tuple[str, str | None]]) -> str | None:
    """The rule about the first of the rows whose files no job can be led to: there are none, or outside the project."""
    for table, id in rows:
        row = model.get(table, id)
        if row is not None and row["_place"] is None and not row[HUB_NAMES[table]]:
            return "MS-109"
        if row is not None and row["_outside"]:
            return "MS-108"
    return None


BEGINNING = {"attempt": 0, "accepted": 0, "losses": 0, "retries": 0, "fresh": False, "checkpoints_asked": 0,
             "preempted_by": None, "runner_id": None, "cancelled": None}  # fmt: skip
# What the runner has told of a job: the furthest checkpoint, and where its results lie.
SAYING_NOTHING: Row = {"_furthest": -1, "_adapter": None, "_model": None, "_label": None, "_spec": True}


def submitted(model: Model, id: str, kind: str, payload: Payload, told: Payload, **more: Any) -> None:
    """A job is queued."""
    state = {"status": "queued", "queued_at": told["created_at"], **BEGINNING}
    size = {"cpus": payload["num_cpu"], "gpus": payload["num_gpu"], "memory": payload["num_memory"], "workers": 1}
    row = {**state, **size, "kind": kind, "engine": kind, "priority": payload.get("priority", 0), "description": None}
    model.put("jobs", id, **{**row, **SAYING_NOTHING, "created_at": told["created_at"], **more})
    model.say("JobQueued", "jobs", id)
    assert told["status"] == "queued"


def given_configs(model: Model, payload: Payload, fields: dict[str, str]) -> bool:
    """Whether a field that takes inline text or an id has neither that can be used."""
    for name, kind in fields.items():
        given = payload.get(name)
        inline = given is not None and given.lstrip().startswith("{")
        if inline and BY_TEXT[kind, given].errors:
            return True
        if given is not None and not inline and unusable_id(model, given, kind):
            return True
    return False


def unusable_id(model: Model, id: str, kind: str) -> bool:
    """Whether that config is not there, or is of another type."""
    row = model.get("configs", id)
    return row is None or row["type"] != kind


def config_of(model: Model, payload: Payload, name: str, kind: str, told: str | None) -> str | None:
    """The config of a field that takes inline text or an id."""
    given = payload.get(name)
    if given is None and kind != "generation_config":
        assert told is None
        return None
    if given is not None and not given.lstrip().startswith("{"):
        assert told == given
        return told
    assert told is not None
    kept(model, Text(kind, "", "default") if given is None else BY_TEXT[kind, given], told)
    return told


def either(pick: Picker, kind: str) -> Any:
    """Inline text, or an id."""
    ids = pick.model.find("configs", type=kind)
    return pick.of([*texts(kind, good=True), *ids, None], [*texts(kind, good=False), "gone", ""])
