"""The actors as people run them: processes that serve queues, and die."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from actors import app
from core.client import AsyncStudioClient, StudioClient
from core.errors import Conflict, NotFound
from core.events import Event
from core.messages.configs import AddConfig, ListConfigs
from core.messages.datasets import AddDataset, GetDataset, ListDatasets
from core.queue import wire
from core.settings import Settings

HERE = Path(__file__).parent


def test_ticks_that_fail_for_the_same_reason_are_told_whole_once_and_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    trouble, full = app._Trouble(), OSError(28, "database or disk is full")
    for second in range(4 * 3600):
        trouble.failed(full, float(second))
    lines = [record.getMessage() for record in caplog.records]
    assert [bool(record.exc_info) for record in caplog.records] == [True] + [False] * (len(lines) - 1)
    assert 5 <= len(lines) < 12 and "disk is full" in lines[1]
    trouble.failed(ValueError("another"), 4 * 3600)
    assert caplog.records[-1].exc_info, "another reason is told whole"
    trouble.failed(full, 4 * 3600 + 1)
    assert len(caplog.records) == len(lines) + 1
    trouble.over()
    trouble.over()
    assert [record.getMessage() for record in caplog.records][len(lines) + 1 :] == [
        f"ticks succeed again, after {4 * 3600 + 2} that failed"
    ]


@contextmanager
def running(environment: dict[str, str], *command: str) -> Iterator[subprocess.Popen[str]]:
    """A process of ours, once it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=HERE.parent.parent,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "ready" in line:
            break
    else:
        raise AssertionError("".join(said))
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def environment_of(home: Path, url: str, ns: str) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if not name.startswith("FTS_")}
    return {
        **found,
        "FTS_HOME": str(home / ".app"),
        "FTS_PROJECT": str(home),
        "FTS_REDIS_URL": url,
        "FTS_NAMESPACE": ns,
        "PYTHONPATH": ".",
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[tuple[Path, Settings]]:
    home, ns = tmp_path_factory.mktemp("served"), f"t{uuid4().hex[:12]}"
    environment = environment_of(home, valkey_url, ns)
    with (
        running(environment, "-m", "actors.app", "commands", "runners"),
        running(environment, "-m", "actors.app", "slow"),
    ):
        yield home, Settings(home=home / ".app", project=home, namespace=ns, FTS_REDIS_URL=SecretStr(valkey_url))


@pytest.fixture
def project(served: tuple[Path, Settings]) -> Path:
    return served[0]


@pytest.fixture
def studio(served: tuple[Path, Settings]) -> Iterator[StudioClient]:
    with StudioClient(served[1]) as made:
        yield made


def test_a_dataset_is_added_listed_and_found(studio: StudioClient, project: Path) -> None:
    (project / "t.csv").write_text("text,intent\nhello,greet\n")
    added = studio.call(AddDataset(type="project_csv", name="tickets", location="t.csv")).dataset
    assert (added.features, added.rows) == (["text", "intent"], 1)
    assert added.preview == [{"text": "hello", "intent": "greet"}]
    assert added.model_copy(update={"preview": None}) in studio.call(ListDatasets()).datasets
    assert studio.call(GetDataset(id=added.id)).dataset == added
    with pytest.raises(NotFound):
        studio.call(GetDataset(id="nope"))


async def test_a_hundred_senders_with_one_key_get_one_answer(served: tuple[Path, Settings]) -> None:
    key, message = str(uuid4()), AddConfig(type="custom", config='{"hundred": 100}')
    async with AsyncStudioClient(served[1]) as studio:
        answers = await asyncio.gather(*(studio.ask(message, key=key) for _ in range(100)))
        assert all(answer == answers[0] for answer in answers)
        assert answers[0].value.deduplicated is False
        with pytest.raises(Conflict):
            await studio.call(AddConfig(type="custom", config='{"hundred": 101}'), key=key)


def test_what_its_sender_gave_up_on_is_not_done(studio: StudioClient) -> None:
    message = wire.new_message(
        "AddConfig", "commands", {"type": "custom", "config": '{"late": 1}'}, expires_at=time.time() - 1
    )
    reply = wire.ask(studio.redis, studio.ns, message, 60)
    assert reply is not None
    assert (reply["ok"], reply["code"]) == (False, "expired")
    assert not [each for each in studio.call(ListConfigs(type="custom")).configs if "late" in each.config]


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"payload": None},
        {"payload": {"type": 7}},
        {"payload": {"type": "custom", "config": "{}"}, "more": 1},
        {"fields": {}},
    ],
)
def test_hostile_arguments_get_a_reply_with_breaches(studio: StudioClient, kwargs: dict[str, Any]) -> None:
    assert_refused(studio, args=[], kwargs=kwargs)


def test_positional_arguments_get_a_reply_with_breaches(studio: StudioClient) -> None:
    assert_refused(studio, args=[{"type": "custom"}, 2], kwargs={})


