"""Models and adapters of MLflow's registry (docs/decisions.md, D-117 to D-119): what an id means, what is copied, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from actors.answering import answer
from actors.desk import Desk
from core.spec import FineTuningSpec
from core.store.tables import Adapter, Meta, Model
from tests.handlers.crowd import together
from tests.handlers.test_exports import tracking_server
from tests.handlers.work import add_inputs, job, say, start
from tests.registries import ADAPTER, CONFIG, FLAVOUR, PLAIN, TOKENIZER, WEIGHTS, Registry

decision = pytest.mark.decision
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow", "ignore::DeprecationWarning")
REFERENCE = {"MLmodel": "flavors: {transformers: {source_model_name: org/base, source_model_revision: c0ffee}}"}
# name -> its versions, oldest first
REGISTERED: dict[str, list[dict[str, str]]] = {
    "tiny": [PLAIN, {**PLAIN, "model.safetensors": "better", "modeling.py": "import os", "old.bin": "pickled"}],
    "flavoured": [FLAVOUR],
    "lora": [{f"peft/{name}": text for name, text in ADAPTER.items()}, ADAPTER],
    "own": [{**ADAPTER, "adapter_config.json": '{"base_model_name_or_path": "/elsewhere/models/tiny"}'}],
    "pickled": [{**CONFIG, **TOKENIZER, "pytorch_model.bin": "pickled"}],
    "mute": [{**CONFIG, **WEIGHTS}],
    "both": [{**FLAVOUR, **{f"peft/{name}": text for name, text in ADAPTER.items()}}],
    "two": [{f"{place}/{name}": text for place in "ab" for name, text in PLAIN.items()}],
    "reference": [{**REFERENCE, "components/tokenizer/tokenizer.json": "{}"}],
    "torn": [{**PLAIN, "model.safetensors.index.json": '{"weight_map": {"w": "model-2.safetensors"}}'}],
    "unreadable": [{**PLAIN, "config.json": "{"}],
    "strange": [{"MLmodel": "flavors: [", "notes.txt": "x"}],
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    made = Registry(tmp_path_factory.mktemp("registry"))
    for name, versions in REGISTERED.items():
        for files in versions:
            made.add(name, files)
    made.client.set_registered_model_alias("tiny", "champion", "1")
    return made


@pytest.fixture(autouse=True)
def connected(desk: Desk, registry: Registry) -> None:
    desk.settings.mlflow_tracking_uri = registry.uri
    add_inputs(desk.store)  # its model is called tiny, and is a directory


def add(desk: Desk, id: str, name: str = "new", **fields: Any) -> dict[str, Any]:
    asked = {"type": "model_registry", "model_registry_id": id, "name": name, **fields}
    model: dict[str, Any] = say(desk, "AddModel", **asked)["model"]
    return model


def refused(desk: Desk, name: str, id: str, /, **fields: Any) -> list[tuple[str, str]]:
    field = {"AddModel": "model_registry_id", "AddAdapter": "cml_registered_model_id"}[name]
    reply = answer(desk, name, {"type": "model_registry", field: id, "name": "new", **fields}, None)
    assert reply["code"] == "refused", reply
    return [(each["rule"], each["message"]) for each in reply["breaches"] if each["severity"] == "ERROR"]


def copies(desk: Desk) -> list[Path]:
    return sorted((desk.settings.artifacts_root / "registry").glob("*"))


def notes(desk: Desk) -> list[str]:
    with desk.store.read() as session:
        return [key for key in session.scalars(select(Meta.key)) if key.startswith("free:")]


def clean(desk: Desk) -> bool:
    """Whether nothing is left behind: no file, and no note of one."""
    return copies(desk) == [] and notes(desk) == []


@decision("D-117")
def test_a_version_is_pinned_and_recorded_with_its_origin_and_hashes(desk: Desk, registry: Registry) -> None:
    model = add(desk, "tiny")
    version = registry.client.get_model_version("tiny", "2")
    assert (model["cml_registered_model_id"], model["revision"]) == ("tiny", "2")
    assert (model["mlflow_run_id"], model["mlflow_experiment_id"]) == (version.run_id, registry.experiment)
    assert model["source"] == version.source == f"runs:/{version.run_id}/model"
    assert (model["family"], model["bytes"], model["type"]) == ("LlamaForCausalLM", 6, "model_registry")
    assert say(desk, "GetModel", id=model["id"])["model"] == model
    with desk.store.read() as session:
        recorded = session.get_one(Model, model["id"]).files
    assert recorded == {"model.safetensors": hashlib.sha256(b"better").hexdigest()}


@decision("D-118")
def test_the_studio_has_a_copy_of_what_is_needed_and_of_no_code(desk: Desk) -> None:
    place = Path(add(desk, "tiny/2")["location"])
    assert [place.parent] == copies(desk) and place.name == "tiny-2"
    assert {each.name: each.read_text() for each in place.iterdir()} == {**PLAIN, "model.safetensors": "better"}
    assert notes(desk) == [], "a row points there: it is nothing that may go"


MEANING = {
    "tiny": "2",
    "tiny/1": "1",
    " tiny/2 ": "2",
    "tiny@champion": "1",
    "tiny/latest": "2",
    "models:/tiny": "2",
    "models:/tiny/1": "1",
    "models:/tiny@champion": "1",
}


@decision("D-117")
def test_an_id_means_one_version(desk: Desk) -> None:
    for id, version in MEANING.items():
        model = add(desk, id)
        assert model["revision"] == version, id
        say(desk, "RemoveModel", id=model["id"])


def test_a_moved_alias_moves_no_model_that_is_registered(desk: Desk, registry: Registry) -> None:
    registry.client.set_registered_model_alias("tiny", "moving", "1")
    model = add(desk, "tiny@moving", "before")
    registry.client.set_registered_model_alias("tiny", "moving", "2")
    assert say(desk, "GetModel", id=model["id"])["model"]["revision"] == "1"
    assert add(desk, "tiny@moving", "after")["revision"] == "2"


def test_a_model_without_a_name_is_called_by_its_id(desk: Desk) -> None:
    assert say(desk, "AddModel", type="model_registry", model_registry_id="models:/tiny/1")["model"]["name"] == "tiny/1"
    assert (
        say(desk, "AddModel", type="model_registry", cml_registered_model_id="flavoured")["model"]["name"]
        == "flavoured"
    )


@decision("D-118")
def test_a_model_of_the_transformers_flavour_has_its_tokenizer_beside_it_in_the_copy(desk: Desk) -> None:
    model = add(desk, "flavoured")
    assert {each.name for each in Path(model["location"]).iterdir()} == set(PLAIN)
    assert model["family"] == "LlamaForCausalLM"


NOTHING = {
    "nobody": "nobody was not found in the model registry",
    "nobody/1": "nobody/1 was not found in the model registry",
    "tiny/9": "tiny/9 was not found",
    f"tiny/{10**30}": "tiny has no version 1000",
    "tiny@nobody": "alias nobody not found",
    "tiny/Production": "a version is a number, not 'Production'; an id is NAME (its newest version)",
    "tiny/-1": "a version is a number",
    "tiny/²": "a version is a number",
    "tiny/1/model": "a version is a number, not '1/model'",
    "tiny/": "a version is a number",
    "tiny@": "is no id of a model registry",
    "models:/": "is no id of a model registry: NAME (its newest version), NAME/VERSION",
    "runs:/abc/model": "is no id of a model registry",
    "it's": "it's was not found",
    "'\"": "'\" was not found",
    "tiny' OR name LIKE '%": "was not found",
}


def test_an_id_that_means_nothing_is_told(desk: Desk) -> None:
    for id, said in NOTHING.items():
        ((rule, message),) = refused(desk, "AddModel", id)
        assert rule == "MD-003" and said in message, (id, message)
    assert clean(desk)


LACKING = {
    "pickled": "pytorch_model.bin: pickled weights can run code and are not loaded",
    "mute": "mute/1 has no tokenizer (tokenizer.json, ",
    "lora": "lora/2 holds an adapter (adapter_config.json): add it as an adapter",
    "both": "both/1 holds an adapter (peft/adapter_config.json)",
    "two": "several places (a/, b/)",
    "reference": "it only refers to org/base@c0ffee on the Hub: add that, type huggingface",
    "torn": "torn/1 has no model-2.safetensors, which the index",
    "unreadable": "unreadable/1/config.json is not valid JSON",
    "strange": "strange/1 has no directory with config.json and *.safetensors weights",
}


@decision("D-118")
def test_a_version_without_the_files_of_a_model_is_refused_with_what_it_lacks(desk: Desk) -> None:
    for id, said in LACKING.items():
        ((rule, message),) = refused(desk, "AddModel", id)
        assert rule == "MD-003" and said in message, message
        assert str(desk.settings.root) not in message
    assert clean(desk)


def test_a_registry_that_was_never_made_has_nothing_and_is_not_made(desk: Desk) -> None:
    desk.settings.mlflow_tracking_uri = None
    ((rule, message),) = refused(desk, "AddModel", "tiny")
    assert rule == "MD-003" and "no model registry was made" in message
    assert not (desk.settings.root / "mlflow.db").exists()


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}"


def test_a_registry_that_is_away_is_no_fault_of_the_request(desk: Desk, nobody: str, registry: Registry) -> None:
    for name, fields in (("AddModel", {}), ("AddAdapter", {"model_id": "m"})):
        desk.settings.mlflow_tracking_uri = nobody
        payload = {"type": "model_registry", "name": "new", "model_registry_id": "pickled", **fields}
        reply = answer(desk, name, payload, f"{name} key")
        assert reply["code"] == "unavailable" and "can't be reached" in reply["message"]
        assert "secret" not in str(reply)
        desk.settings.mlflow_tracking_uri = registry.uri
        assert answer(desk, name, payload, f"{name} key")["code"] == "refused", "the key's reply was not remembered"


def test_a_server_that_is_no_registry_is_unavailable(desk: Desk) -> None:
    for status in (403, 404, 500):
        with tracking_server(status) as uri:
            desk.settings.mlflow_registry_uri = uri
            reply = answer(desk, "AddModel", {"type": "model_registry", "model_registry_id": "tiny", "name": "x"}, None)
        assert reply["code"] == "unavailable", reply
        assert "127.0.0.1" in reply["message"] and "secret" not in str(reply)


def test_a_registry_apart_from_the_tracking_store_is_asked(desk: Desk, registry: Registry, tmp_path: Path) -> None:
    desk.settings.mlflow_registry_uri = f"sqlite:///{tmp_path / 'none.db'}"
    assert refused(desk, "AddModel", "tiny")[0][0] == "MD-003"
    desk.settings.mlflow_registry_uri = registry.uri
    assert add(desk, "tiny")["revision"] == "2"


@decision("D-117")
def test_a_version_is_registered_once_and_another_one_beside_it(desk: Desk) -> None:
    first = add(desk, "tiny/1", "one")
    ((rule, message),) = refused(desk, "AddModel", "tiny@champion", name="other")
    assert rule == "MD-101" and f"(id {first['id']})" in message
    assert len(copies(desk)) == 1
    add(desk, "tiny/2", "two")
    assert len(copies(desk)) == 2


def test_nothing_is_copied_for_a_request_that_is_refused_anyway(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("it is copied")

    monkeypatch.setattr("actors.copies._fetch", never)
    assert [rule for rule, _ in refused(desk, "AddModel", "tiny", name="tiny")] == ["MD-101"]
    assert {rule for rule, _ in refused(desk, "AddAdapter", "lora", model_id="gone")} == {"AD-002"}
    assert clean(desk)


def test_a_job_gets_the_copy_and_its_hashes(desk: Desk, registry: Registry) -> None:
    model = add(desk, "tiny/1")
    source = FineTuningSpec.model_validate(job(desk, start(desk, base_model_id=model["id"])).spec).model
    assert source.location == model["location"] and source.hub_name is None
    assert source.files == {"model.safetensors": hashlib.sha256(b"weights").hexdigest()}


def adapter(desk: Desk, id: str, model: str = "m") -> dict[str, Any]:
    payload = {"type": "model_registry", "name": "new", "model_id": model, "cml_registered_model_id": id}
    return answer(desk, "AddAdapter", payload, None)


@decision("D-117")
def test_an_adapter_is_copied_and_pinned_wherever_its_files_lie(desk: Desk) -> None:
    for id, version in (("lora/1", "1"), ("lora", "2"), ("models:/lora/2", "2")):
        reply = adapter(desk, id)
        assert reply["ok"], reply
        made = reply["value"]["adapter"]
        assert (made["cml_registered_model_id"], made["revision"]) == ("lora", version)
        assert made["mlflow_run_id"] and made["mlflow_experiment_id"] and made["source"].startswith("runs:/")
        assert {each.name: each.read_text() for each in Path(made["location"]).iterdir()} == ADAPTER
        assert say(desk, "GetAdapter", id=made["id"])["adapter"] == made
        with desk.store.read() as session:
            files = session.get_one(Adapter, made["id"]).files
        assert files == {"adapter_model.safetensors": hashlib.sha256(b"lora").hexdigest()}
        say(desk, "RemoveAdapter", id=made["id"])


def test_the_base_model_that_an_adapter_names_is_compared(desk: Desk) -> None:
    assert [each["rule"] for each in adapter(desk, "lora")["breaches"]] == ["AD-107"]
    say(desk, "RemoveAdapter", id=say(desk, "ListAdapters")["adapters"][0]["id"])
    assert adapter(desk, "own")["breaches"] == [], "the path that it names ends like the model's name"
    say(desk, "RemoveAdapter", id=say(desk, "ListAdapters")["adapters"][0]["id"])
    with desk.store.write() as unit:
        unit.session.add(Model(id="h", type="huggingface", name="hub", huggingface_model_name="org/base"))
    reply = adapter(desk, "lora")
    assert [each["rule"] for each in reply["breaches"]] == ["AD-106"] and "'org/base'" not in reply["message"]
    assert adapter(desk, "lora", "h")["breaches"] == []


def test_a_version_that_is_no_adapter_is_refused(desk: Desk) -> None:
    for id, said in (
        ("nobody", "nobody was not found"),
        ("tiny", "tiny/2 has no directory with adapter_config.json and *.safetensors weights"),
        ("pickled", "pickled weights can run code"),
    ):
        ((rule, message),) = refused(desk, "AddAdapter", id, model_id="m")
        assert rule == "AD-105" and said in message
    assert clean(desk)


@decision("D-118")
def test_the_copy_goes_with_its_row_and_the_reply_says_what_it_freed(desk: Desk) -> None:
    model = add(desk, "tiny/1")
    adapter(desk, "lora", model["id"])
    model_copy, adapter_copy = (
        Path(each["location"]).parent for each in (model, say(desk, "ListAdapters")["adapters"][0])
    )
    reply = say(desk, "RemoveModel", id=model["id"], cascade=True)
    assert reply["paths"] == [str(adapter_copy), str(model_copy)]
    assert reply["freed_bytes"] == sum(len(text) for text in [*PLAIN.values(), *ADAPTER.values()])
    assert clean(desk)


def test_an_adapters_copy_goes_with_it_alone(desk: Desk) -> None:
    model = add(desk, "tiny/1")
    made = adapter(desk, "lora", model["id"])["value"]["adapter"]
    assert say(desk, "RemoveAdapter", id=made["id"])["paths"] == [str(Path(made["location"]).parent)]
    assert copies(desk) == [Path(model["location"]).parent]


def test_a_row_that_came_by_import_takes_no_files_but_its_own(desk: Desk) -> None:
    other = Path(add(desk, "tiny/1")["location"])
    own = desk.settings.artifacts_root / "jobs" / "x"
    own.mkdir(parents=True)
    for place in ("registry", "jobs/x", "registry/../jobs/x", "..", "", f"registry/{other.parent.name}/tiny-1"):
        location = str(desk.settings.artifacts_root / place) if place else None
        with desk.store.write() as unit:
            unit.session.add(Model(id="i", type="model_registry", name="i", location=location))
        assert say(desk, "RemoveModel", id="i")["paths"] == []
        assert own.is_dir() and {each.name for each in other.iterdir()} == set(PLAIN)


def test_a_model_outlives_what_the_registry_has_of_it(desk: Desk, registry: Registry) -> None:
    run = registry.add("gone", PLAIN)
    model = add(desk, "gone")
    shutil.rmtree(registry.directory / "artifacts" / run)
    assert Path(model["location"], "model.safetensors").read_text() == "weights"
    assert start(desk, base_model_id=model["id"])
    assert refused(desk, "AddModel", f"gone/{model['revision']}", name="again")[0][0] == "MD-101"


def test_sixteen_senders_of_one_version_leave_one_model_and_one_copy(desk: Desk) -> None:
    payload = {"type": "model_registry", "model_registry_id": "tiny/1", "name": "new"}
    replies = together(16, lambda index: answer(desk, "AddModel", payload, f"key{index}"))
    assert sorted(reply.get("code") or "ok" for reply in replies) == ["ok"] + ["refused"] * 15
    assert {each["rule"] for reply in replies for each in reply["breaches"]} == {"MD-101"}
    (kept,) = copies(desk)
    assert kept == Path(say(desk, "ListModels", type="model_registry")["models"][0]["location"]).parent
    assert notes(desk) == []


def test_one_key_copies_once(desk: Desk) -> None:
    payload = {"type": "model_registry", "model_registry_id": "tiny", "name": "new"}
    first = answer(desk, "AddModel", payload, "key")
    assert answer(desk, "AddModel", payload, "key") == first
    assert len(copies(desk)) == 1


def test_a_disk_without_room_is_told_before_anything_is_copied(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(desk.settings.project)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5))
    reply = answer(desk, "AddModel", {"type": "model_registry", "model_registry_id": "tiny", "name": "new"}, "key")
    assert reply["code"] == "unavailable" and "no room on the disk of" in reply["message"]
    assert clean(desk)
    monkeypatch.undo()
    assert answer(desk, "AddModel", {"type": "model_registry", "model_registry_id": "tiny", "name": "new"}, "key")["ok"]


def within_copying(monkeypatch: pytest.MonkeyPatch, do: Callable[[Path], None]) -> None:
    """Do something when the weights are written, which MLflow does in a thread of its own."""
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    copy = LocalArtifactRepository._download_file

    def watched(self: Any, remote_file_path: str, local_path: str) -> None:
        copy(self, remote_file_path, local_path)
        if remote_file_path.endswith(".safetensors"):
            do(Path(local_path))

    monkeypatch.setattr(LocalArtifactRepository, "_download_file", watched)


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        with Path("/dev/full").open("w") as device:
            device.write(path.read_text())

    within_copying(monkeypatch, full)
    reply = answer(desk, "AddModel", {"type": "model_registry", "model_registry_id": "tiny", "name": "new"}, None)
    assert reply["code"] == "unavailable", reply
    assert "no room on the disk of" in reply["message"]
    assert clean(desk)


def test_a_copy_that_is_being_made_is_swept_by_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from actors import freeing

    seen: list[list[str]] = []

    def swept(path: Path) -> None:
        freeing.sweep(desk)
        seen.append(notes(desk))
        assert path.exists()

    within_copying(monkeypatch, swept)
    assert add(desk, "tiny")["location"]
    assert len(seen[0]) == 1, "it was noted, and looked at"
    assert notes(desk) == []


@decision("D-119")
def test_what_was_imported_without_its_files_starts_no_job(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.add(Model(id="i", type="model_registry", name="imported", cml_registered_model_id="abc"))
    asked = {"base_model_id": "i", "dataset_id": "d", "prompt_id": "p", "adapter_name": "x", "num_gpu": 0}
    reply = answer(desk, "StartFineTuningJob", asked, None)
    (breach,) = reply["breaches"]
    assert (breach["rule"], breach["field"]) == ("MS-109", "base_model_id")
    assert "'imported' has no files here" in json.dumps(breach["message"])
