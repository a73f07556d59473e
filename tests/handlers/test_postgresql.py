"""The same promises on PostgreSQL, where writers run at once and the UNIQUE keys decide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from actors import handlers
from actors.answering import answer
from actors.configs import ship_defaults
from actors.desk import Desk
from core.queue import stream
from core.settings import Settings
from core.store.session import Store, as_of
from core.store.tables import Config, Dataset
from core.store.upgrade import upgrade
from tests.handlers.crowd import count, together


@pytest.fixture
def desk(studio_settings: Settings, fresh_postgres: str, client: redis.Redis) -> Iterator[Desk]:
    using = studio_settings.model_copy(update={"database_url": SecretStr(fresh_postgres), "max_overflow": 30})
    store = Store(using)
    upgrade(store)
    ship_defaults(store)
    handlers.load()
    yield Desk(using, store, client)
    store.close()


def test_senders_with_one_key_have_one_effect_and_equal_replies(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    payload = {"type": "project_csv", "name": "tickets", "location": "t.csv"}
    replies = together(30, lambda _: answer(desk, "AddDataset", payload, "one"))
    assert replies[0]["ok"], replies[0]
    assert all(reply == replies[0] for reply in replies)
    assert count(desk, Dataset) == 1


def test_senders_of_equal_content_get_one_config(desk: Desk) -> None:
    before = count(desk, Config)
    payload = {"type": "custom", "config": '{"x": 1}'}
    replies = together(16, lambda index: answer(desk, "AddConfig", payload, f"k{index}"))
    assert [reply for reply in replies if not reply["ok"]] == []
    assert len({reply["value"]["config"]["id"] for reply in replies}) == 1
    assert sorted(reply["value"]["deduplicated"] for reply in replies) == [False] + [True] * 15
    assert count(desk, Config) == before + 1


def test_a_lost_race_for_a_name_gives_the_breach(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    payload = {"type": "project_csv", "name": "same", "location": "t.csv"}
    replies = together(8, lambda index: answer(desk, "AddDataset", payload, f"k{index}"))
    assert sum(reply["ok"] for reply in replies) == 1
    assert {each["rule"] for reply in replies for each in reply.get("breaches", [])} == {"DS-101"}


def test_the_stream_has_every_event_in_order_without_a_gap(desk: Desk) -> None:
    with desk.store.read() as session:
        start = as_of(session)
    desk.publish()
    together(
        12,
        lambda index: [
            answer(desk, "AddConfig", {"type": "custom", "config": f'{{"x": [{index}, {n}]}}'}, None) for n in range(5)
        ],
    )
    found, gap = stream.read_events(desk.redis, desk.settings.namespace, start.epoch, start.event)
    assert gap is None
    assert len(found) == 60
    assert answer(desk, "ListConfigs", {})["as_of"] == {"epoch": start.epoch, "event": found[-1]["id"]}


@pytest.mark.parametrize("value", [2**31, 2**62])
def test_values_beyond_a_column_are_refused(desk: Desk, value: int) -> None:
    payload = {"host": "h", "cpus": value, "memory": 1.0, "engines": []}
    assert answer(desk, "RegisterRunner", payload, "k")["code"] == "refused"


def test_lists_have_pages(desk: Desk) -> None:
    first = answer(desk, "ListConfigs", {"limit": 3})["value"]
    rest = answer(desk, "ListConfigs", {"limit": 3, "after": first["configs"][-1]["id"]})["value"]
    assert (len(first["configs"]), first["has_more"], len(rest["configs"]), rest["has_more"]) == (3, True, 1, False)
