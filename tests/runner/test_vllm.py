"""vLLM behind the endpoint's door: the same key, names and limits, its own answers (a stand-in's here)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from core.settings import Settings
from gpu_runner.failures import JobError
from tests.runner.serving import KEY, PATIENCE, Served, make_models, served, spec_of, wait_for


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_models(tmp_path_factory.mktemp("vllm"))


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in tells what it was asked; it is the vLLM of this runner."""
    program = tmp_path / "vllm"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("stand_in_vllm.py")} "$@"\n')
    program.chmod(0o755)
    using = Settings(home=tmp_path / ".app", vllm=str(program))
    monkeypatch.setattr("gpu_runner.serving.vllm.settings", lambda: using)
    monkeypatch.setenv("STAND_IN_NOTES", str(tmp_path / "notes"))
    monkeypatch.setattr("gpu_runner.serve.TELL", 0.0)
    return tmp_path / "notes"


def told(notes: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in notes.read_text().splitlines()]


CONFIG = {"do_sample": True, "temperature": 0.8, "max_new_tokens": 60, "top_p": 1, "top_k": 50, "num_beams": 1}


@pytest.fixture
def endpoint(parts: dict[str, Any], notes: Path, tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, spec_of(parts, engine="vllm", generation=CONFIG)) as made:
        assert made.address
        yield made


@pytest.fixture
def client(endpoint: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{endpoint.address}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE) as made:
        yield made


def test_it_is_started_with_the_base_and_its_adapters_and_no_secret_on_its_command_line(
    parts: dict[str, Any], endpoint: Served, notes: Path
) -> None:
    (first,) = told(notes)
    asked = first["arguments"]
    assert (asked["model"], asked["served_model_name"]) == (parts["model"]["location"], "base/tiny")
    assert (asked["host"], asked["load_format"], asked["enable_lora"]) == ("127.0.0.1", "safetensors", True)
    assert [each["name"] for each in asked["lora_modules"]] == ["va1.0", "va2.0"]
    assert (asked["max_loras"], asked["max_lora_rank"], first["key"]) == (2, 8, True)
    assert KEY not in json.dumps(first["argv"])


def test_a_proxy_of_the_machine_is_not_asked_for_it(
    parts: dict[str, Any], notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody is there
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with served(tmp_path, spec_of(parts, engine="vllm", generation=CONFIG)) as made:
        assert made.address


def test_its_answers_come_through_with_the_endpoints_own_settings_under_them(
    client: openai.OpenAI, endpoint: Served, notes: Path
) -> None:
    assert [each.id for each in client.models.list()] == ["base/tiny", "va1.0", "va2.0"]
    for name in ("base/tiny", "va2.0"):
        chat = client.chat.completions.create(model=name, messages=[{"role": "user", "content": "x"}], temperature=0)
        assert chat.choices[0].message.content == name
    body = told(notes)[-1]["body"]
    assert (body["temperature"], body["max_tokens"], body["top_k"]) == (0, 60, 50)
    pieces = list(client.completions.create(model="va1.0", prompt="x", stream=True, max_tokens=3, n=1))
    assert "".join(each.choices[0].text for each in pieces) == "va1.0 " * 3
    predicted = httpx.post(f"{endpoint.address}/predict?accessKey={KEY}", json={"request": {"prompt": "x", "top_k": 7}})
    assert predicted.json() == {"success": True, "response": "va1.0"}
    assert (told(notes)[-1]["body"]["top_k"], told(notes)[-1]["path"]) == (7, "/v1/completions")
    wait_for(lambda: endpoint.total("requests") == 4)
    assert endpoint.total("tokens") == 15


def test_who_has_no_key_or_asks_for_another_model_never_comes_to_it(client: openai.OpenAI, notes: Path) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="another").completions.create(model="va1.0", prompt="x")
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="gpt", prompt="x")
    assert len(told(notes)) == 1


def test_what_it_refuses_is_told_as_it_says_it(client: openai.OpenAI, endpoint: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="vLLM does not like it"):
        client.completions.create(model="va1.0", prompt="fail")
    asked = {"request": {"prompt": "fail"}}
    refused = httpx.post(f"{endpoint.address}/predict?accessKey={KEY}", json=asked)
    assert (refused.status_code, refused.json()["errors"]) == (400, "vLLM does not like it")


def test_a_caller_that_hangs_up_hangs_up_there(client: openai.OpenAI, endpoint: Served, notes: Path) -> None:
    stream = client.completions.create(model="va1.0", prompt="long", stream=True)
    next(iter(stream))
    stream.close()
    wait_for(lambda: "hung_up" in told(notes)[-1])
    wait_for(lambda: endpoint.active() == 0 and endpoint.records("served"))


def test_the_endpoint_ends_with_it_and_leaves_none_behind(parts: dict[str, Any], notes: Path, tmp_path: Path) -> None:
    one = Served(tmp_path, spec_of(parts, engine="vllm", job_id="dies"))
    answer = httpx.post(
        f"{one.address}/v1/completions", json={"model": "va1.0", "prompt": "die"},
        headers={"Authorization": f"Bearer {KEY}"},
    )  # fmt: skip
    assert answer.status_code in (500, 503)  # the connection broke, before its end was noticed or after
    assert "vLLM ended with exit code 3" in str(one.ended())
    other = Served(tmp_path, spec_of(parts, engine="vllm", job_id="stops"))
    assert other.address
    (running,) = [
        each for each in psutil.Process().children(recursive=True) if "stand_in_vllm.py" in str(each.cmdline())
    ]
    other.stop()
    assert not running.is_running()


def test_one_that_does_not_come_up_fails_the_endpoint_with_a_next_step(
    parts: dict[str, Any], notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    end = Served(tmp_path, spec_of(parts, engine="vllm")).ended()
    assert isinstance(end, JobError) and "exit code 1" in end.message and "engine studio" in end.hint
    (tmp_path / "vllm").unlink()
    end = Served(tmp_path, spec_of(parts, engine="vllm", job_id="gone")).ended()
    assert isinstance(end, JobError) and "not on this runner" in end.message
