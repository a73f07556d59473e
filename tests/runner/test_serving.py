"""An endpoint talks to OpenAI's own client and to the guide's callers, keeps others out, and ends as it is told."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from core.events import Finished
from core.spec import AdapterSource, ModelSource
from gpu_runner.evaluate import device_for
from gpu_runner.failures import Cancelled, JobError, Paused
from gpu_runner.generate import generate
from gpu_runner.serving.door import BODY
from gpu_runner.spool import Spool
from gpu_runner.swapping import Base
from tests.runner.serving import GREEDY, KEY, PATIENCE, Served, make_models, served, spec_of, wait_for

PROMPT = "w1 w2 w3"
TURNS: Any = [{"role": "user", "content": PROMPT}]
NAMES = ["base/tiny", "va1.0", "va2.0"]


@pytest.fixture(scope="module", autouse=True)
def _told_at_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpu_runner.serve.TELL", 0.0)
        yield


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_models(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def endpoint(parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("endpoint"), spec_of(parts, max_concurrency=4)) as made:
        yield made


@pytest.fixture
def client(endpoint: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{endpoint.address}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE) as made:
        yield made


@pytest.fixture
def http(endpoint: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=endpoint.address, headers={"Authorization": f"Bearer {KEY}"}, timeout=PATIENCE) as made:
        yield made


@pytest.fixture(scope="module")
def answers(parts: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What evaluations answer, by name: to the prompt as it is, and as the chat template writes it."""
    source = ModelSource(**parts["model"])
    base = Base(source, device_for(source, 0, None, print), None, None)
    found = {}
    for name, adapter in zip(NAMES, [None, *(AdapterSource(**each) for each in parts["adapters"])], strict=True):
        with base.wearing(adapter) as model:
            asked = [generate(model, base.tokenizer, [text], GREEDY, base.device, templated=chat)[0].text
                     for text, chat in ((PROMPT, False), (f"{PROMPT} a ", True))]  # fmt: skip
            found[name] = {"text": asked[0], "chat": asked[1]}
    assert len({each["chat"] for each in found.values()}) == 3
    return found


# ─── OpenAI's own client ──────────────────────────────────────────────────────────────────────────────


def test_the_base_and_its_adapters_are_models(client: openai.OpenAI) -> None:
    assert [each.id for each in client.models.list()] == NAMES
    assert client.models.retrieve("base/tiny").object == "model"
    with pytest.raises(openai.NotFoundError, match=r"there is base/tiny, va1\.0, va2\.0"):
        client.models.retrieve("gpt")


def test_each_name_answers_as_an_evaluation_does(client: openai.OpenAI, answers: Any) -> None:
    for name in NAMES:
        chat = client.chat.completions.create(model=name, messages=TURNS)
        text = client.completions.create(model=name, prompt=PROMPT)
        assert (chat.choices[0].message.content, text.choices[0].text) == (answers[name]["chat"], answers[name]["text"])
        assert chat.usage and chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens
        assert chat.model == name and chat.choices[0].finish_reason in ("stop", "length")


def test_a_stream_says_the_same_in_pieces(client: openai.OpenAI, answers: Any) -> None:
    for name in NAMES:
        stream = client.chat.completions.create(
            model=name, messages=TURNS, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(said) == answers[name]["chat"] and sum(map(bool, said)) > 3
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-2].choices[0].finish_reason and chunks[-1].usage and chunks[-1].usage.completion_tokens > 3
        pieces = list(client.completions.create(model=name, prompt=PROMPT, stream=True))
        assert "".join(each.choices[0].text for each in pieces) == answers[name]["text"]


