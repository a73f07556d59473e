"""Project defaults: brought in once, offline, with every rule; what a user did to them since stays done."""

from __future__ import annotations

import json
import random
import socket
import string
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from actors import handlers
from actors.defaults import load_project_defaults, settle
from actors.desk import Desk
from core.settings import Settings
from core.store.eventlog import events_after
from core.store.session import Store
from core.store.tables import Job
from core.store.upgrade import upgrade
from tests.handlers.work import say

LISTS = {"datasets": "ListDatasets", "models": "ListModels", "prompts": "ListPrompts", "adapters": "ListAdapters"}
PROMPT = {"dataset_id": "d1", "prompt_template": "{q}{a}", "input_template": "{q}", "completion_template": "{a}"}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> Desk:
    """A desk that must not look up a name in the network."""

    def refused(*arguments: object, **options: object) -> Any:
        raise AssertionError(f"the network was asked for {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    return desk


def everything(desk: Desk) -> dict[str, list[dict[str, Any]]]:
    found = {table: say(desk, name)[table] for table, name in LISTS.items()}
    return {**found, "configs": say(desk, "ListConfigs", limit=1000)["configs"]}


def names(desk: Desk, table: str) -> list[str]:
    return [each["name"] for each in everything(desk)[table]]


def notes(desk: Desk) -> list[str]:
    with desk.store.read() as session:
        return [event.message for event in events_after(session, 0, 10_000) if event.type == "DefaultNoted"]


def given(desk: Desk, tmp_path: Path, content: object) -> Desk:
    """The desk with a file of defaults of its own."""
    path = tmp_path / "own" / "defaults.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return replace(desk, settings=desk.settings.model_copy(update={"project_defaults": path}))


def test_a_new_studio_begins_with_the_shipped_defaults_without_the_network(offline: Desk) -> None:
    settle(offline)
    found = everything(offline)
    assert [each["name"] for each in found["datasets"]] == ["Support tickets", "Questions to SQL"]
    tickets, sql = found["datasets"]
    assert (tickets["rows"], tickets["features"]) == (728, ["instruction", "intent"])
    assert sql["features"] == ["question", "context", "answer"]
    assert {each["family"] for each in found["models"]} == {
        "BloomForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
    }
    assert [each["dataset_id"] for each in found["prompts"]] == [tickets["id"], sql["id"]]
    assert [each["id"] for each in found["prompts"]] == ["default-prompt-tickets", "default-prompt-sql"]
    with offline.store.read() as session:
        added = {event.resource_id for event in events_after(session, 0, 10_000) if event.type == "ResourceAdded"}
    assert {each["id"] for rows in found.values() for each in rows} == added
    assert len(notes(offline)) == 4, "each that is of the Hub is told to be there by name only"


def test_a_second_start_changes_nothing(offline: Desk) -> None:
    settle(offline)
    before, told = everything(offline), notes(offline)
    settle(offline)
    assert (everything(offline), notes(offline)) == (before, told)


def test_what_was_renamed_or_removed_stays_so(offline: Desk) -> None:
    settle(offline)
    tickets, sql = everything(offline)["datasets"]
    say(offline, "EditDataset", id=tickets["id"], name="Mine")
    say(offline, "RemoveDataset", id=sql["id"], remove_prompts=True)
    for each in everything(offline)["models"]:
        say(offline, "RemoveModel", id=each["id"])
    for each in everything(offline)["configs"]:
        say(offline, "RemoveConfig", id=each["id"])
    settle(offline)
    assert (names(offline, "datasets"), names(offline, "prompts")) == (["Mine"], ["Ticket to its action"])
    assert names(offline, "models") == []
    assert everything(offline)["configs"] == []


def test_a_later_file_brings_only_what_is_new_and_links_it_to_what_is_there(offline: Desk, tmp_path: Path) -> None:
    own = {"id": "d1", "type": "huggingface", "name": "one", "huggingface_name": "o/one", "features": ["q", "a"]}
    load_project_defaults(given(offline, tmp_path, {"datasets": [own]}))
    more = {"datasets": [own], "prompts": [{"id": "p1", "name": "first", **PROMPT}]}
    load_project_defaults(given(offline, tmp_path, more))
    found = everything(offline)
    assert names(offline, "datasets") == ["one"]
    assert [each["dataset_id"] for each in found["prompts"]] == [found["datasets"][0]["id"]]


def test_files_are_found_beside_the_defaults_and_nowhere_outside(offline: Desk, tmp_path: Path) -> None:
    rows = [{"id": "in", "type": "project_csv", "name": "in", "location": "rows.csv"}]
    rows += [{"id": "out", "type": "project_csv", "name": "out", "location": "/etc/passwd.csv"}]
    desk = given(offline, tmp_path, {"datasets": rows})
    (tmp_path / "own" / "rows.csv").write_text("q,a\n1,2\n")
    load_project_defaults(desk)
    assert names(offline, "datasets") == ["in"]
    assert any("out was left out: DS-003" in note for note in notes(offline))


def test_the_shipped_dataset_is_trained_on_wherever_the_project_lies(offline: Desk) -> None:
    settle(offline)
    (dataset,) = (each for each in everything(offline)["datasets"] if each["type"] == "project_csv")
    asked = {"base_model_id": "default-model-bloom", "prompt_id": "default-prompt-tickets", "adapter_name": "tickets"}
    job = say(offline, "StartFineTuningJob", dataset_id=dataset["id"], **asked)["fine_tuning_job"]
    with offline.store.read() as session:
        assert session.get_one(Job, job["id"]).spec["dataset"]["location"] == dataset["location"]


LONG = "".join(random.Random(1).choices(string.ascii_letters, k=9_000))  # no index of PostgreSQL holds it


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not valid JSON"),
        ('{"models": [], "models": []}', "key 'models' is there twice"),
        ({"models": [{"id": LONG, "name": LONG, "type": "project", "location": "x"}]}, "MS-101"),
        ([], "must hold an object of lists"),
        ({"datasets": {}}, "must hold an object of lists"),
        ({"datasets": [7]}, "entry 0 of datasets is no object"),
        ({"datasets": [{"name": 7, "type": "huggingface"}]}, "MS-101"),
        ({"datasets": [{"name": "x", "type": "zip"}]}, "DS-001"),
        ({"datasets": [{"name": "x", "type": "huggingface", "huggingface_name": "o/x", "features": "["}]}, "left out"),
        ({"models": [{"name": "x", "type": "project", "location": "gone"}]}, "MD-103"),
        ({"models": [{"name": "x", "type": "project", "location": "x" * 300}]}, "too long"),
        ({"prompts": [{"name": "x", **PROMPT}]}, "PR-002"),
        ({"adapters": [{"name": "x", "type": "project", "model_id": "m", "location": "gone"}]}, "AD-0"),
        ({"configs": [{"type": "lora_config", "config": '{"rank": 1}'}]}, "CF-102"),
        ({"configs": [{"type": "custom", "config": "{}", "is_default": "yes"}]}, "is_default 1 or 0"),
        ({"fine_tuning_jobs": [{"id": "j"}]}, "import the rest"),
        ({"dragons": [{"id": "j"}]}, "import the rest"),
    ],
)
def test_what_can_not_be_brought_in_is_told_once_and_stops_nothing(
    offline: Desk, tmp_path: Path, content: Any, said: str
) -> None:
    good = {"type": "lora_config", "config": '{"r": 5}', "description": "good"}
    if isinstance(content, dict) and not isinstance(content.get("datasets"), dict):
        content = {**content, "configs": [*content.get("configs", []), good]}
    desk = given(offline, tmp_path, content)
    for _ in range(2):
        load_project_defaults(desk)
        (note,) = notes(offline)
        assert said in note
    good_ones = [each for each in everything(offline)["configs"] if each["description"] == "good"]
    assert len(good_ones) == (1 if isinstance(content, dict) and "configs" in content else 0)


