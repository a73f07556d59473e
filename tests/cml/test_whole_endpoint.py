"""An export to Cloudera ML through a whole studio: it serves, the studio's processes are killed, it serves on, it is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.client import StudioClient
from core.messages.adapters import AddAdapter
from core.messages.endpoints import EndpointMetadata, GetEndpoint, ListEndpoints, StopEndpoint
from core.messages.models import AddModel
from core.types import JobStatus
from gpu_runner.files import Files
from tests.cml.standin import StandIn
from tests.cml.test_endpoint import ECHO
from tests.cml.workshop import Workshop
from tests.runner.hub import hub
from tests.runner.tiny import make_adapter
from tests.whole import until


@pytest.fixture
def workshop(cloudera: StandIn, valkey_url: str, ns: str, tiny_model: Path) -> Iterator[Workshop]:
    """A studio in a larger project; the models that it makes there only echo."""
    script = cloudera.cloud.project / "fine-tuning-studio" / "gpu_runner" / "predict.py"
    script.parent.mkdir(parents=True)
    script.write_text(ECHO)
    with hub() as gate:
        gate.put("org/tiny", tiny_model)
        told = {"IS_COMPOSABLE": "1", "HF_ENDPOINT": gate.url, "HF_HUB_OFFLINE": "0"}
        made = Workshop(cloudera, valkey_url, ns, tiny_model, **told)
        try:
            made.up()
            make_adapter(made.project / "tickets", tiny_model)
            yield made
        finally:
            made.down()


def seen(client: StudioClient, id: str) -> EndpointMetadata:
    return client.call(GetEndpoint(id=id), timeout=60).endpoint


def fts(workshop: Workshop, *words: str) -> str:
    """What the command line prints, in a session of the project."""
    command = [sys.executable, "-c", "from tui.cli.main import main; main()", *words]
    done = subprocess.run(
        command, env=workshop.environment, cwd=workshop.project, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.nightly
def test_an_endpoint_outlives_the_studios_processes_and_goes_when_it_is_stopped(
    cloudera: StandIn, workshop: Workshop
) -> None:
    client = workshop.client
    base = client.call(AddModel(type="huggingface", huggingface_name="org/tiny", name="tiny"), timeout=60).model.id
    added = AddAdapter(type="project", name="tickets", model_id=base, location="tickets")
    client.call(added, timeout=60)
    asked = "export submit --type cml_model --base-model tiny --adapter tickets --model-name support --num-cpu 1 --wait"
    told = fts(workshop, *asked.split())
    assert "KEY=$(fts endpoint key support)\ncurl" in told and "/model?accessKey=$KEY" in told
    (made,) = client.call(ListEndpoints()).endpoints
    (model,) = cloudera.cloud.state["models"].values()
    assert fts(workshop, "endpoint", "key", "support").strip() == model["access_key"]
    assert seen(client, made.id).cml_model_id == model["id"]
    directory = workshop.settings.artifacts_root / "jobs" / made.id / "1"
    child = Files(directory).child()
    assert child is not None
    workshop.end_process("daemon", signal.SIGKILL)
    steward = workshop.steward(made.id)
    steward.kill()
    until(lambda: not Files(directory).locked(), 60, "the steward is dead")
    workshop.start("daemon")
    until(
        lambda: (now := Files(directory).child()) is not None and now.pid != child.pid,
        60,
        "another steward looks after it",
    )
    request = urllib.request.Request(
        f"{seen(client, made.id).address}?accessKey={model['access_key']}",
        json.dumps({"request": {"prompt": "hello"}}).encode(),
        {"Authorization": f"Bearer {cloudera.cloud.key}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["response"].endswith("tickets: hello")
    assert len(cloudera.cloud.state["builds"]) == len(cloudera.cloud.state["deployments"]) == 1
    client.call(StopEndpoint(id=made.id), timeout=60)
    until(lambda: seen(client, made.id).status.finished, 60, "it ends")
    told = seen(client, made.id)
    assert (told.status, told.address, cloudera.cloud.state["models"]) == (JobStatus.succeeded, None, {})
