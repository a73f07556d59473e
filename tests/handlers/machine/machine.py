"""The state machine: a rule for every command and query, and what holds after every step."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.seams import NOTE
from actors.ticking import tick
from core.events import Event, fold_status
from core.messages import REGISTRY, Command, Message
from core.types import JobStatus
from tests.handlers.machine import (
    adding,
    asking,
    comparing,
    editing,
    glances,
    importing,
    past,
    planning,
    removing,
    reporting,
    running,
    scoring,
    serving,
    training,
)
from tests.handlers.machine.listing import List
from tests.handlers.machine.looking import LOOKS
from tests.handlers.machine.model import LINKS, RESOURCES, TABLES, WORK, Model, Tables
from tests.handlers.machine.plays import PLAYS, SHAPE, Expected, Payload, Picker, Play, asked
from tests.handlers.machine.running import silence
from tests.handlers.machine.studio import Studio, begun

__all__ = ["PLAYED", "STEPS", "Machine", "Tally"]
Tally = Counter[tuple[str, str]]  # (command, query or happening; "step", "done" or "not done") -> how often
PLAYED = (
    comparing,
    adding,
    asking,
    editing,
    glances,
    importing,
    past,
    planning,
    removing,
    reporting,
    running,
    scoring,
    serving,
    training,
)  # their plays are registered
LISTED = {look.table: name for name, look in LOOKS.items() if isinstance(look, List)}
UNIQUE = {"datasets": "name", "models": "name", "adapters": "name", "prompts": "name", "configs": "content_hash"}
HUB_NAMES = {"datasets": ("huggingface_name", "config_name"), "models": ("huggingface_model_name",)}
OURS = frozenset({"events", "inbox", "messages", "comparison_adapters", "comparison_questions"})
# How a command comes: mostly once; again with its key; with the key of an earlier one; with a wrong shape.
DELIVERIES = st.sampled_from(["once"] * 7 + ["twice", "old key", "misshapen"])
WEATHER = st.tuples(st.sampled_from([(False, False), (True, False), (False, True), (False, False)]), st.booleans())
# How often a step comes, where that is not once in a round: jobs need much before them, and runners report all the time.
OFTEN = {
    "ReportProgress": 9,
    "StartFineTuningJob": 5,
    "StartEvaluationJob": 4,
    "look": 4,
    "AddAdapter": 3,
    "AddPrompt": 3,
    "AddDataset": 3,
    "AddModel": 2,
    "AddConfig": 3,
    "ExportModel": 3,
    "StartEndpoint": 3,
    "StartComparison": 3,
    "AskComparison": 3,
    "StopEndpoint": 2,
    "RegisterRunner": 2,
    "ImportDatabase": 3,
    "CancelJob": 2,
    "PauseJob": 2,
    "ResumeJob": 2,
    "RetryJob": 3,
    "RemoveAdapter": 2,
    "RemoveConfig": 2,
}
HAPPENINGS = ("look", "weather", "silence")
# A report of nothing comes first: what Hypothesis takes for the simplest is what it tries at the beginning of each round.
STEPS = [
    name
    for name in ("ReportProgress", *HAPPENINGS, *sorted(PLAYS.keys() - {"ReportProgress"}))
    for _ in range(OFTEN.get(name, 1))
]
_JOB = {"num_cpu": 1, "num_gpu": 0, "num_memory": 1}
_ROWS = {"prompt_template": "{q}{a}", "input_template": "{q}", "completion_template": "{a}"}
# What every run begins with: enough to start a job, and a runner for it.
FIRST: tuple[tuple[str, Callable[[Model], Payload]], ...] = (
    ("AddDataset", lambda model: {"type": "project_csv", "name": "rows", "location": "rows.csv", "description": None}),
    ("AddModel", lambda model: {"type": "project", "name": "", "location": "models/tiny", "description": None}),
    (
        "AddPrompt",
        lambda model: {
            "prompt": {"name": "p", "dataset_id": model.find("datasets", name="rows")[0], "description": None, **_ROWS}
        },
    ),
    (
        "RegisterRunner",
        lambda model: {
            "host": "a",
            "cpus": 8,
            "memory": 64.0,
            "engines": [*running.ENGINES],
            "marker": model.marker,
            "runner_id": "r0",
        },
    ),
    (
        "AddAdapter",
        lambda model: {
            "type": "project",
            "name": "a",
            "model_id": model.find("models", name="tiny")[0],
            "location": "adapters/tiny",
            "description": None,
        },
    ),
    (
        "StartFineTuningJob",
        lambda model: {
            "adapter_name": "first",
            "base_model_id": model.find("models", name="tiny")[0],
            "dataset_id": model.find("datasets", name="rows")[0],
            "prompt_id": model.find("prompts", name="p")[0],
            **_JOB,
        },
    ),
)


class Machine(RuleBasedStateMachine):
    """One studio and its model. Every command's reply, rows and events are compared with what the model foretells."""

    def __init__(self, studio: Studio, tally: Tally) -> None:
        super().__init__()
        self.studio, self.tally = studio, tally
        self.seen = studio.tables()
        self.model = begun(self.seen)
        self.model.data |= {id: (row["sha256"], row["revision"]) for id, row in self.seen["datasets"].items()}
        self.keys: dict[str, tuple[str, Payload]] = {}
        self.states: dict[str, JobStatus] = {}
        self.changed: set[str] = {*TABLES}

    @initialize(quiet=st.frozensets(st.sampled_from(sorted(PLAYS)), max_size=12))
    def begin(self, quiet: frozenset[str]) -> None:
        """Something to work with; some commands are not said at all this time."""
        self.names = [name for name in STEPS if name not in quiet]
        for name, payload in FIRST:
            self.deliver(name, payload(self.model), twice=False)

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """A command, a query, or something that happens around them."""
        name = data.draw(st.sampled_from(self.names), label="step")
        match name:
            case "look":
                asked_for = data.draw(st.sampled_from(sorted(LOOKS)), label="query")
                self.look(asked_for, data.draw(_looked(asked_for, self.model), label=asked_for))
            case "weather":
                self._weather(*data.draw(WEATHER, label="away, Cloudera"))
            case "silence":
                self._silence()
            case _:
                self._play(name, data)
        self.tally[name, "step"] += 1

    # A command, however it is delivered.

    def _play(self, name: str, data: st.DataObject) -> None:
        payload = data.draw(asked(PLAYS[name], self.model), label=name)
        how = data.draw(DELIVERIES, label="delivery")
        if PLAYS[name].expect(self.model, payload).shapeless:
            self.deliver(name, payload, twice=False)
        elif how == "misshapen":
            self._misshapen(name, *data.draw(misshapen(payload, REGISTRY[name]), label="misshapen"))
        elif how == "old key" and self.keys and issubclass(REGISTRY[name], Command):
            self._old_key(name, payload, data.draw(st.sampled_from(sorted(self.keys)), label="key"))
        else:
            self.deliver(name, payload, twice=how == "twice")

    def deliver(self, name: str, payload: Payload, *, twice: bool) -> None:
        """Say a command, and again with its key; its reply, its key and all that it left are as the model says."""
        key = f"key {len(self.keys)}"
        play, keyed = PLAYS[name], issubclass(REGISTRY[name], Command)
        wanted = play.expect(self.model, payload)
        reply = self._say(name, payload, key, wanted)
        if wanted.remembered and keyed:
            self.keys[key] = (name, payload)
        self._compare(name, play if reply["ok"] else None, payload, reply, keyed and wanted.remembered)
        if twice and key in self.keys:
            again = self.studio.say(name, payload, key)
            assert again == told_again(name, reply), f"{name} was answered otherwise the second time"
            self._compare(name, None, payload, {}, False)
        elif twice:
            self.deliver(name, payload, twice=False)

    def _say(self, name: str, payload: Payload, key: str | None, wanted: Expected) -> dict[str, Any]:
        began = time.time()
        reply = self.studio.say(name, deepcopy(payload), key)
        self.began = began
        self.tally[name, "done" if reply["ok"] else "not done"] += 1
        rules = frozenset(each["rule"] for each in reply["breaches"])
        told = Expected(rules, "" if reply["ok"] else reply["code"])
        assert told == wanted, f"{name} {payload} was answered {told}, the model says {wanted}: {reply.get('message')}"
        return reply

    def _compare(self, name: str, play: Play | None, payload: Payload, reply: Payload, remembered: bool) -> None:
        """Compare what a command left with the model; of one that was not done there is nothing but its key."""
        before, self.seen = self.seen, self.studio.tables()
        self.model.begin()
        if play is not None:
            play.do(self.model, payload, reply["value"], self.seen)
        self.model.data |= {id: (row["sha256"], row["revision"]) for id, row in self.seen["datasets"].items()}
        self._compare_rows(before, name)
        self._compare_events(before)
        self._compare_log()
        keys = self.seen["inbox"].keys() - before["inbox"].keys()
        assert len(keys) == remembered, f"{name}: keys {keys}"
        assert all(self.seen["inbox"][key] == row for key, row in before["inbox"].items())
        if play is not None:
            assert reply["as_of"]["event"] == max(map(int, self.seen["events"]))

    def _compare_rows(self, before: Tables, name: str) -> None:
        for table in self.seen.keys() - OURS:
            one, other = before[table], self.seen[table]
            differ = {id for id in one.keys() | other.keys() if one.get(id) != other.get(id)}
            if table == "metrics":
                self._compare_metrics()
            else:
                strange = differ - {id for where, id in self.model.touched if where == table}
                assert not strange, f"{name} changed {table} {strange}"
            self.changed |= {table} if differ else set()
        for table, rows in self.model.tables.items():
            assert self.seen[table].keys() == rows.keys(), (
                f"{name} left {table} {self.seen[table].keys() ^ rows.keys()}"
            )
        for table, id in self.model.touched:
            if table in self.model.tables and id in self.model.tables[table]:
                self._compare_row(table, id)

    def _compare_log(self) -> None:
        """Every command that had a key is in the log of messages, as often as it came."""
        rows = sorted(self.seen["messages"].values(), key=lambda row: row["id"])
        told = [(row["key"], row["name"], row["code"], row["attempts"]) for row in rows]
        assert told == [line[:4] for line in self.studio.log]
        self.model.log = self.studio.log
        self.model.history[max(map(int, self.seen["events"]))] = deepcopy(self.seen["jobs"])

    def _compare_row(self, table: str, id: str) -> None:
        row, stored = self.model.tables[table][id], self.seen[table][id]
        if "created_at" not in row and table in (*RESOURCES, "jobs"):
            assert self.began - 1 <= stored["created_at"] <= time.time() + 1
            row["created_at"] = stored["created_at"]
        wrong = {name: (stored[name], value) for name, value in row.items() if name[0] != "_" and stored[name] != value}
        assert not wrong, f"{table} {id}: (stored, model) {wrong}"

    def _compare_metrics(self) -> None:
        rows = self.seen["metrics"].values()
        stored = {(row["job_id"], row["name"], row["step"]): (row["value"], row["attempt"]) for row in rows}
        assert stored == self.model.metrics

    def _compare_events(self, before: Tables) -> None:
        rows = [row for id, row in self.seen["events"].items() if id not in before["events"]]
        rows.sort(key=lambda row: row["id"])
        told = [(row["type"], row["kind"], row["resource_id"]) for row in rows]
        assert Counter(told) == Counter(self.model.said), (told, self.model.said)
        assert _by_resource(told) == _by_resource(self.model.said), (told, self.model.said)
        for row in rows:
            fold_status(self.states, Event(prev=0, **row))

    # What changes nothing, whatever it is.

    def _misshapen(self, name: str, payload: object, rules: set[str]) -> None:
        self.tally[name, "not done"] += 1
        reply = self.studio.say(name, payload, f"misshapen {len(self.keys)}")
        told = {each["rule"] for each in reply["breaches"]}
        assert (reply["ok"], reply["code"], told & SHAPE) == (False, "refused", rules), (
            f"{name} {payload}: {reply}, not {rules}"
        )
        self._compare(f"{name} (misshapen)", None, {}, {}, False)

    def _old_key(self, name: str, payload: Payload, key: str) -> None:
        reply = self.studio.say(name, payload, key)
        if self.keys[key] != (name, payload):
            assert reply["code"] == "conflict", f"{name} {payload} with the key of {self.keys[key]}: {reply}"
        self._compare(f"{name} (old key)", None, {}, {}, False)

    # What happens around commands.

    def look(self, name: str, payload: Payload) -> None:
        """Ask a query: what it tells is as the model says, and nothing has changed."""
        reply = self._say(name, payload, None, LOOKS[name].expect(self.model, payload))
        if reply["ok"]:
            LOOKS[name].check(self.model, payload, reply["value"], self.seen)
        self._compare(name, None, payload, {}, False)

    def _weather(self, away: tuple[bool, bool], cloudera: bool) -> None:
        """The Hub or the registry goes away or comes back."""
        self.model.hub_away, self.model.registry_away = away
        self.model.cloudera = cloudera
        self.studio.surround(self.model)

    def _silence(self) -> None:
        """Nobody reports for longer than a lease."""
        before, now = self.seen, time.time()
        for seconds in range(0, 70, 10):
            tick(self.studio.desk, now + seconds)
        self.seen = self.studio.tables()
        self.model.begin()
        silence(self.model, self.seen)
        self.model.touched.add(("meta", "last_tick"))
        self.model.touched.update(("meta", key) for key in before["meta"] if key.startswith(NOTE))
        self._compare_rows(before, "silence")
        self._compare_events(before)

    # What holds after every step.

    @invariant()
    def all_holds(self) -> None:
        """Links, names, the log and the lists, as far as something changed."""
        self._links_lead_somewhere()
        self._names_are_unique()
        self._the_log_tells_the_states()
        self._lists_tell_the_rows()
        self.changed = set()

    def _links_lead_somewhere(self) -> None:
        """Every link leads to a row that is there, or is empty."""
        for table in self.changed & LINKS.keys():
            for id, row in self.seen[table].items():
                for name, target in LINKS[table].items():
                    assert row[name] is None or row[name] in self.seen[target], f"{table} {id} {name} {row[name]}"

    def _names_are_unique(self) -> None:
        """No two rows have the same name, content, or name on the Hub (D-047)."""
        for table in self.changed & UNIQUE.keys():
            rows = self.seen[table].values()
            names = Counter(row[UNIQUE[table]] for row in rows)
            assert max(names.values(), default=1) == 1 and not any(not (name or "").strip() for name in names), names
            if table in HUB_NAMES:
                hub = Counter(tuple(row[name] for name in HUB_NAMES[table]) for row in rows if row[HUB_NAMES[table][0]])
                assert max(hub.values(), default=1) == 1, hub

    def _the_log_tells_the_states(self) -> None:
        """The log alone tells every job's state, and all of it is on the stream."""
        assert self.states == {id: row["status"] for id, row in self.seen["jobs"].items()}
        assert self.studio.top() == max(map(int, self.seen["events"]))

    def _lists_tell_the_rows(self) -> None:
        """What has changed is listed as it is, in its order."""
        for table in sorted(self.changed & LISTED.keys()):
            self.look(LISTED[table], {"limit": 1000})
        if self.changed & {"jobs"}:
            for table in WORK:
                self.look(LISTED[table], {"limit": 1000})
            self._look_back()
        self.look("ListMessages", {"limit": 50, "contains": "add", "state": "done"})

    def _look_back(self) -> None:
        """The queue as it is, and as it was after some earlier step: another one each time."""
        seen = sorted(self.model.history)
        for event in {seen[-1], seen[seen[-1] * 7919 % len(seen)]}:
            self.look("GetQueueAt", {"event": event, "limit": 1000})

    def teardown(self) -> None:
        """Give the connections back."""
        self.studio.close()