def test_two_adapters_stream_at_once_and_neither_hears_the_other(client: openai.OpenAI, answers: Any) -> None:
    def say(name: str) -> str:
        chunks = client.chat.completions.create(model=name, messages=TURNS, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    with ThreadPoolExecutor(4) as pool:
        asked = NAMES[1:] * 2
        assert list(pool.map(say, asked)) == [answers[name]["chat"] for name in asked]


def test_a_wrong_key_gets_401(endpoint: Served) -> None:
    for key in ("another", KEY[:-1], KEY + "x", KEY.upper()):
        with (
            openai.OpenAI(base_url=f"{endpoint.address}/v1", api_key=key, max_retries=0) as stranger,
            pytest.raises(openai.AuthenticationError) as told,
        ):
            stranger.chat.completions.create(model="base/tiny", messages=TURNS)
        assert (told.value.status_code, told.value.code) == (401, "invalid_api_key")
        assert key not in str(told.value.body)


def test_settings_are_obeyed(client: openai.OpenAI) -> None:
    def say(**settings: Any) -> Any:
        return client.chat.completions.create(model="va1.0", messages=TURNS, **settings).choices[0]

    whole = say().message.content
    assert say(max_tokens=2).message.content == " ".join(whole.split()[:2])
    assert say(max_completion_tokens=2).finish_reason == "length"
    third = whole.split()[2]
    cut = say(stop=[third])
    assert third not in cut.message.content and cut.finish_reason == "stop"
    first, again, other = (say(temperature=5, seed=seed).message.content for seed in (1, 1, 2))
    assert first == again != other
    assert say(temperature=0).message.content == whole
    parts = [{"type": "text", "text": PROMPT}]
    as_parts = client.chat.completions.create(model="va1.0", messages=[{"role": "user", "content": parts}])  # type: ignore[list-item, misc]
    assert as_parts.choices[0].message.content == whole


def test_several_prompts_are_answered_in_their_order(client: openai.OpenAI, answers: Any) -> None:
    told = client.completions.create(model="va2.0", prompt=[PROMPT, "w9", PROMPT])
    assert [each.index for each in told.choices] == [0, 1, 2]
    assert told.choices[0].text == told.choices[2].text == answers["va2.0"]["text"] != told.choices[1].text
    ids = client.completions.create(model="va2.0", prompt=[31, 32, 33])
    assert ids.choices[0].text


# ─── the guide's format ───────────────────────────────────────────────────────────────────────────────


def test_the_guides_callers_are_answered(http: httpx.Client, endpoint: Served, answers: Any) -> None:
    asked = {"request": {"prompt": PROMPT}}
    assert http.post("/predict", json=asked).json() == {"success": True, "response": answers["va1.0"]["text"]}
    base = http.post("/", json={"request": {"prompt": PROMPT, "model": "base/tiny", "max_new_tokens": 3}}).json()
    assert base["response"] == " ".join(answers["base/tiny"]["text"].split()[:3])
    bare = httpx.post(f"{endpoint.address}/predict?accessKey={KEY}", json={"accessKey": KEY, **asked}, timeout=PATIENCE)
    assert bare.json()["success"]
    assert httpx.post(f"{endpoint.address}/predict?accessKey=no", json=asked, timeout=PATIENCE).status_code == 401
    assert (
        httpx.post(f"{endpoint.address}/v1/completions?accessKey={KEY}", json={}, timeout=PATIENCE).status_code == 401
    )
    wrong = http.post("/predict", json={"request": {"prompt": 7, "model": "gpt"}})
    assert wrong.status_code == 400 and wrong.json()["success"] is False and "request.prompt" in wrong.json()["errors"]


# ─── what is not answered ─────────────────────────────────────────────────────────────────────────────

CHAT = "/v1/chat/completions"
ASKED = {"model": "base/tiny", "messages": TURNS}
HOSTILE: list[tuple[str, bytes | dict[str, Any], int, str]] = [
    (CHAT, b"", 400, "no JSON"),
    (CHAT, b"\xff\xfe{}", 400, "no JSON"),
    (CHAT, b"[" * 100_000, 400, "nested too deeply"),
    (CHAT, b'{"model": "base/tiny", "temperature": NaN}', 400, "NaN"),
    (CHAT, b'{"model": "base/tiny", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, "no JSON"),
    (CHAT, b"7", 400, "dictionary"),
    (CHAT, b'{"max_tokens": ' + b"9" * 5000 + b"}", 400, "no JSON"),
    (CHAT, {}, 400, "messages: "),
    (CHAT, {**ASKED, "messages": []}, 400, "messages: "),
    (CHAT, {**ASKED, "messages": [{"role": "root", "content": "x"}]}, 400, "messages.0.role: "),
    (CHAT, {**ASKED, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages.0.content"),
    (CHAT, {**ASKED, "temperature": "hot", "max_tokens": 0, "top_p": 2}, 400, "temperature: "),
    (CHAT, {**ASKED, "max_tokens": True}, 400, "max_tokens: "),
    (CHAT, {**ASKED, "n": 2}, 400, "n: can't be asked"),
    (CHAT, {**ASKED, "tools": [{"type": "function"}]}, 400, "tools"),
    (CHAT, {**ASKED, "surprise": 1}, 400, "surprise: is not known here"),
    (CHAT, {**ASKED, "stop": [""]}, 400, "stop.0: "),
    (CHAT, {**ASKED, "model": "../../etc/passwd\x1b[31m"}, 404, "there is no model"),
    (CHAT, {**ASKED, "max_tokens": 1000}, 400, "room for 128 tokens"),
    (CHAT, {**ASKED, "messages": [{"role": "user", "content": "w1 " * 500}]}, 400, "room for 128 tokens"),
    ("/v1/completions", {"model": "base/tiny", "prompt": []}, 400, "prompt: "),
    ("/v1/completions", {"model": "base/tiny", "prompt": [5, -1]}, 400, "prompt"),
    ("/v1/completions", {"model": "base/tiny", "prompt": [10**6]}, 400, "token ids are below 128"),
    ("/v1/completions", {"model": "base/tiny", "prompt": ["a"] * 33}, 400, "32 at most"),
    ("/v1/embeddings", {}, 404, "not known here"),
]


@pytest.mark.parametrize(("path", "body", "status", "told"), HOSTILE, ids=[str(n) for n in range(len(HOSTILE))])
def test_what_can_not_be_answered_is_refused_by_name(
    http: httpx.Client, path: str, body: bytes | dict[str, Any], status: int, told: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert told in error["message"] and set(error) == {"message", "type", "param", "code"}


def test_all_that_is_wrong_is_told_at_once(http: httpx.Client) -> None:
    wrong = {"temperature": "hot", "max_tokens": 0, "top_p": 2, "tools": [{}], "odd": 1}
    told = http.post(CHAT, json={**ASKED, **wrong}).json()["error"]["message"]
    assert all(f"{name}: " in told for name in wrong)


def test_a_body_without_end_is_not_read(endpoint: Served, http: httpx.Client) -> None:
    assert http.post(CHAT, json={"a": "x" * BODY}).status_code == 413
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 64 * BODY:
            sent += 1 << 16
            yield b" " * (1 << 16)

    try:
        answer = http.post(CHAT, content=endless(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
    except httpx.WriteError:
        pass  # it hung up
    assert sent < 32 * BODY


def test_other_methods_types_and_addresses_are_refused(http: httpx.Client) -> None:
    assert http.get(CHAT).status_code == 405
    assert http.post(CHAT, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert http.get("/v1/nothing").json()["error"]["code"] == "unknown_url"
    told = http.post("/completions", json={}).json()["error"]["message"]
    assert told == "POST /completions is not known here; /v1/completions is: base_url ends in /v1"


def test_health_is_told_without_a_key_and_tells_no_more(endpoint: Served) -> None:
    assert httpx.get(f"{endpoint.address}/health", timeout=PATIENCE).json() == {"status": "ok"}
    assert httpx.get(f"{endpoint.address}/v1/models", timeout=PATIENCE).status_code == 401


# ─── many at once, and callers that go away ───────────────────────────────────────────────────────────


def long_stream(http: httpx.Client) -> Iterator[bytes]:
    """A stream that has begun, and goes on for long; closing it hangs up."""
    asked = {"model": "va1.0", "prompt": "w1", "max_tokens": 120, "stream": True}
    answer = http.send(http.build_request("POST", "/v1/completions", json=asked), stream=True)
    pieces = answer.iter_raw()
    next(pieces)
    return pieces


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Answers stand still after their first tokens until it is set, or their caller is gone."""
    from gpu_runner.speaking import Speaker

    go, real = threading.Event(), Speaker.speak

    def speak(self: Speaker, prompt: Any, adapter: Any, settings: Any, stop: Any, **more: Any) -> Any:
        long = {**settings, "min_new_tokens": settings["max_new_tokens"]}
        pieces = real(self, prompt, adapter, long, stop, **more)
        yield next(pieces)
        while not go.wait(0.01) and not stop():
            pass
        yield from pieces

    monkeypatch.setattr(Speaker, "speak", speak)
    yield go
    go.set()


def test_more_requests_than_it_takes_at_once_are_told_to_come_later(
    endpoint: Served, client: openai.OpenAI, http: httpx.Client, slow: threading.Event
) -> None:
    streams = [long_stream(http) for _ in range(4)]
    wait_for(lambda: endpoint.active() == 4)
    with pytest.raises(openai.RateLimitError) as told:
        client.completions.create(model="base/tiny", prompt=PROMPT)
    assert told.value.response.headers["retry-after"] == "1"
    for each in streams:
        each.close()  # type: ignore[attr-defined]
    slow.set()
    wait_for(lambda: endpoint.active() == 0)
    assert client.completions.create(model="base/tiny", prompt=PROMPT).choices


def test_a_caller_that_goes_away_ends_its_answer(
    endpoint: Served, client: openai.OpenAI, http: httpx.Client, slow: threading.Event
) -> None:
    stream = long_stream(http)
    wait_for(lambda: endpoint.active() == 1)
    stream.close()  # type: ignore[attr-defined]
    wait_for(lambda: endpoint.active() == 0)
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as rude:
        body = json.dumps({"model": "va1.0", "prompt": "w1", "max_tokens": 120}).encode()
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json"
        )
        rude.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: endpoint.active() == 1)
    wait_for(lambda: endpoint.active() == 0)
    slow.set()
    assert client.completions.create(model="base/tiny", prompt=PROMPT).choices


def test_what_it_did_is_told_in_differences(parts: dict[str, Any], tmp_path: Path) -> None:
    with served(tmp_path, spec_of({**parts, "adapters": []})) as one:
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=one.address, headers=headers, timeout=PATIENCE) as http:
            asked = {"model": "base/tiny", "prompt": PROMPT, "max_tokens": 3}
            made = [http.post("/v1/completions", json=asked).json()["usage"]["completion_tokens"] for _ in range(3)]
            http.post("/v1/completions", json={})
            http.get("/v1/models")
        httpx.post(f"{one.address}/v1/completions", json=asked, timeout=PATIENCE)
        wait_for(lambda: one.total("refused") == 2)
        assert (one.total("requests"), one.total("tokens"), one.total("failures")) == (3, sum(made), 0)
        assert one.active() == 0


# ─── without a key ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.decision("D-193")
def test_without_a_key_no_web_page_of_another_host_is_answered(parts: dict[str, Any], tmp_path: Path) -> None:
    with served(tmp_path, spec_of({**parts, "adapters": []}, key_sha256=None)) as open_one:
        asked = {"model": "base/tiny", "prompt": PROMPT}
        assert httpx.post(f"{open_one.address}/v1/completions", json=asked, timeout=PATIENCE).status_code == 200
        for host in ("evil.example", "[::1", "127.0.0.1.evil.example", "a b"):
            rebound = httpx.post(
                f"{open_one.address}/v1/completions", json=asked, headers={"Host": host}, timeout=PATIENCE
            )
            assert rebound.status_code in (400, 403), host
        for host in ("localhost:80", "127.0.0.2:8000", "[::1]:1"):  # where it may listen without a key
            own = httpx.post(f"{open_one.address}/v1/completions", json=asked, headers={"Host": host}, timeout=PATIENCE)
            assert own.status_code == 200, host
        form = httpx.post(f"{open_one.address}/v1/completions", content=json.dumps(asked), timeout=PATIENCE)
        assert form.status_code == 415
        assert httpx.post(f"{open_one.address}/predict", json={"request": {"prompt": PROMPT}}, timeout=PATIENCE).json()[
            "success"
        ]


# ─── its end, and its next attempt ────────────────────────────────────────────────────────────────────


def test_it_ends_when_it_is_told_and_gives_answers_a_moment(parts: dict[str, Any], tmp_path: Path) -> None:
    one = Served(tmp_path, spec_of(parts))
    with httpx.Client(base_url=one.address, headers={"Authorization": f"Bearer {KEY}"}, timeout=PATIENCE) as http:
        assert http.get("/v1/models").status_code == 200
        one.order("cancel")
        assert isinstance(one.ended(), Cancelled)
        with pytest.raises(httpx.TransportError):
            http.get("/v1/models")
    other = Served(tmp_path, spec_of(parts), attempt=2)
    assert other.address == f"http://127.0.0.1:{one.records('serving')[0]['port']}"
    other.order("pause")
    assert isinstance(other.ended(), Paused)


def test_one_that_has_served_for_a_while_says_so_once(
    parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_runner.serve.PROVEN", -1.0)
    with served(tmp_path, spec_of({**parts, "adapters": []})) as one:
        assert one.address
        wait_for(lambda: one.records("served"))
        assert httpx.get(f"{one.address}/health", timeout=PATIENCE).status_code == 200
    (told,) = one.records("served")
    assert "requests" not in told


def test_it_ends_by_itself_when_nobody_asks(
    parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpu_runner.speaking import Speaker

    real = Speaker.speak

    def speak(self: Speaker, *asked: Any, **more: Any) -> Any:
        if not (tmp_path / "loaded").exists():  # the first time is before it serves
            time.sleep(1.2)
            (tmp_path / "loaded").touch()
        return real(self, *asked, **more)

    monkeypatch.setattr(Speaker, "speak", speak)
    one = Served(tmp_path, spec_of({**parts, "adapters": []}, idle_seconds=1))
    looks = 0
    with httpx.Client(timeout=PATIENCE) as http:
        address = one.address
        while one.end is None:  # who only looks does not ask
            with contextlib.suppress(httpx.TransportError):
                looks += http.get(f"{address}/health").status_code == 200
    end = one.ended()
    assert looks and isinstance(end, Finished) and end.summary == {"ended": "nobody asked for 1 s"}
    assert end.at - one.records("serving")[0]["at"] >= 1


def test_where_it_answers_is_told_when_a_full_disk_has_room_again(
    parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, refused, real = threading.Event(), list[bytes](), Spool._append
    full.set()

    def append(self: Spool, line: bytes) -> None:
        if b'"type": "serving"' in line and full.is_set():
            refused.append(line)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, line)

    monkeypatch.setattr(Spool, "_append", append)
    with served(tmp_path, spec_of({**parts, "adapters": []})) as one:
        wait_for(lambda: refused)
        full.clear()
        assert one.address


def test_an_old_attempt_ends_when_a_later_one_is_there(
    parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_runner.serve.OLD", 0.0)
    one = Served(tmp_path, spec_of({**parts, "adapters": []}))
    assert one.address
    (one.directory.parent / "2").mkdir()
    assert isinstance(one.ended(), Cancelled)


def test_a_port_that_is_taken_is_told_or_another_is_taken(
    parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_runner.serving.listening.PATIENCE", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        end = Served(tmp_path, spec_of(parts, port=port)).ended()
        assert isinstance(end, JobError) and f"127.0.0.1 port {port}" in end.message and "free" in end.hint
        (tmp_path / "jobs/k/1").mkdir(parents=True)
        (tmp_path / "jobs/k/1/serving.json").write_text(json.dumps({"port": port}))
        with served(tmp_path, spec_of({**parts, "adapters": []}, job_id="k"), attempt=2) as other:
            assert not other.address.endswith(f":{port}")
            assert "is taken" in other.records("warning")[0]["text"]
    end = Served(tmp_path, spec_of(parts, host="203.0.113.7", job_id="l")).ended()
    assert isinstance(end, JobError) and "203.0.113.7" in end.message