def test_an_entry_that_was_left_out_comes_in_when_its_file_is_there(offline: Desk, tmp_path: Path) -> None:
    desk = given(
        offline, tmp_path, {"datasets": [{"id": "d", "type": "project_csv", "name": "d", "location": "r.csv"}]}
    )
    load_project_defaults(desk)
    assert names(offline, "datasets") == []
    (tmp_path / "own" / "r.csv").write_text("q,a\n1,2\n")
    load_project_defaults(desk)
    assert names(offline, "datasets") == ["d"]


def test_a_resource_of_the_same_name_is_left_as_it_is(offline: Desk) -> None:
    mine = {"type": "project_csv", "name": "Support tickets", "location": "mine.csv"}
    (offline.settings.project / "mine.csv").write_text("instruction,intent\na,b\n")
    id = say(offline, "AddDataset", **mine)["dataset"]["id"]
    settle(offline)
    found = everything(offline)
    assert [each["id"] for each in found["datasets"] if each["name"] == "Support tickets"] == [id]
    assert found["prompts"][0]["dataset_id"] == id


def test_a_file_that_is_not_there_is_told(offline: Desk, tmp_path: Path) -> None:
    using = offline.settings.model_copy(update={"project_defaults": tmp_path / "gone.json"})
    load_project_defaults(replace(offline, settings=using))
    assert "can't be read" in notes(offline)[0]


def test_the_guides_name_of_the_setting_is_honoured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings().defaults_file.name == "project_defaults.json"
    monkeypatch.setenv("FINE_TUNING_STUDIO_PROJECT_DEFAULTS", str(tmp_path / "mine.json"))
    assert Settings().defaults_file == tmp_path / "mine.json"


@pytest.fixture
def another(desk: Desk, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a second studio, whose database is empty."""
    update: dict[str, Any] = {"home": tmp_path / "another"}
    if not desk.store.is_sqlite:
        update["database_url"] = SecretStr(request.getfixturevalue("fresh_postgres"))
    return desk.settings.model_copy(update=update)


def test_processes_that_start_together_bring_everything_in_once(desk: Desk, another: Settings) -> None:
    handlers.load()

    def begin(number: int) -> None:
        store = Store(another)
        upgrade(store)
        settle(Desk(another, store, desk.redis))
        store.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(4)))
    store = Store(another)
    begun = Desk(another, store, desk.redis)
    assert (len(names(begun, "datasets")), len(names(begun, "models")), len(names(begun, "prompts"))) == (2, 3, 2)
    assert len(notes(begun)) == 4
    store.close()


def test_what_one_studio_exports_another_has_its_defaults_of_already(offline: Desk, another: Settings) -> None:
    settle(offline)
    text = say(offline, "ExportDatabase")["exported_json"]
    store = Store(another)
    upgrade(store)
    other = Desk(another, store, offline.redis)
    settle(other)
    before = everything(other)
    told = say(other, "ImportDatabase", imported_json=text)
    assert everything(other) == before
    assert [row["id"] for row in told["rows"]] == [], "what differs in the time of its creation alone is the same"
    store.close()
