"""Whatever the rows of a file hold, an import ends with an outcome for each, and every list, export and job after it works."""

from __future__ import annotations

import json
import random
import string
from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from core.store.tables import TABLE_TO_MODEL, Job
from tests.handlers.test_database import NewStudio, resources, studio  # noqa: F401  # a fixture
from tests.handlers.work import add_inputs, say

LONG = "".join(random.Random(1).choices(string.ascii_letters, k=9_000))  # nothing that compression makes short
VALUES: list[Any] = [
    None, "", 0, 1, -1, 2**31, 2**63, 10**30, 0.5, -1.5, 1e308, True, False, "x", " x ", "\0", "\ud800", LONG, "NaN", "1e400",
    [], {}, [1], [{}], {"a": 1}, {"a": None}, {"a": "b"}, {"a": {"b": [1]}}, [[[[1]]]], "{}", "[]", "{", "[1,2]", '{"a": 1}',
    "huggingface", "project", "queued", "succeeded", "lora_config", "axolotl", "m", "d", "p", "../../etc/passwd", "{a}", "{",
    "\x1b[31m", "2024-01-01", "'; DROP TABLE models; --", "1_000", " 5 ", "٣",
]  # fmt: skip
GOOD: dict[str, dict[str, Any]] = {
    "models": {"type": "project"},
    "datasets": {"type": "project_csv", "features": '["a"]', "preview": [{"a": "b"}]},
    "prompts": {"prompt_template": "x", "input_template": "x", "completion_template": "x"},
    "adapters": {"type": "project"},
    "configs": {"type": "custom"},
}
LISTS = ("Datasets", "Models", "Prompts", "Adapters", "Configs", "FineTuningJobs", "EvaluationJobs")


def row(dice: random.Random, table: str, number: int) -> dict[str, Any]:
    """A row with up to three columns that hold anything."""
    made = {
        "id": f"{table}-{number}",
        "name": f"{table} {number}",
        "config": json.dumps({"n": number}),
        **GOOD.get(table, {}),
    }
    columns = [column.name for column in (TABLE_TO_MODEL | {"jobs": Job})[table].__table__.columns]
    for name in dice.sample(columns, k=dice.randint(0, 3)):
        made[name] = dice.choice(VALUES)
    return made


def file(dice: random.Random, rows: int) -> dict[str, Any]:
    tables: dict[str, Any] = {name: [row(dice, name, number) for number in range(rows)] for name in TABLE_TO_MODEL}
    jobs = [{**row(dice, "jobs", number), "id": f"fine_tuning_jobs-{number}"} for number in range(rows)]
    return {**tables, "jobs": {"schema": "DROP TABLE models", "data": jobs}}


def listed(desk: Desk, name: str) -> list[dict[str, Any]]:
    (rows,) = (each for each in say(desk, f"List{name}", limit=1000).values() if isinstance(each, list))
    return rows


def holds(studio: NewStudio, seed: int, rows: int) -> None:  # noqa: F811
    dice, desk = random.Random(seed), studio(f"from-{seed}")
    add_inputs(desk.store)
    reply = say(desk, "ImportDatabase", imported_json=json.dumps(file(dice, rows)))
    assert {sum(each[end] for end in ("inserted", "mended", "skipped", "failed")) for each in reply["tables"]} == {rows}
    found = {name: listed(desk, name) for name in LISTS}
    assert min(map(len, found.values())) > rows / 10
    for number in range(rows):
        ids = {f"{name}_id": dice.choice(found[f"{name}s".capitalize()])["id"] for name in ("dataset", "prompt")}
        asked = {"adapter_name": f"x{number}", "base_model_id": dice.choice(found["Models"])["id"], "num_gpu": 0, **ids}
        for message, payload in (
            (
                "StartFineTuningJob",
                {**asked, "lora_config_id": dice.choice([None, dice.choice(found["Configs"])["id"]])},
            ),
            ("PreviewPrompt", ids),
            ("GeneratePrompt", {"dataset_id": ids["dataset_id"]}),
            ("RemoveModel", {"id": asked["base_model_id"]}),
            ("RemoveFineTuningJob", {"id": dice.choice(found["FineTuningJobs"])["id"], "remove_files": True}),
        ):
            told = answer(desk, message, payload, None)
            assert told["ok"] or told["code"] == "refused", (message, payload, told)
    again = studio(f"to-{seed}")
    told = say(again, "ImportDatabase", imported_json=say(desk, "ExportDatabase")["exported_json"])
    assert {each["failed"] for each in told["tables"]} == {0}, told["rows"]
    assert resources(again) == resources(desk)


def test_a_file_of_anything_is_imported_as_far_as_it_can_be(studio: NewStudio) -> None:  # noqa: F811
    holds(studio, 1, 25)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_many_files_of_anything_are_imported_as_far_as_they_can_be(studio: NewStudio) -> None:  # noqa: F811
    for seed in range(2, 8):
        holds(studio, seed, 120)
