"""Sixteen senders at once, with what collides: names, equal contents, edits of one row, removals, jobs. Every reply is right.

Right is what one sender after the other could have been told, in some order: of each name and content one is first, an edit
undoes no other field's, what was removed was removed once, and the log tells the same jobs as the tables.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.client import StudioClient
from core.errors import Conflict, Refused, StudioError
from core.events import fold_status
from core.messages import parse
from core.settings import Settings
from core.store.eventlog import events_after
from core.store.session import Store
from core.store.tables import Config, Dataset, Job, Prompt
from core.types import JobStatus
from tests.handlers.crowd import together
from tests.handlers.test_process import environment_of, running
from tests.handlers.work import add_inputs

SENDERS = 16
ROWS = 4  # prompts that all senders edit


@dataclass
class Told:
    """What one command was answered: `value`, or the rules that it broke; `event` is the last one that the reply reflects."""

    name: str
    payload: dict[str, Any]
    value: dict[str, Any] = field(default_factory=dict)
    rules: set[str] = field(default_factory=set)
    code: str = ""
    event: int = 0


def tell(client: StudioClient, name: str, /, **payload: Any) -> Told:
    told = Told(name, payload)
    try:
        answer = client.ask(parse(name, payload), timeout=120)
    except StudioError as error:
        told.code, told.rules = type(error).__name__, {each.rule for each in error.breaches}
        assert isinstance(error, Refused | Conflict), f"{name}: {error}"
    else:
        told.value = answer.value.model_dump(mode="json")
        assert answer.as_of is not None
        told.event = answer.as_of.event
    return told


class Sender:
    """One of the crowd: commands in an order of its own, over names that all share."""

    def __init__(self, client: StudioClient, number: int, commands: int) -> None:
        self.client, self.number, self.commands = client, number, commands
        self.dice = random.Random(number)
        self.told: list[Told] = []

    def run(self) -> list[Told]:
        ways = [
            self.config,
            self.config,
            self.prompt,
            self.edit,
            self.edit,
            self.edit,
            self.remove,
            self.job,
            self.look,
        ]
        for turn in range(self.commands):
            way = self.dataset if turn % 12 == 11 else self.dice.choice(ways)
            way(turn)
        return self.told

    def say(self, name: str, /, **payload: Any) -> Told:
        self.told.append(tell(self.client, name, **payload))
        return self.told[-1]

    def shared(self, each: int = 4) -> int:
        """A number that some other senders come upon too."""
        return self.dice.randrange(max(2, self.commands * SENDERS // (9 * each)))

    def config(self, turn: int) -> None:
        self.say("AddConfig", type="custom", config=json.dumps({"shared": self.shared()}))

    def prompt(self, turn: int) -> None:
        fields = {"prompt_template": "{q}{a}", "input_template": "{q}", "completion_template": "{a}", "dataset_id": "d"}
        self.say("AddPrompt", prompt={"name": f"prompt {self.shared()}", **fields})

    def dataset(self, turn: int) -> None:
        self.say("AddDataset", type="project_csv", name=f"data {self.shared(8)}", location="t.csv")

    def edit(self, turn: int) -> None:
        changed = self.dice.choice(("name", "description"))
        row = f"row {self.dice.randrange(ROWS)}"
        self.say("EditPrompt", id=row, **{changed: f"{row} {changed} {self.number}.{turn}"})

    def remove(self, turn: int) -> None:
        self.say("RemoveConfig", id=f"spare {self.shared()}")

    def job(self, turn: int) -> None:
        asked = {"base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "num_gpu": 0, "num_memory": 1}
        started = self.say("StartFineTuningJob", adapter_name=f"adapter-{self.shared()}", **asked)
        if started.value and self.dice.random() < 0.5:
            self.say("CancelJob", id=started.value["fine_tuning_job"]["id"])

    def look(self, turn: int) -> None:
        name = self.dice.choice(("ListPrompts", "ListConfigs", "ListDatasets", "ListFineTuningJobs"))
        self.say(name, limit=1000)


@pytest.fixture(params=["sqlite", "postgresql"])
def studio(
    request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str, ns: str
) -> Iterator[tuple[Settings, Store]]:
    """A studio whose commands two processes do, and a third what is slow."""
    environment = environment_of(tmp_path, valkey_url, ns)
    settings = Settings(home=tmp_path / ".app", project=tmp_path, namespace=ns, FTS_REDIS_URL=SecretStr(valkey_url))
    with ExitStack() as stack:
        if request.param == "postgresql":
            url = stack.enter_context(request.getfixturevalue("postgresql").database(tmp_path))
            settings = settings.model_copy(update={"database_url": SecretStr(url)})
            environment["FTS_DATABASE_URL"] = url
        for queues in (("commands", "runners"), ("commands",), ("slow",)):
            stack.enter_context(running(environment, "-m", "actors.app", *queues))
        store = Store(settings)
        stack.callback(store.close)
        yield settings, store


def fill(store: Store, project: Path) -> None:
    """What the senders edit and remove."""
    (project / "t.csv").write_text("q,a\n1,2\n")
    add_inputs(store)
    with store.write() as unit:
        for number in range(ROWS):
            templates = {"prompt_template": "{q}", "input_template": "{q}", "completion_template": "{a}"}
            unit.session.add(
                Prompt(id=f"row {number}", name=f"row {number}", dataset_id="d", type="in_place", **templates)
            )
        for number in range(2_000):
            unit.session.add(
                Config(id=f"spare {number}", type="custom", config="{}", is_default=0, content_hash=f"spare {number}")
            )


def check_all(store: Store, told: list[Told]) -> None:
    one_winner(told, "AddPrompt", lambda each: each.payload["prompt"]["name"], "PR-001")
    one_winner(told, "AddDataset", lambda each: each.payload["name"], "DS-101")
    equal_configs(told)
    edits_stand(store, told)
    removed_once(store, told)
    jobs_stand(store, told)
    assert [each for each in told if each.name.startswith("List") and not each.value] == []


def one_winner(told: list[Told], name: str, of: Any, rule: str) -> None:
    ends: dict[str, list[set[str]]] = defaultdict(list)
    for each in told:
        if each.name == name:
            ends[of(each)].append(each.rules)
    assert ends and max(map(len, ends.values())) > 1, f"no two senders of {name} wanted the same"
    for wanted, rules in ends.items():
        assert Counter(map(frozenset, rules)) == Counter({frozenset(): 1, frozenset({rule}): len(rules) - 1}) - Counter(
            {frozenset({rule}): 0}
        ), wanted


def equal_configs(told: list[Told]) -> None:
    by_content: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in told:
        if each.name == "AddConfig":
            by_content[each.payload["config"]].append(each.value)
    for content, values in by_content.items():
        assert len({value["config"]["id"] for value in values}) == 1, content
        assert sum(not value["deduplicated"] for value in values) == 1, content


def edits_stand(store: Store, told: list[Told]) -> None:
    """Of each field the last edit stands, whatever was edited beside it."""
    edits = sorted((each for each in told if each.name == "EditPrompt"), key=lambda each: each.event)
    assert [each for each in edits if each.code] == []
    assert len({each.event for each in edits}) == len(edits), "two edits reflect one event"
    last: dict[tuple[str, str], str] = {}
    for each in edits:
        changed = "name" if "name" in each.payload else "description"
        last[each.payload["id"], changed] = each.payload[changed]
    with store.read() as session:
        for (id, changed), wanted in last.items():
            assert getattr(session.get_one(Prompt, id), changed) == wanted


def removed_once(store: Store, told: list[Told]) -> None:
    removed: dict[str, list[bool]] = defaultdict(list)
    for each in told:
        if each.name == "RemoveConfig":
            removed[each.payload["id"]].append(each.value["removed"])
    assert {sum(ends) for ends in removed.values()} == {1}
    with store.read() as session:
        assert [id for id in removed if session.get(Config, id) is not None] == []


def jobs_stand(store: Store, told: list[Told]) -> None:
    started = {
        each.value["fine_tuning_job"]["id"]: each for each in told if each.name == "StartFineTuningJob" and each.value
    }
    cancelled = {each.payload["id"] for each in told if each.name == "CancelJob" and each.value}
    refused = [each.rules for each in told if each.name == "StartFineTuningJob" and each.code]
    assert all(rules == {"FT-002"} for rules in refused)
    states: dict[str, JobStatus] = {}
    with store.read() as session:
        after = 0
        while page := events_after(session, after):
            for event in page:
                fold_status(states, event)
            after = page[-1].id
        rows = {row.id: row.status for row in session.query(Job)}
        names = Counter(row.name for row in session.query(Job) if row.status == "queued")
        assert max(names.values(), default=1) == 1, "two unfinished jobs write one adapter"
        for table in (Prompt, Dataset):
            counted = Counter(row.name for row in session.query(table))
            assert max(counted.values()) == 1
    assert rows == states == {id: "cancelled" if id in cancelled else "queued" for id in started}


def crowd(studio: tuple[Settings, Store], project: Path, commands: int) -> int:
    """Let all senders loose, and check what they were told; how many commands there were."""
    settings, store = studio
    fill(store, project)
    with StudioClient(settings) as client:
        told = [
            each for some in together(SENDERS, lambda number: Sender(client, number, commands).run()) for each in some
        ]
    check_all(store, told)
    return len(told)


def test_two_hundred_commands_of_sixteen_senders_are_answered_right(
    studio: tuple[Settings, Store], tmp_path: Path
) -> None:
    assert crowd(studio, tmp_path, 15) >= 240


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_two_thousand_commands_of_sixteen_senders_are_answered_right(
    studio: tuple[Settings, Store], tmp_path: Path
) -> None:
    assert crowd(studio, tmp_path, 125) >= 2_000
