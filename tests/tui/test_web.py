"""The dashboard in a browser: seen and used over a real websocket, by nobody without the token, and gone with its browser."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.tui.live import Terminal
from tui.cli.web import add
from tui.web import Door, Web, cells, is_loopback

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-that-is-long-enough-for-a-canary"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A studio that is not up: its dashboard opens, and says so."""
    monkeypatch.setenv("FTS_HOME", str(tmp_path / ".app"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[Web]:
    made = Web("127.0.0.1", 0, TOKEN, **more)
    await made.begin()
    try:
        yield made
    finally:
        await made.end()


def dashboards(home: Path) -> list[psutil.Process]:
    """The dashboards of that studio which run."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = process.environ().get("FTS_HOME") == str(home / ".app")
            if ours and process.cmdline()[1:3] == ["-m", "tui"] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


class Browser:
    """A page of ours: its terminal, its socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.terminal = socket, Terminal()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.terminal.feed(message.data)

    async def press(self, keys: str) -> None:
        await self.socket.send_str(json.dumps(["stdin", keys]))

    async def until(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.terminal.text:
            assert time.monotonic() < deadline, f"{text} did not come; the screen:\n{self.terminal.text}"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def visited(made_url: str, token: str = TOKEN) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser that has visited the address with its token."""
    jar = aiohttp.CookieJar(unsafe=True)  # it takes cookies of addresses, as browsers do
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        async with session.get(f"{made_url}?token={token}") as page:
            assert page.status == 200 and "token" not in str(page.url)
        yield session


async def test_a_browser_with_the_token_sees_the_dashboard_and_presses_keys_and_takes_it_along(nowhere: Path) -> None:
    async with serving() as made, visited(made.url) as session:
        async with session.get(made.url) as page:
            text = await page.text()
            assert (
                "/static/js/textual.js" in text and f"ws://127.0.0.1:{made.door.port}/ws" in text and TOKEN not in text
            )
            assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        async with session.get(f"{made.url}static/js/textual.js") as script:
            assert script.status == 200
        async with session.ws_connect(f"{made.url}ws?width=80&height=24", origin=made.url.rstrip("/")) as socket:
            browser = Browser(socket)
            await browser.until("not connected")
            await browser.press("?")
            await browser.until("j k scroll")
            (process,) = dashboards(nowhere)
            told = json.dumps([process.environ(), process.cmdline()])
            assert TOKEN not in told and made.door.proof not in told
        await until(lambda: not dashboards(nowhere), "the dashboard went with its browser")
        await until(lambda: not made.sessions, "the session is over")


@pytest.mark.parametrize("path", ["", "ws", "static/js/textual.js", "static/", "no/such"])
async def test_nobody_gets_in_without_the_token(path: str, nowhere: Path) -> None:
    async with serving() as made, aiohttp.ClientSession() as session:
        wrong = [{}, {made.door.cookie: TOKEN}, {made.door.cookie: ""}, {"fts_web_1": made.door.proof}]
        for cookies in wrong:
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
            async with session.get(made.url + path, headers=headers) as answer:
                assert answer.status == 401 and answer.headers["X-Frame-Options"] == "DENY"
        for token in ("", "x", TOKEN[:-1], TOKEN + "x", "é" * 40):
            async with session.get(made.url, params={"token": token}, allow_redirects=False) as answer:
                assert answer.status == 401 and "Set-Cookie" not in answer.headers
        assert not dashboards(nowhere)


async def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get() -> None:
    async with serving() as made, aiohttp.ClientSession() as session:
        async with session.get(made.url, params={"token": TOKEN}, allow_redirects=False) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert answer.status == 303 and answer.headers["Location"] == "/"
            assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; ")) and TOKEN not in cookie


async def test_neither_another_name_nor_another_page_gets_in_whatever_cookie_it_brings(nowhere: Path) -> None:
    async with serving() as made, visited(made.url) as session:
        for host in ("evil.example", f"127.0.0.1.evil.example:{made.door.port}", "evil.example:80@127.0.0.1", ""):
            async with session.get(made.url, headers={"Host": host}) as answer:
                assert answer.status in (400, 403), host
        other = f"http://localhost:{made.door.port}"
        for origin in ("http://evil.example", "null", other, "http://127.0.0.1:1", "http://[", None):
            headers = {} if origin is None else {"Origin": origin}
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{made.url}ws", headers=headers)
            assert refused.value.status == 403, origin
        assert not dashboards(nowhere)


async def test_a_page_that_says_what_no_page_of_ours_says_is_left(nowhere: Path) -> None:
    async with serving() as made, visited(made.url) as session:
        origin = made.url.rstrip("/")
        async with session.ws_connect(f"{made.url}ws?width=x&height=999999999", origin=origin) as socket:
            browser = Browser(socket)
            await browser.until("not connected")
            for said in (
                '["resize", {"width": "100", "height": 1e99}]',
                '["blur", 1]',
                '["unknown", {}]',
                '["ping", 3]',
            ):
                await socket.send_str(said)
            assert not socket.closed
            await socket.send_str('{"a": [')
            await until(lambda: socket.closed, "the socket is closed")
        await until(lambda: not dashboards(nowhere), "the dashboard went")


def test_sizes_and_names_are_what_they_can_be() -> None:
    assert [cells(given, 80, 500) for given in ("100", 100, "x", None, -5, 10**9)] == [100, 100, 80, 80, 1, 500]
    inside, outside = Door("127.0.0.1", TOKEN), Door("0.0.0.0", TOKEN)
    assert inside.knows("localhost:9000") and inside.knows("[::1]:1") and inside.knows("127.0.0.1")
    assert not inside.knows("10.0.0.1:8765") and not inside.knows("evil.example") and not inside.knows("")
    assert outside.knows("10.0.0.1:8765") and not outside.knows("evil.example")
    assert [is_loopback(host) for host in ("localhost", "127.0.0.9", "::1", "0.0.0.0", "example", "")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def fts_web(*words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tui.cli.main", "web", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


async def test_a_server_that_is_killed_leaves_no_dashboard_and_its_token_is_told_once(nowhere: Path) -> None:
    server = fts_web("--port", "0", "--readonly")
    try:
        assert server.stdout is not None
        first = await asyncio.to_thread(server.stdout.readline)
        found = re.search(r"(http://127\.0\.0\.1:\d+/)\?token=([\w-]{40,})", first)
        assert found, first
        url, token = found.groups()
        async with visited(url, token) as session:
            socket = await session.ws_connect(f"{url}ws", origin=url.rstrip("/"))
            browser = Browser(socket)
            await browser.until("not connected")
            assert [each.cmdline()[-1] for each in dashboards(nowhere)] == ["--readonly"]
            server.kill()
            await until(lambda: not dashboards(nowhere), "the dashboard ended with its server")
            await socket.close()
        out, errors = await asyncio.to_thread(server.communicate)
        assert token not in out + errors and "Traceback" not in errors
    finally:
        server.kill()
        server.wait()


def test_where_others_reach_it_it_listens_only_when_told_so_and_warns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> int:
        made = argparse.ArgumentParser()
        add(made.add_subparsers())
        arguments = made.parse_args(["web", *words])
        return int(arguments.run(arguments))

    assert run("--port", "0", "--host", "0.0.0.0") == 2 and "--expose if you mean it" in capsys.readouterr().err
    assert run("--port", "65536") == 2 and "0 to 65535" in capsys.readouterr().err
    monkeypatch.setenv("FTS_WEB_TOKEN", "short")
    assert run("--port", "0") == 2 and "it could be guessed" in capsys.readouterr().err
    assert "FTS_WEB_TOKEN" not in os.environ, "no process that is started from here has it"
    exposed = fts_web("--port", "0", "--host", "0.0.0.0", "--expose", FTS_WEB_TOKEN=TOKEN)
    try:
        assert exposed.stdout is not None and exposed.stderr is not None
        lines = [exposed.stdout.readline() for _ in range(2)]
        assert TOKEN not in "".join(lines) and "FTS_WEB_TOKEN" in lines[1]
        assert "not encrypted" in exposed.stderr.readline() + exposed.stderr.readline()
        assert TOKEN not in " ".join(psutil.Process(exposed.pid).cmdline())
        exposed.terminate()
        assert exposed.wait(30) == 0
    finally:
        exposed.kill()
        exposed.communicate()
