"""An export to MLflow's registry: what anyone loads from there answers like base and adapter, and there is no half version."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import mlflow
import pytest
from mlflow import pyfunc
from mlflow.exceptions import MlflowException

from core.settings import Settings
from gpu_runner import holding, merged, registered
from gpu_runner.files import Child, Files
from tests.registries import Registry
from tests.runner.attempts import Attempt
from tests.runner.exporting import answers, die_and_go_on, export_spec, make_pair
from tests.runner.studio import until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::Warning:mlflow", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::Warning:pydantic"),
    pytest.mark.filterwarnings("ignore:.*type hints:UserWarning"),
]
PROMPTS = ["w3 a b", "w7 a b", "a b c"]
GREEDY = {"do_sample": False, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry, which the runner's settings name."""
    made = Registry(tmp_path)
    using = Settings(home=tmp_path / ".app", mlflow_tracking_uri=made.uri)
    monkeypatch.setattr(registered, "settings", lambda: using)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, made.uri)
    yield made
    forget()


def forget() -> None:
    """MLflow keeps where it was told to look, in the environment too."""
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


def versions(registry: Registry) -> list[Any]:
    return list(registry.client.search_model_versions("name = 'tickets'"))


def logged(registry: Registry) -> list[str]:
    """The models that MLflow holds, registered or not."""
    experiments = [each.experiment_id for each in registry.client.search_experiments()]
    return [each.model_uri for each in registry.client.search_logged_models(experiments)]


@pytest.mark.parametrize("merge", [True, False])
def test_what_is_loaded_from_the_registry_answers_like_base_and_adapter(
    pair: Path, tmp_path: Path, registry: Registry, merge: bool
) -> None:
    spec = export_spec(pair, tmp_path, "model_registry", merge=merge, alias="champion")
    told = Attempt(tmp_path).run(spec)
    assert told["outcome"] == "succeeded", told
    made = told["summary"]["exported"]
    assert (made["version"], made["uri"]) == ("1", "models:/tickets/1")
    assert made["parity"]["same_text"] == 8 and made["parity"]["max_logit_difference"] < 1e-5
    loaded = pyfunc.load_model("models:/tickets@champion")
    assert loaded.predict(PROMPTS) == answers(pair, PROMPTS, pair / "adapter") != answers(pair, PROMPTS)
    assert loaded.predict(PROMPTS[:1], params={"max_new_tokens": 1})[0] == loaded.predict(PROMPTS)[0].split(" ")[0]
    info = loaded.metadata
    assert [each.name for each in info.signature.params.params][:2] == ["max_new_tokens", "do_sample"]
    assert info.saved_input_example_info is not None
    (version,) = versions(registry)
    assert version.tags["fts.training_job_id"] == "trained" and version.tags["fts.job_id"] == "job"
    assert version.description == "sorts *tickets*"
    run = registry.client.get_run(version.run_id)
    assert run.info.status == "FINISHED" and run.data.tags["fts.base_model"] == "base"
    root = Path(registry.client.get_logged_model(version.source.removeprefix("models:/")).artifact_location[7:])
    pinned = (root / "requirements.txt").read_text()
    assert (
        "torch==" in pinned and ("peft==" in pinned) is not merge and "torchvision" not in pinned and "+" not in pinned
    )
    assert made["files"] and not [name for name in made["files"] if name.endswith((".bin", ".pkl", ".pt"))]
    assert str(pair) not in (root / "MLmodel").read_text()
    assert not (Attempt(tmp_path, 9).directory.parent / "1" / "registry").exists()


