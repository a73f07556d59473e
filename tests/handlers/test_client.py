"""The clients against real actors in this process: typed calls, and an event stream without a gap."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from actors.answering import answer
from actors.app import make_broker
from actors.desk import Desk
from core.client import AsyncStudioClient, StudioClient
from core.errors import Conflict, NotFound, Refused, Unavailable
from core.events import Event
from core.following import Away, Reset
from core.messages.base import AsOf
from core.messages.configs import AddConfig, GetConfig, ListConfigs
from core.messages.events import ListEvents
from core.queue import embedded, stream
from core.settings import Settings
from core.store.tables import Config, Model

LORA = AddConfig(type="lora_config", config='{"r": 5}')


@pytest.fixture
def actors(desk: Desk) -> Iterator[None]:
    broker = make_broker(desk)
    queues = {"commands", "slow"}
    worker = dramatiq.Worker(broker, queues=queues, worker_threads=4, worker_timeout=50)  # it takes two to stop
    worker.start()
    yield
    worker.stop()
    broker.close()


@pytest.fixture
def studio(studio_settings: Settings, actors: None) -> Iterator[StudioClient]:
    with StudioClient(studio_settings) as made:
        yield made


class Watcher:
    """Follows in a thread, and keeps what it saw."""

    def __init__(self, settings: Settings, after: AsOf | None) -> None:
        self.seen: list[Any] = []
        self.client = StudioClient(settings)
        threading.Thread(target=self._run, args=(after,), daemon=True).start()

    def _run(self, after: AsOf | None) -> None:
        for each in self.client.follow(after):
            self.seen.append(each)

    def ids(self) -> list[int]:
        return [each.id for each in self.seen if isinstance(each, Event)]

    def until(self, holds: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.01)


def config(index: int) -> dict[str, str]:
    return {"type": "lora_config", "config": json.dumps({"r": index})}


def test_a_call_returns_what_its_message_promises(studio: StudioClient) -> None:
    added = studio.ask(LORA)
    assert added.value.config.config == '{"r": 5}'
    again = studio.ask(LORA)
    assert [each.rule for each in again.breaches] == ["CF-004"]
    assert again.value.deduplicated
    assert again.value.config.id == added.value.config.id
    assert added.as_of is not None
    assert added.as_of.event > 0
    assert studio.call(GetConfig(id=added.value.config.id)) == studio.call(GetConfig(id=added.value.config.id))


def test_what_goes_wrong_is_raised_as_what_it_is(studio: StudioClient) -> None:
    with pytest.raises(NotFound, match="config with id 'nope'"):
        studio.call(GetConfig(id="nope"))
    with pytest.raises(Refused) as refused:
        studio.call(AddConfig(type="toml", config="{"))
    assert {each.rule for each in refused.value.breaches} >= {"CF-001", "CF-002"}
    studio.call(LORA, key="mine")
    with pytest.raises(Conflict):
        studio.call(AddConfig(type="lora_config", config='{"r": 6}'), key="mine")


def test_a_message_that_is_only_sent_is_done(studio: StudioClient, desk: Desk) -> None:
    key = studio.send(LORA)
    assert studio.call(LORA, key=key).deduplicated is False


def test_a_list_is_read_through_all_its_pages(
    studio: StudioClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.client.PAGE", 2)
    (desk.settings.roots[0] / "t.csv").write_text("a\n1\n")
    for index in range(5):
        assert answer(desk, "AddDataset", {"type": "project_csv", "name": f"d{index}", "location": "t.csv"}, None)["ok"]
    assert [each.name for each in studio.get_datasets()] == [f"d{index}" for index in range(5)]
    assert not [*studio.get_models(), *studio.get_adapters(), *studio.get_prompts()]
    assert not [*studio.get_fine_tuning_jobs(), *studio.get_evaluation_jobs()]


def test_what_is_removed_while_a_list_is_read_stops_nothing(
    studio: StudioClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.client.PAGE", 3)
    with desk.store.write() as unit:
        unit.session.add_all(Model(id=f"{n}", type="project", name=f"m{n}", created_at=n) for n in range(9))
    seen = []
    for row in studio.rows("ListModels", "models"):
        seen.append(row.id)
        if row.id in "25":  # the last of a page, and what is around it
            for id in ("2", "1", "6") if row.id == "2" else ("5", "4", "3", "0"):
                assert answer(desk, "RemoveModel", {"id": id}, None)["ok"]
    assert seen == ["0", "1", "2", "3", "4", "5", "7", "8"]


def test_a_studio_that_is_not_running_is_said_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with StudioClient(Settings(home=tmp_path)) as nobody, pytest.raises(Unavailable, match="fts up"):
        nobody.call(ListConfigs())
    assert time.monotonic() - began < 5  # of 30 that a reply is waited for


def test_actors_that_are_away_are_said_after_the_timeout(studio_settings: Settings) -> None:
    with (
        StudioClient(studio_settings) as nobody,
        pytest.raises(Unavailable, match=r"no reply to AddConfig within 0\.2 s"),
    ):
        nobody.call(LORA, timeout=0.2)


def test_a_watcher_sees_every_event_once_and_in_order(
    studio: StudioClient, studio_settings: Settings, desk: Desk
) -> None:
    watcher = Watcher(studio_settings, studio.ask(ListConfigs()).as_of)
    first = studio.ask(ListEvents(last=True, limit=1)).as_of
    assert first is not None
    for index in range(1, 30):
        answer(desk, "AddConfig", config(index * 100), None)
    watcher.until(lambda: len(watcher.ids()) == 29)
    assert watcher.ids() == list(range(first.event + 1, first.event + 30))


def test_what_fell_out_of_the_stream_comes_from_the_log(
    studio: StudioClient, studio_settings: Settings, desk: Desk
) -> None:
    start = studio.ask(ListConfigs()).as_of
    assert start is not None
    for index in range(1, 21):
        answer(desk, "AddConfig", config(index * 100), None)
    desk.redis.xtrim(f"{desk.settings.namespace}:events:{start.epoch}", maxlen=3, approximate=False)
    found = list(islice(studio.follow(start), 20))
    assert [each.id for each in found if isinstance(each, Event)] == list(range(start.event + 1, start.event + 21))


def test_a_watcher_goes_on_when_the_streams_are_lost(
    studio: StudioClient, studio_settings: Settings, desk: Desk
) -> None:
    start = studio.ask(ListConfigs()).as_of
    assert start is not None
    watcher = Watcher(studio_settings, start)
    answer(desk, "AddConfig", config(100), None)
    watcher.until(lambda: len(watcher.ids()) == 1)
    desk.redis.delete(f"{desk.settings.namespace}:events:{start.epoch}", f"{desk.settings.namespace}:epoch")
    answer(desk, "AddConfig", config(200), None)
    watcher.until(lambda: len(watcher.ids()) == 2)
    assert watcher.ids() == [start.event + 1, start.event + 2]
    assert not any(isinstance(each, Reset) for each in watcher.seen)


def test_a_log_that_no_longer_reaches_back_is_said(studio: StudioClient, desk: Desk) -> None:
    start = studio.ask(ListConfigs()).as_of
    assert start is not None
    for index in range(1, 11):
        answer(desk, "AddConfig", config(index * 100), None)
    with desk.store.write() as unit:
        unit.session.execute(text("DELETE FROM events WHERE id < :id"), {"id": start.event + 8})
    desk.redis.xtrim(f"{desk.settings.namespace}:events:{start.epoch}", maxlen=2, approximate=False)
    seen = next(studio.follow(start))
    assert isinstance(seen, Reset)
    assert seen.as_of == AsOf(epoch=start.epoch, event=start.event + 10)


def test_watchers_go_on_when_the_store_was_restored(
    studio: StudioClient, studio_settings: Settings, desk: Desk
) -> None:
    """The stream lived on: its top is above the restored store's last event."""
    before = studio.ask(ListConfigs()).as_of
    assert before is not None
    for index in range(1, 6):
        answer(desk, "AddConfig", config(index * 100), None)
    watcher = Watcher(studio_settings, studio.ask(ListConfigs()).as_of)
    with desk.store.write() as unit:  # what a restored backup looks like: rows, events and their counter are of before
        unit.session.execute(text("DELETE FROM events WHERE id > :id"), {"id": before.event})
        counter = "UPDATE sqlite_sequence SET seq = :id WHERE name = 'events'"
        if not desk.store.is_sqlite:
            counter = "SELECT setval(pg_get_serial_sequence('events', 'id'), :id)"
        unit.session.execute(text(counter), {"id": before.event})
        unit.session.query(Config).filter(Config.is_default == 0).delete()
    threads = [threading.Thread(target=desk.publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watcher.until(lambda: any(isinstance(each, Reset) for each in watcher.seen))
    answer(desk, "AddConfig", config(700), None)
    watcher.until(lambda: watcher.ids() == [before.event + 1])
    (reset,) = [each for each in watcher.seen if isinstance(each, Reset)]
    assert reset.as_of.epoch != before.epoch
    assert stream.current_epoch(desk.redis, desk.settings.namespace) == reset.as_of.epoch


def test_a_living_store_is_never_taken_for_a_restored_one(desk: Desk) -> None:
    """Publishers that look while others commit and publish must not see the stream ahead of the store."""
    epoch = answer(desk, "ListConfigs", {})["as_of"]["epoch"]
    done = threading.Event()

    def publish() -> None:
        while not done.is_set():
            desk.publish()

    threads = [threading.Thread(target=publish) for _ in range(3)]
    for thread in threads:
        thread.start()
    for index in range(1, 60):
        answer(desk, "AddConfig", config(index), None)
    done.set()
    for thread in threads:
        thread.join()
    assert answer(desk, "ListConfigs", {})["as_of"]["epoch"] == epoch


def test_a_watcher_tells_of_an_outage_and_comes_back(tmp_path: Path) -> None:
    home = tmp_path / "v"
    home.mkdir()
    server = embedded.start(home)
    settings = Settings(home=home, FTS_REDIS_URL=SecretStr(embedded.url(home)))
    watcher = Watcher(settings, AsOf(epoch="e", event=0))
    stream.publish(watcher.client.redis, "fts", "e", [(1, 0, event_text(1))])
    watcher.until(lambda: watcher.ids() == [1])
    server.kill()
    server.wait()
    watcher.until(lambda: any(isinstance(each, Away) for each in watcher.seen))
    server = embedded.start(home)
    stream.publish(watcher.client.redis, "fts", "e", [(1, 0, event_text(1)), (2, 1, event_text(2))])
    watcher.until(lambda: watcher.ids() == [1, 2])
    assert [type(each).__name__ for each in watcher.seen] == ["Event", "Away", "Back", "Event"]
    server.kill()
    server.wait()


def event_text(id: int) -> str:
    return Event(id=id, prev=id - 1, at=0, type="ResourceAdded").model_dump_json()


async def test_the_asyncio_client_calls_and_follows(desk: Desk, studio_settings: Settings, actors: None) -> None:
    async with AsyncStudioClient(studio_settings) as studio:
        added = await studio.ask(LORA)
        assert added.as_of is not None
        with pytest.raises(NotFound):
            await studio.call(GetConfig(id="nope"))
        await asyncio.gather(*(studio.call(AddConfig(**config(index * 100))) for index in range(1, 6)))
        found = [each async for each in _first(studio.follow(added.as_of), 5)]
        assert [each.id for each in found] == list(range(added.as_of.event + 1, added.as_of.event + 6))


async def _first(seen: Any, number: int) -> Any:
    async for each in seen:
        yield each
        number -= 1
        if not number:
            return


def test_records_of_a_job_are_followed(studio: StudioClient, desk: Desk) -> None:
    for index in range(3):
        stream.publish_records(
            desk.redis, desk.settings.namespace, "job", {"attempt": 1, "from": index, "to": index + 1, "records": []}
        )
    found = list(islice(studio.follow_job("job", block=0.05), 4))
    assert [each and each["from"] for each in found] == [0, 1, 2, None]


def test_a_client_loads_neither_database_nor_worker_and_no_connection_before_it_is_needed() -> None:
    code = "import core.client, sys; print([m for m in ('redis','dramatiq','sqlalchemy','torch') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
