"""Jobs that run a user's script: which scripts may be named, who runs them, and what comes of them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import select

from actors.answering import answer
from actors.desk import Desk
from core.store.tables import Adapter
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, job, say, start, write_script


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def asked(desk: Desk, **fields: Any) -> list[dict[str, Any]]:
    request = {"adapter_name": "a", "base_model_id": "m", "dataset_id": "d", "prompt_id": "p", **fields}
    return answer(desk, "StartFineTuningJob", request, None)["breaches"] or []


def test_a_script_that_is_not_there_or_outside_is_refused_and_those_that_are_there_are_named(desk: Desk) -> None:
    write_script(desk, "own/train.py")
    desk.settings.project.joinpath("other.py").write_text("")
    for name in ("gone.py", "../other.py", "own"):
        found = asked(desk, user_script=name)
        assert [each["rule"] for each in found if each["field"] == "user_script"] == ["FT-141"]
    assert "there are: own/train.py" in asked(desk, user_script="gone.py")[0]["message"]


def test_the_job_keeps_the_script_its_hash_and_the_users_config(desk: Desk) -> None:
    path = write_script(desk, "own/train.py", "print(1)")
    row = job(desk, start(desk, user_script="own/train.py", user_config='{"steps": 3}'))
    assert row.engine == "user_script"
    assert (row.spec["user_script"], json.loads(row.spec["user_config"])) == ("own/train.py", {"steps": 3})
    assert row.spec["user_script_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_runner_that_offers_scripts_gets_it_and_its_adapter_is_registered(desk: Desk) -> None:
    write_script(desk, "train.py")
    id = start(desk, user_script="train.py")
    a = Speaker(desk, engines=["user_script"])
    a.begin(id)
    saved = {"type": "artifact", "at": 1.0, "kind": "adapter", "path": "/out/1", "files": {"w": "3"}}
    a.tell(id, saved, SUCCEEDED, begin=10)
    with desk.store.read() as session:
        row = session.scalars(select(Adapter).where(Adapter.fine_tuning_job_id == id)).one()
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["adapter_id"] == row.id


def test_nothing_that_a_request_writes_lands_among_the_scripts(desk: Desk) -> None:
    write_script(desk, "train.py")
    found = asked(desk, out_dir="scripts")
    assert [each["rule"] for each in found] == ["FT-003"] and "the studio's own files" in found[0]["message"]


@pytest.mark.parametrize(("workers", "refused"), [(1, False), (2, True)])
def test_axolotl_on_the_processor_is_one_process(desk: Desk, workers: int, refused: bool) -> None:
    fields = {"framework_type": "axolotl", "axolotl_config_id": "c", "num_gpu": 0, "num_workers": workers}
    assert ("FT-142" in [each["rule"] for each in asked(desk, **fields)]) is refused
