"""The streams: gapless for any publishers, honest about what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
import redis

from core.queue import embedded, stream
from core.queue.connect import connect, safe_url


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


def test_what_was_written_survives_kill_9(tmp_path: Path) -> None:
    server = embedded.start(tmp_path)
    with connect(embedded.url(tmp_path)) as client:
        client.set("kept", 1)
    server.kill()
    server.wait()
    server = embedded.start(tmp_path)
    with connect(embedded.url(tmp_path)) as client:
        assert client.get("kept") == b"1"
    server.kill()
    server.wait()


def test_a_second_server_on_the_same_home_is_refused(valkey_home: Path) -> None:
    environment = {**os.environ, "FTS_HOME": str(valkey_home)}
    second = subprocess.run(
        ["python", "-m", "core.queue.embedded"], env=environment, capture_output=True, text=True, timeout=10
    )
    assert second.returncode != 0
    assert "already running" in second.stderr


def test_a_deep_home_gets_a_short_socket_of_its_own(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    server = embedded.start(deep)
    path = embedded.socket_path(deep)
    assert len(os.fsencode(path)) <= embedded.SOCKET_LIMIT
    assert path.parent.stat().st_mode & 0o777 == 0o700
    server.kill()
    server.wait()


def test_a_runtime_directory_of_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(embedded.NoServer, match="belongs to someone else"):
        embedded.prepare(deep)


def test_a_url_is_shown_without_its_password() -> None:
    assert safe_url("redis://user:secret@host:6379/0") == "redis://…@host:6379/0"
