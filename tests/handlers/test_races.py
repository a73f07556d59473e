"""Senders at once, on both databases: what a rule saw stays true until the command is done, and none gets in another's way (D-131)."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from actors.answering import answer
from actors.desk import Desk
from core.store.tables import Adapter, Dataset, Model, Prompt
from tests.handlers.crowd import together
from tests.handlers.work import Speaker, add_inputs, say, start

SENDERS = 12
ROUNDS = 3
TEMPLATES = {"prompt_template": "{q}{a}", "input_template": "{q}", "completion_template": "{a}"}
ASKED = {"base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "num_cpu": 1, "num_gpu": 0, "num_memory": 1}


def ends(replies: list[dict[str, Any]]) -> set[str]:
    """How the requests ended: done, or refused by which rules."""
    return {
        "done" if each["ok"] else f"{each['code']} {sorted({b['rule'] for b in each['breaches']})}" for each in replies
    }


def ask(desk: Desk, name: str, payload: dict[str, Any], _: int) -> dict[str, Any]:
    return answer(desk, name, payload, None)


def test_of_jobs_that_are_to_train_one_adapter_one_is_queued(desk: Desk) -> None:
    add_inputs(desk.store)
    for number in range(ROUNDS):
        asked = {**ASKED, "adapter_name": f"one-{number}"}
        replies = together(SENDERS, partial(ask, desk, "StartFineTuningJob", asked))
        assert sum(each["ok"] for each in replies) == 1
        assert ends(replies) == {"done", "refused ['FT-002']"}


def test_a_dataset_goes_or_a_job_trains_on_it(desk: Desk) -> None:
    add_inputs(desk.store)

    def do(index: int) -> dict[str, Any]:
        if index % 2:
            return answer(desk, "RemoveDataset", {"id": here, "remove_prompts": True}, None)
        asked = {**ASKED, "dataset_id": here, "prompt_id": here, "adapter_name": f"{here}-{index}"}
        return answer(desk, "StartFineTuningJob", asked, None)

    for number in range(ROUNDS):
        here = f"d{number}"
        with desk.store.write() as unit:
            unit.session.add(Dataset(id=here, type="project_csv", name=here, location="x.csv", features='["q", "a"]'))
            unit.session.add(Prompt(id=here, type="in_place", name=here, dataset_id=here, **TEMPLATES))
        replies = together(SENDERS, do)
        trained = any(each["ok"] for each in replies[::2])
        rules = {"refused ['DS-121', 'PR-121']"} if trained else {"refused ['FT-014', 'FT-015']"}
        assert ends(replies) <= {"done", *rules}
        assert ends(replies[::2]) == ({"done"} if trained else rules)


def test_a_dataset_goes_or_gets_prompts(desk: Desk) -> None:
    def do(index: int) -> dict[str, Any]:
        if index % 3 == 0:
            return answer(desk, "RemoveDataset", {"id": here}, None)
        prompt = {"name": f"{here}-{index}", "dataset_id": here, **TEMPLATES}
        return answer(desk, "AddPrompt", {"prompt": prompt}, None)

    for number in range(ROUNDS):
        here = f"d{number}"
        with desk.store.write() as unit:
            unit.session.add(Dataset(id=here, type="project_csv", name=here, location="x.csv", features='["q", "a"]'))
        replies = together(SENDERS, do)
        kept = say(desk, "ListPrompts", dataset_id=here)["prompts"]
        assert ends(replies) == {"done", "refused ['DS-122']" if kept else "refused ['PR-002']"}


def test_an_adapter_comes_while_its_model_is_removed_and_neither_is_in_the_others_way(desk: Desk) -> None:
    add_inputs(desk.store)
    job = start(desk, "trained")
    runner = Speaker(desk)
    runner.begin(job)
    artifact = {"type": "artifact", "at": 1.0, "kind": "adapter", "path": "/a", "files": {"w": "3"}}

    def do(index: int) -> Any:
        if index == 0:
            return runner.tell(job, artifact, {"type": "finished", "at": 2.0, "outcome": "succeeded"}, begin=10)
        return answer(desk, "RemoveModel", {"id": "m", "cascade": True}, None)

    _, *removals = together(SENDERS, do)
    assert ends(removals) <= {"done", "refused ['MD-121']"}
    with desk.store.read() as session:
        gone = session.get(Model, "m") is None
        assert gone == (session.query(Adapter).count() == 0)


def test_equal_configs_that_are_imported_and_added_at_once_are_stored_once(desk: Desk) -> None:
    rows = [{"type": "custom", "config": json.dumps({"n": number}), "is_default": 0} for number in range(20)]

    def do(index: int) -> dict[str, Any]:
        if index % 2:
            return answer(desk, "AddConfig", {"type": "custom", "config": json.dumps({"n": index})}, None)
        own = [{**row, "id": f"{index}-{number}"} for number, row in enumerate(rows)]
        return answer(desk, "ImportDatabase", {"imported_json": json.dumps({"configs": own})}, None)

    assert ends(together(SENDERS, do)) == {"done"}
    found = [each["config"] for each in say(desk, "ListConfigs", type="custom")["configs"]]
    assert sorted(found) == sorted({f'{{"n": {number}}}' for number in range(20)})
