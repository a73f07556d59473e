"""The streams: gapless for any publishers, honest about what is missing."""

from __future__ import annotations

import json
import threading

import pytest
import redis

from core.queue import stream
from core.queue.connect import connect, safe_text, safe_url


def events(*ids: int) -> list[tuple[int, int, str]]:
    return [(id, id - 1, json.dumps({"id": id})) for id in ids]


def read(client: redis.Redis, ns: str, after: int) -> tuple[list[int], stream.Gap | None]:
    found, gap = stream.read_events(client, ns, "e", after, block=10)
    return [event["id"] for event in found], gap


def test_publishers_that_race_leave_one_gapless_run(client: redis.Redis, ns: str, valkey_url: str) -> None:
    def publisher() -> None:
        with connect(valkey_url) as own:
            for last in range(10, 201, 10):
                stream.publish(own, ns, "e", events(*range(max(1, last - 25), last + 1)))

    threads = [threading.Thread(target=publisher) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(client, ns, 0) == (list(range(1, 201)), None)


def test_a_publisher_that_lacks_the_predecessor_appends_nothing(client: redis.Redis, ns: str) -> None:
    assert stream.publish(client, ns, "e", events(1, 2)) == 2
    assert stream.publish(client, ns, "e", events(4, 5)) == 2
    assert stream.publish(client, ns, "e", events(2, 3, 4, 5)) == 5
    assert read(client, ns, 2) == ([3, 4, 5], None)
    assert stream.top(client, ns, "e") == 5


def test_a_watcher_is_told_of_a_gap(client: redis.Redis, ns: str) -> None:
    stream.publish(client, ns, "e", events(7, 8))
    assert read(client, ns, 3) == ([], stream.Gap(3))
    assert read(client, ns, 6) == ([7, 8], None)


def test_an_idle_watcher_notices_another_epoch(client: redis.Redis, ns: str) -> None:
    stream.publish(client, ns, "e", events(1))
    assert read(client, ns, 1) == ([], None)
    stream.publish(client, ns, "f", [])
    assert read(client, ns, 1) == ([], stream.Gap(1, epoch_changed=True))


def test_records_reach_their_watcher_in_order(client: redis.Redis, ns: str) -> None:
    assert stream.last_record(client, ns, "j") == "0-0"
    for n in range(3):
        stream.publish_records(client, ns, "j", {"n": n})
    got = list(stream.read_records(client, ns, "j", "0-0", block=10))
    assert [entry["n"] for _, entry in got] == [0, 1, 2]
    assert got[-1][0] == stream.last_record(client, ns, "j")


def test_a_wake_up_before_the_wait_is_not_lost_and_counts_once(client: redis.Redis, ns: str) -> None:
    stream.wake(client, ns, "r")
    stream.wake(client, ns, "r")
    assert stream.await_wake(client, ns, "r", 1)
    assert not stream.await_wake(client, ns, "r", 0.05)


def test_the_stream_of_another_epoch_goes_after_a_while(client: redis.Redis, ns: str) -> None:
    stream.publish(client, ns, "e", events(1))
    stream.publish(client, ns, "f", events(1))
    assert 0 < client.ttl(f"{ns}:events:e") <= stream.FORGET_SECONDS
    assert client.ttl(f"{ns}:events:f") == -1
    stream.publish(client, ns, "e", [])
    assert client.ttl(f"{ns}:events:e") == -1


def test_a_watcher_waits_for_what_comes(client: redis.Redis, ns: str, valkey_url: str) -> None:
    stream.publish(client, ns, "e", events(1))

    def later() -> None:
        with connect(valkey_url) as own:
            stream.publish(own, ns, "e", events(2))

    timer = threading.Timer(0.1, later)
    timer.start()
    found, gap = stream.read_events(client, ns, "e", 1, block=5000)
    timer.join()
    assert ([event["id"] for event in found], gap) == ([2], None)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@host:6379/0", "redis://…@host:6379/0"),
        ("rediss://:sec/r@et@host", "rediss://…@host"),
        ("redis://host:6379/0?password=secret", "redis://host:6379/0"),
        ("unix:///home/a@b/x.sock?db=1", "unix:///home/a@b/x.sock"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert safe_url(url) == shown


def test_what_another_library_says_is_told_without_the_passwords_in_it() -> None:
    told = "no route to postgresql://studio:s3cr@host:5432/mlflow, nor to http://host/x"
    assert safe_text(told) == "no route to postgresql://…@host:5432/mlflow, nor to http://host/x"