def assert_refused(studio: StudioClient, **fields: Any) -> None:
    made = wire.new_message("AddConfig", "commands", {})
    data = json.dumps({**json.loads(made.data), **fields}).encode()
    reply = wire.ask(studio.redis, studio.ns, wire.WireMessage(made.name, made.queue, made.id, made.slot, data), 60)
    assert reply is not None
    assert (reply["ok"], reply["code"]) == (False, "refused")
    assert reply["breaches"]


def test_actors_killed_between_commit_and_publish_are_made_up_for(tmp_path: Path, valkey_url: str, ns: str) -> None:
    environment = environment_of(tmp_path, valkey_url, ns)
    settings = Settings(home=tmp_path / ".app", namespace=ns, FTS_REDIS_URL=SecretStr(valkey_url))
    message = AddConfig(type="custom", config='{"a": 1}')
    seen: list[Any] = []
    with StudioClient(settings) as studio:
        with running(environment, "-m", "actors.app", "commands", "runners"):
            start = studio.ask(ListConfigs()).as_of
        assert start is not None
        threading.Thread(target=lambda: seen.extend(StudioClient(settings).follow(start)), daemon=True).start()
        with running(environment, str(HERE / "dying.py")) as dying:
            studio.send(message, key="once")
            assert dying.wait(60) == -signal.SIGKILL
        assert not seen
        with running(environment, "-m", "actors.app", "commands", "runners"):
            restarted = time.monotonic()
            until(lambda: any(isinstance(each, Event) and each.kind == "configs" for each in seen))
            assert time.monotonic() - restarted < 10
            again = studio.call(message, key="once")
        assert again.deduplicated is False  # the reply to the first delivery, whose effect was committed
        assert len([each for each in seen if isinstance(each, Event)]) == 1


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_actors_stop_when_asked_to(tmp_path: Path, valkey_url: str, ns: str, number: signal.Signals) -> None:
    with running(environment_of(tmp_path, valkey_url, ns), "-m", "actors.app", "commands", "runners") as process:
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped" in output
    assert "Traceback" not in output


def test_actors_wait_for_a_queue_that_is_not_there_yet(tmp_path: Path, ns: str) -> None:
    from core.queue import embedded

    home = tmp_path / "v"
    home.mkdir()
    with running(environment_of(tmp_path, embedded.url(home), ns), "-m", "actors.app", "commands"):
        server = embedded.start(home)
        settings = Settings(home=tmp_path / ".app", namespace=ns, FTS_REDIS_URL=SecretStr(embedded.url(home)))
        with StudioClient(settings) as studio:
            assert studio.call(ListConfigs()).configs
        server.kill()
        server.wait()


def test_the_actors_stay_small(tmp_path: Path, valkey_url: str, ns: str) -> None:
    """Under 150 MB a process."""
    with running(environment_of(tmp_path, valkey_url, ns), "-m", "actors.app", "commands", "runners") as process:
        status = Path(f"/proc/{process.pid}/status").read_text()
    assert int(status.split("VmRSS:")[1].split()[0]) / 1024 < 150


@pytest.mark.parametrize(
    "module", ["datasets", "mlflow", "huggingface_hub", "torch", "transformers", "textual", "pandas", "numpy"]
)
def test_the_actors_load_nothing_heavy(module: str) -> None:
    assert module not in loaded()


def loaded(cache: list[set[str]] = []) -> set[str]:  # noqa: B006  # one fresh interpreter serves every case
    if not cache:
        code = "import sys, actors.app; actors.app.handlers.load(); print(' '.join(sys.modules))"
        cache.append(
            set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
        )
    return cache[0]


def test_unknown_queues_are_a_usage_error() -> None:
    done = subprocess.run([sys.executable, "-m", "actors.app", "fast"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "usage" in done.stderr


def test_a_client_that_loses_the_queue_sends_again_and_it_is_done_once(tmp_path: Path, ns: str) -> None:
    from core.queue import embedded

    home = tmp_path / "v"
    home.mkdir()
    url = embedded.url(home)
    server = embedded.start(home)
    settings = Settings(home=tmp_path / ".app", namespace=ns, FTS_REDIS_URL=SecretStr(url))
    found: list[Any] = []
    with (
        StudioClient(settings) as studio,
        running(environment_of(tmp_path, url, ns), "-m", "actors.app", "commands") as actors,
    ):
        studio.call(ListConfigs())
        actors.send_signal(signal.SIGSTOP)
        waiting = threading.Thread(target=lambda: found.append(studio.ask(AddConfig(type="custom", config='{"b": 1}'))))
        waiting.start()
        until(lambda: sum(studio.redis.hlen(f"{ns}:{name}") for name in ("commands.msgs",)) > 0)
        server.kill()
        server.wait()
        server = embedded.start(home)
        actors.send_signal(signal.SIGCONT)
        waiting.join(25)
        assert found
        assert found[0].value.deduplicated is False
        assert len(studio.call(ListConfigs(type="custom")).configs) == 1
    server.kill()
    server.wait()
