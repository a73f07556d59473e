"""An endpoint stays of use to others whatever one caller does: says nothing, reads nothing, or sends what takes long."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gpu_runner.serving import connection
from gpu_runner.serving.asking import Chat, Completion, read
from gpu_runner.serving.errors import ApiError
from gpu_runner.serving.speaking import Speaking
from gpu_runner.speaking import Piece, Speaker
from tests.runner.serving import KEY, PATIENCE, Served, make_models, served, spec_of, wait_for

ASKED = {"model": "base/tiny", "prompt": "w1", "max_tokens": 4}
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    parts = make_models(tmp_path_factory.mktemp("models"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpu_runner.serve.TELL", 0.0)
        with served(tmp_path_factory.mktemp("rude"), spec_of({**parts, "adapters": []}, max_concurrency=1)) as made:
            assert made.address
            yield made


def post(endpoint: Served, body: dict[str, Any], path: str = "/v1/completions") -> httpx.Response:
    return httpx.post(f"{endpoint.address}{path}", json=body, headers=HEADERS, timeout=PATIENCE)


def connected(endpoint: Served) -> socket.socket:
    url = httpx.URL(endpoint.address)
    found = socket.create_connection((url.host, url.port or 0))
    found.settimeout(PATIENCE)
    return found


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", id="one request"),
        pytest.param(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n", id="half of a body"),
    ],
)
def test_who_sends_a_byte_now_and_then_is_hung_up_on(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD", 0.5)
    with connected(endpoint) as slow:
        slow.sendall(sent)
        slow.setblocking(False)
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline, "it was never hung up on"
            try:
                slow.send(b"G")
                if slow.recv(1 << 16) == b"":
                    break
            except BlockingIOError:
                pass
            except OSError:
                break  # it was hung up on
            time.sleep(0.05)


def test_who_waits_for_a_long_answer_is_not_hung_up_on(endpoint: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD", 0.5)
    real = Speaker.speak

    def speak(self: Speaker, *given: Any, **more: Any) -> Iterator[Piece]:
        time.sleep(1.0)
        yield from real(self, *given, **more)

    monkeypatch.setattr(Speaker, "speak", speak)
    assert post(endpoint, ASKED).status_code == 200


def test_who_reads_no_further_makes_room_for_others(endpoint: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_runner.serving.door.TAKING", 0.5)

    large = iter([1 << 20] * 32)  # more than the system's buffers hold; for the first caller only

    def speak(*_: Any, **__: Any) -> Iterator[Piece]:
        for size in large:
            yield Piece("x" * size, 1, 1, 0.0)
        yield Piece("", 2, 1, 0.0, done=True, reason="eos")

    monkeypatch.setattr(Speaker, "speak", speak)
    body = json.dumps({**ASKED, "stream": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json"
    with connected(endpoint) as stalled:
        stalled.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        assert stalled.recv(8) == b"HTTP/1.1"
        wait_for(lambda: post(endpoint, ASKED).status_code == 200)


def test_a_prompt_that_takes_long_to_read_holds_up_nobody_else(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go, held_up, real = threading.Event(), threading.Event(), list[bool](), Speaking._tokens

    def tokens(self: Speaking, text: str, *, templated: bool) -> list[int]:
        reading.set()
        held_up.append(not go.wait(PATIENCE))
        return real(self, text, templated=templated)

    monkeypatch.setattr(Speaking, "_tokens", tokens)
    asked = {"/v1/completions": ASKED, "/predict": {"request": {"prompt": "w1", "max_new_tokens": 4}}}
    for path, body in asked.items():
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(post, endpoint, body, path)
            assert reading.wait(PATIENCE)
            assert httpx.get(f"{endpoint.address}/health", timeout=PATIENCE).status_code == 200
            go.set()
            assert answer.result().status_code == 200
        reading.clear()
        go.clear()
    assert held_up == [False, False]


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Completion, {"model": "m", "prompt": [{}] * 50_000}),
        (Completion, {"model": "m", "prompt": [[{}] * 50_000]}),
        (Completion, {"model": "m", "prompt": [[]] * 50_000}),
        (Chat, {"model": "m", "messages": [{"role": "user", "content": [1] * 50_000}]}),
    ],
)
def test_of_many_items_that_are_wrong_no_more_than_a_few_are_told(kind: Any, given: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as told:
        read(kind, json.dumps(given).encode())
    assert told.value.status == 400 and "more" not in told.value.message


def test_an_answer_that_finds_no_memory_on_the_gpu_ends_nothing_else(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, real = iter([True]), Speaker.speak

    def speak(self: Speaker, *given: Any, **more: Any) -> Any:
        if next(full, False):
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")
        return real(self, *given, **more)

    monkeypatch.setattr(Speaker, "speak", speak)
    assert post(endpoint, ASKED).status_code == 500
    assert httpx.get(f"{endpoint.address}/health", timeout=PATIENCE).json() == {"status": "ok"}
    assert post(endpoint, ASKED).status_code == 200
