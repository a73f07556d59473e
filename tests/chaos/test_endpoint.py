"""An endpoint at a whole studio: started from the command line, called, killed while it answers, found again where it was, stopped."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import psutil
import pytest

from core.messages.adapters import AddAdapter
from core.messages.endpoints import EndpointMetadata, GetEndpoint
from core.types import JobStatus
from tests.runner.serving import CHAT
from tests.runner.tiny import make_adapter, make_model
from tests.whole import Whole, until


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    model = make_model(tmp_path / "model", decided=30)
    (model / "chat_template.jinja").write_text(CHAT)
    made = Whole(model)
    make_adapter(made.directory / "tuned", model, seed=1)
    made.up()
    yield made
    made.down()


def endpoint(whole: Whole, id: str) -> EndpointMetadata:
    return whole.client.call(GetEndpoint(id=id)).endpoint


def answers(address: str | None, key: str) -> list[str]:
    """What base and adapter say, asked by OpenAI's client."""
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) as client:
        said = []
        for name in ("tiny", "tuned"):
            pieces = client.chat.completions.create(
                model=name, messages=[{"role": "user", "content": "w1 w2"}], temperature=0, stream=True
            )
            said.append("".join(piece.choices[0].delta.content or "" for piece in pieces))
    return said


@pytest.mark.timeout(400)
def test_an_endpoint_is_found_where_it_was_whatever_is_killed(whole: Whole) -> None:
    model = whole.resources()["base_model_id"]
    whole.client.call(AddAdapter(type="project", name="tuned", model_id=model, location="tuned"))
    served = json.loads(whole.fts("serve", "tiny", "--adapter", "tuned", "--num-memory", "1", "-o", "json").stdout)
    id, key, address = served["endpoint"]["id"], served["key"], served["endpoint"]["address"]
    assert (served["endpoint"]["name"], served["endpoint"]["models"]) == ("tuned", ["tiny", "tuned"])
    first = answers(address, key)
    assert first[0] != first[1] and all(first)
    kept = [path for path in whole.settings.root.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    assert kept == []

    for name in ("runner", "actors"):
        os.kill(whole.pid(name), signal.SIGKILL)
    assert answers(address, key) == first  # a runner's death is none of the endpoint's
    whole.pid("actors"), whole.pid("runner")
    until(lambda: endpoint(whole, id).requests >= 4, 60, "its requests are counted")
    assert (endpoint(whole, id).attempt, endpoint(whole, id).address) == (1, address)

    child = whole.settings.artifacts_root / "jobs" / id / "1" / "child.json"
    psutil.Process(json.loads(child.read_text())["pid"]).kill()
    until(lambda: endpoint(whole, id).attempt == 2 and endpoint(whole, id).address, 90, "it serves again")
    assert endpoint(whole, id).address == address and answers(address, key) == first

    shown = whole.fts("endpoint", "list").stdout
    assert address in shown and "running" in shown
    line = whole.fts("serve", "tiny", "--num-memory", "1", "--no-auth", "--idle-seconds", "600").stdout
    (call,) = [each for each in line.splitlines() if each.startswith("curl ")]
    told = subprocess.run(shlex.split(call), capture_output=True, check=True, timeout=60).stdout
    assert json.loads(told)["choices"][0]["text"]

    whole.fts("endpoint", "stop", "tuned")
    until(lambda: endpoint(whole, id).status.finished, 60, "it ends")
    assert (endpoint(whole, id).status, endpoint(whole, id).address) == (JobStatus.succeeded, None)
    with pytest.raises(openai.APIConnectionError):
        answers(address, key)
    assert "answering at" in whole.fts("endpoint", "logs", id).stdout
    assert whole.fts("endpoint", "remove", "tuned", "--remove-files").returncode == 0
