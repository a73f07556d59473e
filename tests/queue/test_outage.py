"""When the server dies or a connection breaks, nothing is lost, nothing is stranded, and what runs is not run again."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path
from typing import Any

import dramatiq.worker
import pytest
import redis

from core.client import StudioClient
from core.errors import Unavailable
from core.messages.prompts import ListPrompts
from core.queue import embedded, wire
from core.queue.connect import connect, connect_async
from core.settings import Settings
from tests.queue import workers
from tests.queue.conftest import Serve, until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.1)
    monkeypatch.setattr(dramatiq.worker, "POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.1)


def cut(client: redis.Redis) -> None:
    """Close every other connection to the server."""
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def send(client: redis.Redis, ns: str, name: str, **payload: Any) -> wire.WireMessage:
    message = wire.new_message(name, "commands", payload)
    wire.enqueue(client, ns, message)
    return message


def test_a_message_whose_delivery_was_lost_on_the_way_is_delivered_again(
    client: redis.Redis, ns: str, serve: Serve
) -> None:
    broker = serve()
    message = wire.new_message("echo", "commands", {"n": 1})
    client.hset(f"{ns}:commands.msgs", message.slot, message.data)
    client.sadd(broker.acks_key("commands"), message.slot)  # so it is after a fetch whose reply never came
    cut(client)
    until(lambda: client.llen(f"{ns}:done") == 1)
    until(lambda: client.hlen(f"{ns}:commands.msgs") == 0)


def test_what_runs_while_the_connection_breaks_is_not_run_again(client: redis.Redis, ns: str, serve: Serve) -> None:
    broker = serve()
    send(client, ns, "wait", seconds=0.6)
    until(lambda: client.llen(f"{ns}:begun") == 1)
    cut(client)
    until(lambda: client.hlen(f"{ns}:commands.msgs") == 0)
    assert client.llen(f"{ns}:begun") == 1
    assert not broker.shelves["commands"].held


def test_a_server_whose_disk_is_full_refuses_with_a_clear_word_and_takes_requests_again(tmp_path: Path) -> None:
    server = embedded.start(tmp_path)
    limit = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    try:
        with StudioClient(Settings(home=tmp_path, project=tmp_path)) as studio:
            studio.send(ListPrompts(), key="before")
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, limit[1]))  # its log can't grow any more
            until(lambda: not _takes(studio))
            for ask in (studio.call, studio.send):
                with pytest.raises(Unavailable, match="free some room there"):
                    ask(ListPrompts())
            assert studio.redis.llen("fts:commands") >= 1, "what it holds can be read"
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limit)
            until(lambda: _takes(studio))
            assert server.poll() is None
    finally:
        server.kill()
        server.wait()


def _takes(studio: StudioClient) -> bool:
    try:
        studio.send(ListPrompts())
    except Unavailable:
        return False
    return True


def test_a_worker_outlives_its_server(tmp_path: Path, ns: str, serve: Serve) -> None:
    server = embedded.start(tmp_path)
    try:
        with connect(embedded.url(tmp_path)) as client:
            serve(embedded.url(tmp_path), threads=2)
            for n in range(40):
                send(client, ns, "echo", n=n)
                send(client, ns, "wait", seconds=0.05)
            until(lambda: client.llen(f"{ns}:done") > 3)
            server.kill()
            server.wait()
            server = embedded.start(tmp_path)
            until(lambda: client.hlen(f"{ns}:commands.msgs") == 0)
            assert {int(n) for n in client.lrange(f"{ns}:done", 0, -1)} == set(range(40))
            assert wire.ask(client, ns, wire.new_message("noop", "commands", {}), 60)
    finally:
        server.kill()
        server.wait()


def test_a_worker_can_be_stopped_while_its_server_is_away(tmp_path: Path, ns: str) -> None:
    server = embedded.start(tmp_path)
    _, worker = workers.serve(embedded.url(tmp_path), ns)
    with connect(embedded.url(tmp_path)) as client:
        send(client, ns, "wait", seconds=0.2)
        until(lambda: client.llen(f"{ns}:begun"))
    server.kill()
    server.wait()
    begun = time.monotonic()
    worker.stop()
    assert time.monotonic() - begun < 20  # it does not wait for the server


def test_a_send_that_is_repeated_is_in_the_queue_once(client: redis.Redis, ns: str) -> None:
    message = wire.new_message("echo", "commands", {})
    wire.enqueue(client, ns, message)
    wire.enqueue(client, ns, message)
    assert client.llen(f"{ns}:commands") == 1


def test_nothing_is_repeated_behind_the_callers_back(valkey_url: str) -> None:
    with connect(valkey_url) as own:
        own.ping()
        made = own.connection_pool.make_connection()
        assert made.retry.get_retries() == 0


async def test_a_wait_that_is_given_up_does_not_leave_its_reply_to_the_next(
    valkey_url: str, ns: str, serve: Serve
) -> None:
    serve()
    async with connect_async(valkey_url) as client:
        waiting = asyncio.create_task(
            wire.ask_async(client, ns, wire.new_message("wait", "commands", {"seconds": 0.3}), 60)
        )
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for n in range(5):
            reply = await wire.ask_async(client, ns, wire.new_message("echo", "commands", {"n": n}), 60)
            assert reply == {"ok": True, "value": {"n": n}}


def test_a_reply_that_was_taken_leaves_nothing_on_the_server(client: redis.Redis, ns: str, serve: Serve) -> None:
    serve()
    message = wire.new_message("noop", "commands", {})
    assert wire.ask(client, ns, message, 60)
    assert not client.exists(wire.reply_key(ns, message))


def test_no_reply_is_no_error(client: redis.Redis, ns: str) -> None:
    assert wire.ask(client, ns, wire.new_message("noop", "commands", {}), 0.05) is None