def told_again(name: str, reply: dict[str, Any]) -> dict[str, Any]:
    """A reply as it is told to its key: without what is told only once."""
    once = getattr(REGISTRY[name].REPLY, "ONCE", frozenset())
    value = {field: value for field, value in (reply.get("value") or {}).items() if field not in once}
    return {**reply, "value": value} if "value" in reply else reply


def _by_resource(events: list[tuple[str, str, str]]) -> dict[tuple[str, str], list[str]]:
    """The types of each resource's events, in order."""
    found = defaultdict(list)
    for type, kind, id in events:
        found[kind, id].append(type)
    return dict(found)


@st.composite
def _looked(draw: Callable[[st.SearchStrategy[Any]], Any], name: str, model: Model) -> Payload:
    return LOOKS[name].ask(Picker(draw, model))


@st.composite
def misshapen(
    draw: Callable[[st.SearchStrategy[Any]], Any], payload: Payload, kind: type[Message[Any]]
) -> tuple[object, set[str]]:
    """The payload with its shape spoilt, and the rules that say so. Of a foreign one, what no table holds is let in."""
    storable = "MS-102" if kind.FOREIGN else "MS-101"
    ways: list[tuple[object, str]] = [
        (draw(st.sampled_from([None, [], "{}", 17])), "MS-101"),
        ({**payload, "no_such_field": None}, "MS-102"),
        ({**payload, "no_such_field": "a\0"}, storable),
        ({**payload, "no_such_field": 2**70}, storable),
    ]
    for name, value in payload.items():
        ways.append(({**payload, name: [None]}, "MS-101"))
        if value is not None:
            ways.append(({**payload, name: "7" if isinstance(value, int | float) else 7}, "MS-101"))
        if kind.model_fields[name].is_required():
            ways.append(({each: payload[each] for each in payload if each != name}, "MS-103"))
    spoilt, rule = draw(st.sampled_from(ways))
    return spoilt, {rule}
