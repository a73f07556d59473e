"""Models, adapters, prompts, configs and lists: what is stored, what is refused, and in which order it comes back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from actors.answering import answer
from actors.configs import ship_defaults
from actors.desk import Desk
from core.messages.configs import content_hash
from core.store.tables import Config, Model
from tests.handlers.crowd import together

MODEL = {"type": "project", "name": "tiny", "location": "models/tiny"}


def done(desk: Desk, name: str, /, **payload: Any) -> dict[str, Any]:
    reply = answer(desk, name, payload, None)
    assert reply["ok"], reply
    value: dict[str, Any] = reply["value"]
    return value


def refused(desk: Desk, name: str, /, **payload: Any) -> list[dict[str, Any]]:
    reply = answer(desk, name, payload, None)
    assert reply["code"] == "refused", reply
    found: list[dict[str, Any]] = reply["breaches"]
    return found


@pytest.fixture
def model_directory(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "tiny"
    path.mkdir(parents=True)
    (path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (path / "tokenizer.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")
    return path


@pytest.fixture
def adapter_directory(tmp_path: Path) -> Path:
    path = tmp_path / "adapters" / "a"
    path.mkdir(parents=True)
    (path / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere/models/tiny"}')
    (path / "adapter_model.safetensors").write_bytes(b"weights")
    return path


@pytest.fixture
def dataset(desk: Desk, tmp_path: Path) -> str:
    (tmp_path / "t.csv").write_text("text,intent\na,b\n")
    id: str = done(desk, "AddDataset", type="project_csv", name="tickets", location="t.csv")["dataset"]["id"]
    return id


def test_a_models_directory_is_recorded(desk: Desk, model_directory: Path) -> None:
    added = done(desk, "AddModel", **MODEL)["model"]
    assert (added["name"], added["family"], added["bytes"]) == ("tiny", "LlamaForCausalLM", 7)
    assert added["location"] == str(model_directory)
    assert done(desk, "GetModel", id=added["id"])["model"] == added
    with desk.store.read() as session:
        assert list(session.get_one(Model, added["id"]).files or {}) == ["model.safetensors"]


def test_a_models_sizes_are_recorded_where_its_files_tell_them(desk: Desk, model_directory: Path) -> None:
    config = {"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "vocab_size": 5, "intermediate_size": 16}
    (model_directory / "config.json").write_text(json.dumps(config))
    header = json.dumps({"model.layers.0.mlp.up_proj.weight": {"dtype": "BF16", "shape": [16, 8]}}).encode()
    (model_directory / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    shape = done(desk, "AddModel", **MODEL)["model"]["shape"]
    assert (shape["parameters"], shape["hidden"], shape["stored"]) == (128, 8, 2.0)
    assert shape["linears"] == [{"name": "up_proj", "inputs": 8, "outputs": 16, "count": 1}]


def test_a_model_without_a_name_gets_its_directorys_once(desk: Desk, model_directory: Path) -> None:
    assert done(desk, "AddModel", type="project", location="models/tiny")["model"]["name"] == "tiny"
    assert [each["rule"] for each in refused(desk, "AddModel", type="project", location="models/tiny")] == ["MD-101"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: (path / "config.json").unlink(), "config.json"),
        (lambda path: (path / "tokenizer.json").unlink(), "no tokenizer"),
        (lambda path: (path / "model.safetensors").rename(path / "pytorch_model.bin"), "pickled weights can run code"),
        (lambda path: (path / "config.json").write_text("{"), "not valid JSON"),
        (lambda path: (path / "config.json").write_text("[]"), "must hold an object"),
        (
            lambda path: (path / "model.safetensors.index.json").write_text(
                '{"weight_map": {"w": "model-2.safetensors"}}'
            ),
            "model-2.safetensors, which the index",
        ),
    ],
)
def test_a_directory_that_is_no_model_is_refused_with_what_it_lacks(
    desk: Desk, model_directory: Path, spoil: Any, said: str
) -> None:
    spoil(model_directory)
    (breach,) = refused(desk, "AddModel", **MODEL)
    assert breach["rule"] == "MD-103"
    assert said in breach["message"]


def test_the_hub_that_is_switched_off_is_unavailable_and_not_a_fault_of_the_request(desk: Desk) -> None:
    for name, payload in (
        ("AddModel", {"type": "huggingface", "huggingface_name": "org/m"}),
        ("AddDataset", {"type": "huggingface", "huggingface_name": "org/d"}),
    ):
        reply = answer(desk, name, payload, "k" + name)
        assert reply["code"] == "unavailable", reply
        assert "HF_HUB_OFFLINE" in reply["message"]


def test_an_adapter_is_recorded_and_may_name_its_base_by_any_path(
    desk: Desk, model_directory: Path, adapter_directory: Path
) -> None:
    model = done(desk, "AddModel", **MODEL)["model"]["id"]
    reply = answer(desk, "AddAdapter", {"name": "a", "model_id": model, "location": "adapters/a"}, None)
    assert reply["ok"]
    assert reply["breaches"] == []
    assert [each["name"] for each in done(desk, "ListAdapters", model_id=model)["adapters"]] == ["a"]
    assert done(desk, "ListAdapters", model_id="other")["adapters"] == []


def test_an_adapter_of_an_unknown_base_is_stored_with_a_note(
    desk: Desk, model_directory: Path, adapter_directory: Path
) -> None:
    model = done(desk, "AddModel", **MODEL)["model"]["id"]
    (adapter_directory / "adapter_config.json").write_text('{"base_model_name_or_path": "org/unknown"}')
    reply = answer(desk, "AddAdapter", {"name": "a", "model_id": model, "location": "adapters/a"}, None)
    assert [(each["rule"], each["severity"]) for each in reply["breaches"]] == [("AD-107", "INFO")]
    assert reply["ok"]


def test_an_adapter_of_another_model_of_the_studio_is_refused(
    desk: Desk, model_directory: Path, adapter_directory: Path
) -> None:
    model = done(desk, "AddModel", **MODEL)["model"]["id"]
    other = model_directory.parent / "other"
    model_directory.rename(other)
    done(desk, "AddModel", type="project", name="other", location="models/other")
    (adapter_directory / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(other)}))
    (breach,) = refused(desk, "AddAdapter", name="a", model_id=model, location="adapters/a")
    assert breach["rule"] == "AD-106"


def test_pickled_adapters_are_refused(desk: Desk, model_directory: Path, adapter_directory: Path) -> None:
    model = done(desk, "AddModel", **MODEL)["model"]["id"]
    (adapter_directory / "adapter_model.safetensors").rename(adapter_directory / "adapter_model.bin")
    (breach,) = refused(desk, "AddAdapter", name="a", model_id=model, location="adapters/a")
    assert breach["rule"] == "AD-003"


def prompt(dataset: str, **fields: str) -> dict[str, Any]:
    given = {
        "name": "p",
        "prompt_template": "{text} {intent}",
        "input_template": "{text}",
        "completion_template": "{intent}",
    }
    return {"prompt": {"dataset_id": dataset, **given, **fields}}


def test_a_prompt_is_stored_under_the_id_its_sender_chose(desk: Desk, dataset: str) -> None:
    added = done(desk, "AddPrompt", **prompt(dataset, id="mine"))["prompt"]
    assert added["id"] == "mine"
    assert done(desk, "GetPrompt", id="mine")["prompt"] == added
    assert {each["rule"] for each in refused(desk, "AddPrompt", **prompt(dataset, id="mine"))} == {"PR-001", "PR-102"}
    assert done(desk, "ListPrompts", dataset_id=dataset)["prompts"] == [added]


def test_every_template_that_names_a_strange_column_is_told(desk: Desk, dataset: str) -> None:
    found = refused(
        desk,
        "AddPrompt",
        **prompt(dataset, prompt_template="{x}", input_template="{text.y}", completion_template="{z}"),
    )
    assert [(each["rule"], each["field"]) for each in found] == [
        ("PR-004", "prompt.input_template"),
        ("PR-003", "prompt.prompt_template"),
        ("PR-005", "prompt.completion_template"),
    ]


def test_sixteen_senders_of_equal_content_get_one_config(desk: Desk) -> None:
    texts = ['{"r": 7, "lora_alpha": 9}', '{"lora_alpha":9,"r":7}']
    found = together(16, lambda index: done(desk, "AddConfig", type="lora_config", config=texts[index % 2]))
    assert len({each["config"]["id"] for each in found}) == 1
    assert sorted(each["deduplicated"] for each in found) == [False] + [True] * 15


@pytest.mark.parametrize("other", ['{"x": 1.0}', '{"x": true}', '{"x": "1"}', '{"x": 1, "y": 2}'])
def test_contents_that_differ_are_stored_apart(desk: Desk, other: str) -> None:
    first = done(desk, "AddConfig", type="custom", config='{"x": 1}')
    second = done(desk, "AddConfig", type="custom", config=other)
    assert second["deduplicated"] is False
    assert second["config"]["id"] != first["config"]["id"]


def test_a_config_belongs_to_the_family_of_the_model_that_its_description_names(
    desk: Desk, model_directory: Path
) -> None:
    done(desk, "AddModel", **MODEL)
    plain = done(desk, "AddConfig", type="custom", config='{"x": 1}', description="for nobody")["config"]
    family = done(desk, "AddConfig", type="custom", config='{"x": 1}', description="tiny")["config"]
    assert (plain["model_family"], family["model_family"]) == (None, "LlamaForCausalLM")
    assert family["description"] == "tiny"


def test_the_defaults_are_shipped_once(desk: Desk) -> None:
    ship_defaults(desk.store)
    found = done(desk, "ListConfigs")["configs"]
    assert sorted(each["type"] for each in found) == [
        "bitsandbytes_config",
        "generation_config",
        "lora_config",
        "training_arguments",
    ]
    assert all(each["is_default"] == 1 and each["description"] for each in found)


def test_defaults_of_the_models_family_come_first_on_the_first_page(desk: Desk, model_directory: Path) -> None:
    model = done(desk, "AddModel", **MODEL)["model"]["id"]
    mine = done(desk, "AddConfig", type="custom", config='{"x": 1}')["config"]["id"]
    with desk.store.write() as unit:
        unit.session.add(
            Config(
                id="own",
                type="custom",
                config="{}",
                model_family="LlamaForCausalLM",
                is_default=1,
                created_at=unit.now + 9,
            )
        )
    seen: list[str] = []
    while True:
        found = done(desk, "ListConfigs", model_id=model, limit=2, after=seen[-1] if seen else None)
        seen += [each["id"] for each in found["configs"]]
        if not found["has_more"]:
            break
    assert seen[0] == "own"
    assert mine in seen
    assert len(seen) == len(set(seen)) == 6


def test_pages_of_rows_of_one_moment_miss_and_repeat_none(desk: Desk) -> None:
    with desk.store.write() as unit:
        rows = [
            {"id": f"m{index:02}", "name": f"n{index}", "type": "project", "created_at": 5.0 if index % 3 else None}
            for index in range(20)
        ]
        unit.session.execute(insert(Model), rows)
    seen: list[str] = []
    while True:
        found = done(desk, "ListModels", limit=3, after=seen[-1] if seen else None)
        seen += [each["id"] for each in found["models"]]
        if not found["has_more"]:
            break
    assert sorted(seen) == [f"m{index:02}" for index in range(20)]
    assert len(set(seen)) == 20


@pytest.mark.parametrize("name", ["ListDatasets", "ListModels", "ListAdapters", "ListPrompts", "ListConfigs"])
def test_a_page_after_an_unknown_row_is_refused(desk: Desk, name: str) -> None:
    assert [(each["rule"], each["field"]) for each in refused(desk, name, after="nope")] == [("MS-105", "after")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("GetDataset", "dataset"),
        ("GetModel", "model"),
        ("GetAdapter", "adapter"),
        ("GetPrompt", "prompt"),
        ("GetConfig", "config"),
    ],
)
def test_what_is_not_there_is_named(desk: Desk, name: str, kind: str) -> None:
    reply = answer(desk, name, {"id": "nope"})
    assert (reply["code"], reply["message"]) == ("not_found", f"there is no {kind} with id 'nope'")


def test_a_config_costs_the_same_with_ten_thousand_stored(desk: Desk) -> None:
    def cost(start: int) -> float:
        times = []
        for index in range(start, start + 30):
            began = time.perf_counter()
            done(desk, "AddConfig", type="custom", config=json.dumps({"n": index}), description="about nothing")
            times.append(time.perf_counter() - began)
        return min(times)  # what else the machine does, costs too

    few = cost(0)
    with desk.store.write() as unit:
        rows = [
            {
                "id": f"c{index}",
                "type": "custom",
                "config": f'{{"m": {index}}}',
                "content_hash": content_hash("custom", None, {"m": index}),
            }
            for index in range(10_000)
        ]
        unit.session.execute(insert(Config), rows)
    assert cost(1000) < 2 * few


def test_the_log_is_read_in_pages_and_by_resource(desk: Desk, dataset: str) -> None:
    done(desk, "AddPrompt", **prompt(dataset))
    whole = done(desk, "ListEvents")["events"]
    assert [each["prev"] for each in whole] == [0, *(each["id"] for each in whole[:-1])]
    first = done(desk, "ListEvents", limit=2)
    assert first["has_more"]
    assert first["events"] == whole[:2]
    assert done(desk, "ListEvents", after=whole[1]["id"])["events"] == whole[2:]
    assert done(desk, "ListEvents", last=True, limit=1)["events"] == whole[-1:]
    (one,) = done(desk, "ListEvents", kind="datasets", resource_id=dataset)["events"]
    assert (one["type"], one["data"]) == ("ResourceAdded", {"name": "tickets"})
