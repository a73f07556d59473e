"""What would be refused is told before it is asked for, and nothing is done by asking."""

from __future__ import annotations

from typing import Any

from actors.desk import Desk
from core.store.session import as_of
from core.store.tables import Dataset
from tests.handlers.test_removal import breaches
from tests.handlers.work import add_inputs, say, start


def checked(desk: Desk, name: str, *payloads: dict[str, Any]) -> list[tuple[bool, list[str]]]:
    told = say(desk, "CheckCommand", name=name, payloads=list(payloads))["checked"]
    return [(each["refused"], [breach["rule"] for breach in each["breaches"]]) for each in told]


def test_a_removal_that_would_be_refused_is_told_with_its_reasons_and_nothing_goes(desk: Desk) -> None:
    add_inputs(desk.store)
    start(desk)
    with desk.store.read() as session:
        before = as_of(session)
    told = checked(
        desk, "RemoveDataset", {"id": "d"}, {"id": "gone"}, {"id": "d", "remove_prompts": True}, {"id": 7}, {}
    )
    assert told == [
        (True, ["DS-121", "DS-122"]), (False, []), (True, ["DS-121", "PR-121"]), (True, ["MS-101"]), (True, ["MS-103"]),
    ]  # fmt: skip
    assert checked(desk, "RemovePrompt", {"id": "p"}) == [(True, ["PR-121"])]
    with desk.store.read() as session:
        assert as_of(session) == before and session.get(Dataset, "d") is not None


def test_advice_does_not_refuse(desk: Desk) -> None:
    config = say(desk, "ListConfigs", is_default=True, limit=1)["configs"][0]["id"]
    assert checked(desk, "RemoveConfig", {"id": config}) == [(False, ["CF-121"])]


def test_only_commands_are_checked(desk: Desk) -> None:
    for name in ("ListDatasets", "RemoveEverything"):
        (found,) = breaches(desk, "CheckCommand", name=name, payloads=[])
        assert (found["rule"], found["field"]) == ("MS-104", "name")
