"""Every command, in any order, with good, wrong and hostile values: a simple model foretells each reply, row and event."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from pydantic import SecretStr

from core.messages import REGISTRY, Query
from core.settings import Settings
from core.store.session import Store
from tests.handlers.machine.looking import LOOKS
from tests.handlers.machine.machine import STEPS, Machine, Tally
from tests.handlers.machine.past import CONFIG, LETTERS
from tests.handlers.machine.plays import PLAYS, Payload
from tests.handlers.machine.studio import Networks, Studio, furnish

# Shrinking takes minutes and ends in other ids and times: the steps that failed are told as they were.
PLAIN = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    print_blob=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)
RUNS = 10  # beyond so many, Hypothesis mostly varies what it has
STEPS_A_RUN = 60


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def machine(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey_url: str,
    upgraded: Path,
    client: redis.Redis,
    tally: Tally,
) -> Iterator[Callable[[str], Machine]]:
    """Makes a machine with a new studio of its own, on the database of that name."""
    project = tmp_path / "project"
    project.mkdir()
    furnish(project)
    networks = Networks(monkeypatch)
    with ExitStack() as stack:

        def make(database: str) -> Machine:
            (project / "export.json").unlink(missing_ok=True)
            shutil.rmtree(project / "data", ignore_errors=True)
            name, url = uuid4().hex[:8], None
            if database == "postgresql":
                url = SecretStr(stack.enter_context(request.getfixturevalue("postgresql").database(tmp_path)))
            using = Settings(
                home=tmp_path / name,
                project=project,
                namespace=name,
                FTS_REDIS_URL=SecretStr(valkey_url),
                database_url=url,
                patience_seconds=1e9,  # that room is kept for who waits long, tests of scheduling show
            )
            store = Store(using)
            if store.is_sqlite:
                shutil.copyfile(upgraded, store.url.database or "")
            made = Machine(Studio(using, store, client), tally)
            networks.model = made.model
            return made

        yield make


def test_every_command_is_played_and_every_query_looked_at() -> None:
    """A new message needs a play or a look: what may be asked, what must come of it, and what it changes."""
    queries = {name for name, kind in REGISTRY.items() if issubclass(kind, Query)}
    assert set(LOOKS) == queries
    assert set(PLAYS) == REGISTRY.keys() - queries
    assert set(PLAYS) < set(STEPS)


def test_every_dead_letter_goes_out_as_the_model_says(machine: Callable[[str], Machine]) -> None:
    """Each as it is, with another payload and under another name: too many ways for a few steps to come by."""
    made = machine("sqlite")
    for id in [*LETTERS, "gone"]:
        for payload in (None, {**CONFIG, "type": "tea"}, CONFIG):
            for name in (None, "Explode", "AddConfig"):
                asked = {"payload": payload, "name": name}
                given = {field: value for field, value in asked.items() if value is not None}
                made.deliver("RequeueDeadLetter", {"id": id, **given}, twice=True)
    assert made.model.requeued.keys() == LETTERS.keys()


def test_an_export_to_cloudera_goes_as_the_model_says(machine: Callable[[str], Machine]) -> None:
    """It takes a model of the Hub, an adapter of that in the project and a runner there: too much for a few steps to come by."""
    made = machine("sqlite")
    told: Payload = {"name": "far", "description": None}
    made.deliver("AddModel", {**told, "type": "huggingface", "huggingface_name": "org/base"}, twice=False)
    (base,) = made.model.find("models", name="far")
    place = {"type": "project", "model_id": base, "location": "adapters/hub"}
    made.deliver("AddAdapter", {**told, **place}, twice=False)
    (adapter,) = made.model.find("adapters", name="far")
    asked: Payload = {"type": "cml_model", "base_model_id": base, "adapter_id": adapter, "model_name": "served"}
    asked |= {"num_cpu": 1, "num_gpu": 0, "num_memory": 1}
    made.deliver("ExportModel", asked, twice=True)
    runner = {"host": "c", "cpus": 8, "memory": 64.0, "engines": ["cml_model"], "marker": made.model.marker}
    made.deliver("RegisterRunner", {**runner, "runner_id": "c"}, twice=False)
    for more in ({"type": "merged", "auth": False}, {}, {}, {"model_name": "open", "auth": False}):
        made.deliver("ExportModel", {**asked, **more}, twice=True)
    made.deliver("ReportProgress", {"runner_id": "c", "incarnation": 1, "jobs": []}, twice=False)
    made.deliver("RemoveAdapter", {"id": adapter}, twice=False)
    made.look("GetOverview", {"events": 0})
    made.all_holds()
    assert [made.model.tables["jobs"][id]["status"] for id in made.model.tables["endpoints"]] == ["assigned"] * 2


def test_a_runner_that_registers_again_goes_as_the_model_says(machine: Callable[[str], Machine]) -> None:
    """Before it has reported, when it was drained, and when it sees the artifacts at last: few steps come by that."""
    made = machine("sqlite")
    for id, marker, draining in [
        ("c", "", False),
        *[("c", made.model.marker, False)] * 2,
        *[("d", made.model.marker, True)] * 2,
    ]:
        offered = {"host": "c", "cpus": 8, "memory": 64.0, "engines": ["legacy"], "marker": marker, "runner_id": id}
        made.deliver("RegisterRunner", offered, twice=True)
        if draining:
            made.deliver("DrainRunner", {"id": id}, twice=True)
    made.all_holds()


@pytest.mark.timeout(600)  # some 15 seconds, but ten times as long on a machine that does much else
@pytest.mark.parametrize(("database", "runs"), [("sqlite", 6), ("postgresql", 4)])
def test_a_few_hundred_steps_go_as_the_model_says(
    machine: Callable[[str], Machine], tally: Tally, database: str, runs: int
) -> None:
    """The same steps each time."""
    few = settings(PLAIN, max_examples=runs, stateful_step_count=STEPS_A_RUN, derandomize=True)
    run_state_machine_as_test(lambda: machine(database), settings=few)
    assert steps(tally) >= (runs - 1) * STEPS_A_RUN * 0.8


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_ten_thousand_steps_go_as_the_model_says(
    machine: Callable[[str], Machine], tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other steps each night, until there are enough, and each command was done and was not done."""
    many = settings(PLAIN, max_examples=RUNS, stateful_step_count=STEPS_A_RUN)
    while steps(tally) < 10_000 or missing(tally):
        run_state_machine_as_test(lambda: machine("sqlite"), settings=many)
        assert steps(tally) < 100_000, f"never happened: {missing(tally)}"
    with capsys.disabled():
        done = sum(number for (name, what), number in tally.items() if what == "done" and name in PLAYS)
        not_done = sum(number for (name, what), number in tally.items() if what == "not done" and name in PLAYS)
        print(f"\n{steps(tally):,} steps: {done:,} commands done, {not_done:,} refused")  # noqa: T201


def steps(tally: Tally) -> int:
    """How many commands were drawn."""
    return sum(number for (name, what), number in tally.items() if what == "step" and name in PLAYS)


def missing(tally: Tally) -> set[tuple[str, str]]:
    """What has not come of a command or a query yet."""
    wanted = {(name, what) for name in PLAYS for what in ("done", "not done")} | {(name, "done") for name in LOOKS}
    return wanted - {("TestNotifications", "done")} - set(tally)  # it is refused where nobody is to be told