def test_mlflow_models_serve_answers_like_base_and_adapter(pair: Path, tmp_path: Path, registry: Registry) -> None:
    assert Attempt(tmp_path).run(export_spec(pair, tmp_path, "model_registry"))["outcome"] == "succeeded"
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/tickets/1", "-p", str(port)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with subprocess.Popen(
        [*command, "--env-manager", "local"], env={**os.environ, "PATH": path}, start_new_session=True
    ) as server:
        try:
            until(lambda: answered(f"http://127.0.0.1:{port}/ping"), "it answers", 150)
            asked = json.dumps({"inputs": PROMPTS, "params": GREEDY}).encode()
            request = Request(f"http://127.0.0.1:{port}/invocations", asked, {"Content-Type": "application/json"})
            with urlopen(request, timeout=60) as reply:
                assert json.load(reply)["predictions"] == answers(pair, PROMPTS, pair / "adapter")
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def answered(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def test_a_broken_merge_is_never_registered(
    pair: Path, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = merged.generation_config

    def broken(model: Any, *others: Any) -> Any:
        model.get_output_embeddings().weight.data.mul_(1.01)  # after the merge was found to be right
        return real(model, *others)

    monkeypatch.setattr(merged, "generation_config", broken)
    told = Attempt(tmp_path).run(export_spec(pair, tmp_path, "model_registry"))
    assert told["outcome"] == "failed" and "does not answer like base and adapter" in told["error"]["message"]
    assert versions(registry) == [] and logged(registry) == []
    with pytest.raises(MlflowException):
        registry.client.get_registered_model("tickets")


def test_killed_anywhere_it_leaves_no_half_version_and_the_next_attempt_registers_one(
    pair: Path, tmp_path: Path, registry: Registry
) -> None:
    fates = [
        "gpu_runner.registered Registry._log after",
        "mlflow.tracking.client MlflowClient.create_model_version after",
    ]
    spec = export_spec(pair, tmp_path, "model_registry", alias="champion")
    environment = {"FTS_HOME": str(tmp_path / ".app"), "FTS_MLFLOW_TRACKING_URI": registry.uri}
    attempts = die_and_go_on(spec, tmp_path, fates, **environment)
    made = attempts[-1].finished()["summary"]["exported"]
    assert (made["version"], made["parity"]["same_text"]) == ("1", 8) and made["files"]
    assert attempts[-1].records("phase") == []  # it was there already
    (version,) = versions(registry)
    assert registry.client.get_model_version_by_alias("tickets", "champion").version == version.version
    assert logged(registry) == [version.source]
    assert pyfunc.load_model("models:/tickets/1").predict(PROMPTS) == answers(pair, PROMPTS, pair / "adapter")


def test_a_runner_that_lost_the_job_takes_nothing_from_the_one_that_has_it(
    pair: Path, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = export_spec(pair, tmp_path, "model_registry")
    lost, other = Attempt(tmp_path, 1), Attempt(tmp_path, 2)
    real = registered.Registry.open
    between: list[list[str]] = []

    def meanwhile(self: Any, device: Any) -> Any:
        """The other runner has logged its model when this one learns that it lost the job."""
        monkeypatch.setattr(registered.Registry, "open", real)
        files = Files(other.directory)
        files.write_child(Child(1, "now", "another runner"))
        descriptor = files.take_lock()
        assert descriptor is not None
        try:
            assert lost.run(spec)["outcome"] == "failed"
        finally:
            os.close(descriptor)
        between.append(logged(registry))
        return real(self, device)

    monkeypatch.setattr(registered.Registry, "open", meanwhile)
    told = other.run(spec)
    assert told["outcome"] == "succeeded", told
    (version,) = versions(registry)
    assert between == [[version.source]] == [logged(registry)]


def test_what_a_full_disk_took_of_it_is_given_back_before_it_waits_for_room(
    pair: Path, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt(tmp_path)
    scratch, real = attempt.directory / "registry", registered.Registry._log_merged
    left: list[bool] = []

    def full(self: Any, model: Any, tokenizer: Any) -> Any:
        if left:
            return real(self, model, tokenizer)
        (scratch / "half").write_bytes(b"half a model")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(registered.Registry, "_log_merged", full)
    monkeypatch.setattr(holding.Hold, "stand", lambda hold, error: left.append(scratch.exists()))
    assert attempt.run(export_spec(pair, tmp_path, "model_registry"))["outcome"] == "succeeded"
    assert left == [False] and len(logged(registry)) == 1


def test_an_mlflow_that_is_away_is_told(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    using = Settings(home=tmp_path / ".app", mlflow_tracking_uri="http://user:secret@127.0.0.1:9")
    monkeypatch.setattr(registered, "settings", lambda: using)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, "0")  # put back when the test is over
    told = Attempt(tmp_path).run(export_spec(pair, tmp_path, "model_registry"))
    forget()
    assert told["outcome"] == "failed" and "MLflow at http://…@127.0.0.1:9" in told["error"]["message"]
    assert "secret" not in str(told)
