"""The dashboard behind Cloudera ML's proxy: members come in without a token, others don't, and nobody says of himself who he is."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from core.settings import Settings
from tests.cml.standin import StandIn
from tests.tui.test_web import Browser, dashboards
from tui.web import Web
from tui.web_proxy import SCRIPT, Proxy

TOKEN = "a-token-that-is-long-enough-for-a-canary"
ADA = {"Remote-user": "ada", "Remote-user-perm": "RW"}
VIEWER = {"Remote-user": "bob", "Remote-user-perm": "RO"}


def application(cloudera: StandIn, public: bool = False, script: str = SCRIPT) -> None:
    body = {"name": "Fine Tuning Studio", "script": script, "subdomain": "fts", "bypass_authentication": public}
    with cloudera.cloud.lock:
        cloudera.others.create_application({}, body, cloudera.project_id)


@pytest.fixture
async def made(cloudera: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    monkeypatch.setenv("FTS_HOME", str(tmp_path / ".app"))
    monkeypatch.setenv("CDSW_DOMAIN", "ml.example.org")
    monkeypatch.setattr("tui.web_proxy.EVERY", 0.1)
    monkeypatch.setattr("tui.web_proxy.SOON", 0.1)
    proxy = Proxy(Settings(cml_seconds=1))
    made = Web("127.0.0.1", 0, TOKEN, proxy=proxy)
    await made.begin()
    yield made
    await made.end()


async def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def get(made: Web, headers: Mapping[str, str], host: str = "fts.ml.example.org") -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(made.url, headers=[("Host", host), *headers.items()]) as answer,
    ):
        return answer.status, await answer.text()


@pytest.mark.decision("D-261")
async def test_a_member_comes_in_without_a_token_and_one_who_may_only_read_only_looks(
    cloudera: StandIn, made: Web, tmp_path: Path
) -> None:
    proxy = made.proxy
    assert proxy is not None
    application(cloudera)
    await until(lambda: proxy.url)
    status, text = await get(made, ADA)
    assert status == 200 and "ws://fts.ml.example.org/ws" in text
    origin = {"Origin": "http://fts.ml.example.org", "Host": "127.0.0.1:8100"}  # a proxy that puts another name
    async with aiohttp.ClientSession() as session:
        for user, readonly in ((ADA, False), (VIEWER, True)):
            async with session.ws_connect(f"{made.url}ws?width=80&height=24", headers={**origin, **user}) as socket:
                await until(lambda: dashboards(tmp_path))
                assert ["--readonly" in each.cmdline() for each in dashboards(tmp_path)] == [readonly]
                if not readonly:
                    await Browser(socket).until("not connected")
            await until(lambda: not dashboards(tmp_path))
        other = {"Origin": "http://other.ml.example.org", "Host": "fts.ml.example.org", **ADA}
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{made.url}ws", headers=other)


async def test_who_is_no_member_needs_the_token(cloudera: StandIn, made: Web) -> None:
    application(cloudera)
    proxy = made.proxy
    assert proxy is not None
    await until(lambda: proxy.trusted)
    for who in ({}, {"Remote-user": "eve", "Remote-user-perm": "Unauthorized"}, {"Remote-user-perm": "RW"}):
        status, text = await get(made, who)
        assert status == 401 and "logs/web.log" in text and TOKEN not in text
    assert (await get(made, ADA, "other.ml.example.org"))[0] == 403
    for name in ("Remote-user", "Remote-user-perm"):  # the proxy's beside what the browser sent
        twice = CIMultiDict([*VIEWER.items(), (name, "RW")])
        assert (await get(made, twice))[0] == 401
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        session.get(made.url, params={"token": TOKEN}) as answer,
    ):
        assert answer.status == 200 and f"ws://127.0.0.1:{made.door.port}/ws" in await answer.text()


async def test_nobody_is_believed_while_an_application_is_open_to_everybody_or_the_api_does_not_say(
    cloudera: StandIn, made: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = made.proxy
    assert proxy is not None
    await until(lambda: proxy.told)
    assert (await get(made, ADA))[0] == 401, "there is no application: this may be a session"
    application(cloudera)
    await until(lambda: proxy.trusted)
    cloudera.fail(503, float("inf"))
    before = len(cloudera.received)
    await until(lambda: len(cloudera.received) > before + 2)
    assert (await get(made, ADA))[0] == 200, "what was known stays while the API is away"
    with monkeypatch.context() as patched:
        patched.setattr("tui.web_proxy.LASTS", 0.0)
        await until(lambda: not proxy.trusted)
        assert (await get(made, ADA))[0] == 401, "what was known once is not good for ever"
    cloudera.heal()
    await until(lambda: proxy.trusted)
    with monkeypatch.context() as patched:
        looks = len(cloudera.received)
        patched.setattr("core.cml_shapes.application_seen", lambda made: made.no_such_field)
        patched.setattr("tui.web_proxy.LASTS", 0.0)
        await until(lambda: not proxy.trusted and len(cloudera.received) > looks + 2)
    await until(lambda: proxy.trusted)
    headers = {"Origin": "http://fts.ml.example.org", "Host": "fts.ml.example.org", **ADA}
    made.command = [sys.executable, "-c", "input()"]
    monkeypatch.setattr("tui.web.GRACE", 0.2)
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{made.url}ws", headers=headers) as socket:
            await until(lambda: made.by_proxy)
            row = next(iter(cloudera.cloud.state["applications"].values()))
            row["bypass_authentication"] = True
            assert (await socket.receive(60)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert (await get(made, ADA))[0] == 401
    await until(lambda: not made.sessions)
    row["bypass_authentication"] = False
    await until(lambda: proxy.trusted)
    row["status"] = "APPLICATION_STOPPED"  # this one was started by a script of somebody's
    application(cloudera, public=True, script="serve.py")
    await until(lambda: not proxy.trusted)
