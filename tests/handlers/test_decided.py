"""What docs/decisions.md decides about resources and messages, shown at a real store. The ids are that page's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from actors.world import INSPECTORS
from core.axolotl import shipped_formats
from core.queue import wire
from core.spec import EvaluationSpec, FineTuningSpec
from core.store.tables import Adapter, Dataset, FineTuningJob, Job, Model, Prompt
from tests.handlers.work import STARTED, SUCCEEDED, Speaker, add_inputs, job, say, start

decision = pytest.mark.decision


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def refused(desk: Desk, name: str, /, **payload: Any) -> set[str]:
    reply = answer(desk, name, payload, None)
    assert reply["code"] == "refused", reply
    return {each["rule"] for each in reply["breaches"] if each["severity"] == "ERROR"}


def train(desk: Desk, **fields: Any) -> set[str]:
    asked = {"adapter_name": "x", "base_model_id": "m", "dataset_id": "d", "prompt_id": "p"}
    return refused(desk, "StartFineTuningJob", **{**asked, **fields})


def sealed(desk: Desk, id: str) -> FineTuningSpec:
    return FineTuningSpec.model_validate(job(desk, id).spec)


def add_adapter(desk: Desk, id: str = "a", model: str = "m") -> None:
    with desk.store.write() as unit:
        unit.session.add(Adapter(id=id, type="project", name=id, model_id=model, location=f"{id}"))


def evaluate(desk: Desk, *pairs: tuple[str, str | None], **fields: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"dataset_id": "d", "prompt_id": "p", "num_cpu": 1, "num_gpu": 0, "num_memory": 1}
    asked["model_adapter_combinations"] = [{"base_model_id": model, "adapter_id": adapter} for model, adapter in pairs]
    return {**asked, **fields}


@decision("D-003")
def test_numbers_are_kept_as_doubles(desk: Desk) -> None:
    numbers = {"train_test_split": 0.9, "dataset_fraction": 0.7, "learning_rate": 1 / 3e5}
    job = say(desk, "GetFineTuningJob", id=start(desk, "x", **numbers))["fine_tuning_job"]
    assert {name: job[name] for name in numbers} == numbers
    assert sealed(desk, job["id"]).sampling.split == 0.9


@decision("D-004")
def test_an_adapters_name_is_taken_once_by_adapters_and_by_jobs_under_way(desk: Desk) -> None:
    add_adapter(desk, "taken")
    start(desk, "training")
    assert train(desk, adapter_name="taken") == {"FT-002"}
    assert train(desk, adapter_name="training") == {"FT-002"}


@decision("D-005")
def test_the_adapters_directory_exists_in_the_project_when_it_is_given_and_is_made_when_not(
    desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    assert Path(sealed(desk, start(desk, "a1", out_dir="mine")).out_dir) == tmp_path / "mine"
    for outside in ("nowhere", "../x", "/etc"):
        assert train(desk, out_dir=outside) == {"FT-003"}
    assert Path(sealed(desk, start(desk, "a2")).out_dir).is_dir()


@decision("D-009")
def test_epochs_and_learning_rate_override_the_config_only_when_they_are_given(desk: Desk) -> None:
    text = json.dumps({"num_train_epochs": 1, "learning_rate": 0.5})
    kept = sealed(desk, start(desk, "a1", training_arguments_config=text)).training_arguments
    assert (kept["num_train_epochs"], kept["learning_rate"]) == (1, 0.5)
    taken = sealed(desk, start(desk, "a2", training_arguments_config=text, num_epochs=4, learning_rate=0.1))
    assert (taken.training_arguments["num_train_epochs"], taken.training_arguments["learning_rate"]) == (4, 0.1)


@decision("D-010")
def test_a_config_comes_by_id_or_inline_and_the_job_keeps_both_id_and_text(desk: Desk) -> None:
    inline = say(desk, "GetFineTuningJob", id=start(desk, "a1", lora_config='{"r": 5}'))["fine_tuning_job"]
    assert json.loads(inline["lora_config"]) == {"r": 5}
    stored = say(desk, "GetConfig", id=inline["lora_config_id"])["config"]
    assert json.loads(stored["config"]) == {"r": 5}
    named = say(desk, "GetFineTuningJob", id=start(desk, "a2", lora_config_id=stored["id"]))["fine_tuning_job"]
    assert (named["lora_config_id"], json.loads(named["lora_config"])) == (stored["id"], {"r": 5})
    again = say(desk, "GetFineTuningJob", id=start(desk, "a3", lora_config='{ "r":5 }'))["fine_tuning_job"]
    assert again["lora_config_id"] == stored["id"]


def axolotl(desk: Desk, **fields: Any) -> dict[str, Any]:
    """A request for the axolotl framework on a dataset of instructions."""
    with desk.store.write() as unit:
        features = json.dumps(["instruction", "input", "output"])
        unit.session.merge(
            Dataset(id="i", type="project_csv", name="i", location="i.csv", features=features, sha256="3")
        )
    alpaca = json.dumps(shipped_formats()["alpaca"])
    say(desk, "AddConfig", type="axolotl_dataset_formats", config=alpaca, description="alpaca")
    config = say(desk, "AddConfig", type="axolotl", config="base_model: x\nadapter: lora\n")["config"]["id"]
    asked = {"framework_type": "axolotl", "axolotl_config_id": config, "base_model_id": "m", "dataset_id": "i"}
    return {"adapter_name": "x", "num_cpu": 1, "num_gpu": 0, "num_memory": 1, **asked, **fields}


@decision("D-011")
def test_a_given_prompt_is_kept_and_one_is_made_only_when_none_is_given(desk: Desk) -> None:
    fields = {"dataset_id": "i", "prompt_template": "{output}", "input_template": "{input}"}
    asked = axolotl(desk)
    given = say(desk, "AddPrompt", prompt={**fields, "name": "g", "completion_template": "{output}"})["prompt"]["id"]
    kept = say(desk, "StartFineTuningJob", **{**asked, "prompt_id": given})["fine_tuning_job"]
    made = say(desk, "StartFineTuningJob", **{**asked, "adapter_name": "y"})["fine_tuning_job"]
    assert kept["prompt_id"] == given
    assert made["prompt_id"] not in (None, given)
    told = answer(desk, "StartFineTuningJob", {**asked, "adapter_name": "z", "dataset_id": "d"}, None)
    assert told["code"] == "refused", (
        "no format fits the columns q and a: the failure of the prompt refuses the request"
    )


@decision("D-012")
def test_the_prompt_that_is_made_has_a_line_a_feature_and_serves_evaluation(desk: Desk) -> None:
    made = say(desk, "StartFineTuningJob", **axolotl(desk))["fine_tuning_job"]["prompt_id"]
    prompt = say(desk, "GetPrompt", id=made)["prompt"]
    lines = prompt["prompt_template"].splitlines()
    assert lines == ["Instruction: {instruction}", "Input: {input}", "Output: {output}"]
    assert "{output}" not in prompt["input_template"] and prompt["input_template"].endswith("Output:")
    assert prompt["completion_template"].strip() == "{output}"


@decision("D-013")
def test_the_adapter_is_registered_as_asked_and_the_job_knows_it(desk: Desk) -> None:
    ids = [start(desk, "wanted"), start(desk, "unwanted", auto_add_adapter=False)]
    runner = Speaker(desk, cpus=4)
    runner.report()
    for id in ids:
        saved = {"type": "artifact", "at": 1.0, "kind": "adapter", "path": f"/{id}", "files": {"w": "3"}}
        runner.tell(id, STARTED, saved, SUCCEEDED)
    (adapter,) = say(desk, "ListAdapters")["adapters"]
    assert (adapter["name"], adapter["fine_tuning_job_id"]) == ("wanted", ids[0])
    with desk.store.read() as session:
        assert [session.get_one(FineTuningJob, id).adapter_id for id in ids] == [adapter["id"], None]


@decision("D-021")
def test_a_prompts_id_is_the_senders_or_is_issued(desk: Desk) -> None:
    fields = {"dataset_id": "d", "prompt_template": "{q}", "input_template": "{q}", "completion_template": "{a}"}
    assert say(desk, "AddPrompt", prompt={**fields, "name": "one", "id": "mine"})["prompt"]["id"] == "mine"
    issued = say(desk, "AddPrompt", prompt={**fields, "name": "two"})["prompt"]["id"]
    assert issued and issued != "mine"


@decision("D-022")
def test_a_prompts_templates_name_columns_of_its_dataset(desk: Desk) -> None:
    fields = {
        "name": "x",
        "dataset_id": "d",
        "prompt_template": "{q}",
        "input_template": "{q}",
        "completion_template": "{a}",
    }
    for field, rule in (("prompt_template", "PR-003"), ("input_template", "PR-004"), ("completion_template", "PR-005")):
        for text in ("{other}", "{q.__class__}", "{q!r}"):
            assert refused(desk, "AddPrompt", prompt={**fields, field: text}) == {rule}


@decision("D-023")
def test_an_equal_config_is_answered_and_said_to_be_one(desk: Desk) -> None:
    first = say(desk, "AddConfig", type="custom", config='{"a": 1, "b": 2}')
    same = say(desk, "AddConfig", type="custom", config='{"b": 2, "a": 1}')
    assert (first["deduplicated"], same["deduplicated"]) == (False, True)
    assert same["config"]["id"] == first["config"]["id"]
    for other in ('{"a": 1.0, "b": 2}', '{"a": true, "b": 2}'):
        assert say(desk, "AddConfig", type="custom", config=other)["deduplicated"] is False


@decision("D-024")
def test_a_configs_description_is_stored_and_finds_the_family_of_the_model_it_names(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.get_one(Model, "m").family = "LlamaForCausalLM"
    named = say(desk, "AddConfig", type="lora_config", config='{"r": 3}', description="tiny")["config"]
    assert (named["description"], named["model_family"]) == ("tiny", "LlamaForCausalLM")
    free = say(desk, "AddConfig", type="lora_config", config='{"r": 3}', description="for small GPUs")["config"]
    assert (free["description"], free["model_family"]) == ("for small GPUs", None)


@decision("D-026")
def test_an_evaluated_adapter_exists_and_is_one_of_its_base_model(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.add(Model(id="n", type="project", name="other", location="n"))
    add_adapter(desk)
    assert refused(desk, "StartEvaluationJob", **evaluate(desk, ("m", "gone"))) == {"EV-006"}
    assert refused(desk, "StartEvaluationJob", **evaluate(desk, ("n", "a"))) == {"EV-006"}
    (told,) = answer(desk, "StartEvaluationJob", evaluate(desk, ("n", "a")), None)["breaches"]
    assert told["message"] == "adapter 'a' belongs to model 'tiny', not 'other'"
    assert say(desk, "StartEvaluationJob", **evaluate(desk, ("m", "a")))["parent_job_id"]


@decision("D-027")
@decision("D-028")
@decision("D-103")
def test_a_batch_answers_every_child_counted_from_one_and_is_one_job_for_a_runner(desk: Desk) -> None:
    add_adapter(desk)
    reply = say(desk, "StartEvaluationJob", **evaluate(desk, ("m", None), ("m", "a")))
    children = reply["evaluation_jobs"]
    assert [each["run_number"] for each in children] == [1, 2]
    assert {each["parent_job_id"] for each in children} == {reply["parent_job_id"]}
    sealed = EvaluationSpec.model_validate(job(desk, reply["parent_job_id"]).spec)
    assert [each.job_id for each in sealed.combinations] == [each["id"] for each in children]
    with desk.store.read() as session:
        assert session.query(Job).count() == 1


@decision("D-029")
def test_rows_are_held_out_by_the_job_that_trained_the_adapter_and_not_by_a_name(desk: Desk) -> None:
    trained = start(desk, "trained", train_test_split=0.8)
    say(desk, "CancelJob", id=trained)
    with desk.store.write() as unit:
        unit.session.add(
            Adapter(id="a", type="project", name="renamed", model_id="m", location="a", fine_tuning_job_id=trained)
        )
        unit.session.add(Adapter(id="b", type="project", name="trained", model_id="m", location="b"))

    def sampled(adapter: str) -> Any:
        parent = say(desk, "StartEvaluationJob", **evaluate(desk, ("m", adapter)))["parent_job_id"]
        return EvaluationSpec.model_validate(job(desk, parent).spec).sampling

    assert sampled("a").split == 0.8
    assert sampled("b") is None


@decision("D-041")
def test_a_worker_asks_for_what_the_job_does_unless_it_is_told_otherwise(desk: Desk) -> None:
    alike = job(desk, start(desk, "a1", num_workers=2, num_cpu=2, num_memory=3))
    apart = job(desk, start(desk, "a2", num_workers=2, num_cpu=2, num_memory=3, dist_cpu=1, dist_mem=4))
    assert (alike.cpus, alike.gpus, alike.memory) == (2, 0, 3)
    assert (apart.cpus, apart.gpus, apart.memory) == (1, 0, 4)


@decision("D-042")
def test_a_familys_defaults_come_first_and_hide_none_of_the_users(desk: Desk) -> None:
    from core.store.tables import Config

    with desk.store.write() as unit:
        unit.session.get_one(Model, "m").family = "LlamaForCausalLM"
        unit.session.add(
            Config(
                id="f", type="custom", config="{}", content_hash="f", model_family="LlamaForCausalLM", is_default=True
            )
        )
    mine = say(desk, "AddConfig", type="custom", config='{"mine": 1}')["config"]["id"]
    listed = [each["id"] for each in say(desk, "ListConfigs", type="custom", model_id="m")["configs"]]
    assert listed[0] == "f" and mine in listed
    everything = [each["id"] for each in say(desk, "ListConfigs", type="custom")["configs"]]
    assert mine in everything
    with desk.store.write() as unit:
        unit.session.get_one(Model, "m").family = "NoSuchForCausalLM"
    of_unknown = [each["id"] for each in say(desk, "ListConfigs", type="custom", model_id="m")["configs"]]
    assert of_unknown == everything == ["f", mine]


@decision("D-047")
@decision("D-043")
def test_names_are_unique_each_by_its_rule(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    assert "DS-101" in refused(desk, "AddDataset", type="project_csv", name="t", location="t.csv")
    assert "MD-101" in refused(desk, "AddModel", type="project", name="tiny", location="nowhere")
    add_adapter(desk, "taken")
    assert "AD-001" in refused(desk, "AddAdapter", type="project", name="taken", model_id="m", location="nowhere")
    with desk.store.read() as session:
        name = session.get_one(Prompt, "p").name
    fields = {"dataset_id": "d", "prompt_template": "{q}", "input_template": "{q}", "completion_template": "{a}"}
    assert refused(desk, "AddPrompt", prompt={**fields, "name": name}) == {"PR-001"}


@decision("D-047")
def test_a_name_on_the_hub_is_registered_once_of_whatever_revision(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("dataset", "model"):
        monkeypatch.setitem(INSPECTORS, kind, lambda message, world: {"features": ["a"], "revision": "c0ffee"})
    for message, rule in (("AddDataset", "DS-101"), ("AddModel", "MD-101")):
        say(desk, message, type="huggingface", huggingface_name="org/x@v1", name="first")
        assert refused(desk, message, type="huggingface", huggingface_name="org/x", name="second") == {rule}
    # a dataset and a model may have one name


@decision("D-101")
def test_a_key_does_a_command_once_while_every_send_has_a_message_of_its_own(desk: Desk) -> None:
    payload = {"type": "custom", "config": '{"once": 1}'}
    first, second = (answer(desk, "AddConfig", payload, "key") for _ in range(2))
    assert first["value"] == second["value"]
    assert answer(desk, "AddConfig", {**payload, "config": "{}"}, "key")["code"] == "conflict"
    sends = [wire.new_message("AddConfig", "commands", payload, key="key") for _ in range(2)]
    assert sends[0].id != sends[1].id and sends[0].slot != sends[1].slot
    assert wire.reply_key("fts", sends[0]) != wire.reply_key("fts", sends[1])


@decision("D-102")
def test_everything_that_a_runner_works_on_has_its_state_in_one_table(desk: Desk) -> None:
    add_adapter(desk)
    trained, batch = start(desk), say(desk, "StartEvaluationJob", **evaluate(desk, ("m", "a")))["parent_job_id"]
    with desk.store.read() as session:
        assert {each.id: each.status for each in session.query(Job)} == {trained: "queued", batch: "queued"}


@decision("D-104")
def test_a_job_that_waits_says_what_for(desk: Desk) -> None:
    Speaker(desk)
    waiting = start(desk, num_gpu=1)
    told = say(desk, "GetFineTuningJob", id=waiting)["fine_tuning_job"]
    assert "GPU" in told["waiting_for"]


@decision("D-018")
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfea\x00,\x00b\x00", b'a,b\n"open', b"a,b\n"],
    ids=["empty", "UTF-16", "malformed", "no rows"],
)
def test_a_file_that_holds_no_rows_that_can_be_read_is_a_breach_that_says_so(
    desk: Desk, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    reply = answer(desk, "AddDataset", {"type": "project_csv", "name": "x", "location": "x.csv"}, None)
    assert [each["rule"] for each in reply["breaches"]] == ["DS-003"]
    assert "x.csv" in reply["message"]


@decision("D-018")
def test_a_bom_is_no_part_of_a_columns_name(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    reply = say(desk, "AddDataset", type="project_csv", name="x", location="x.csv")
    assert reply["dataset"]["features"] == ["a", "b"]


@decision("D-020")
def test_an_adapters_directory_holds_a_config_and_safetensors_weights(desk: Desk, tmp_path: Path) -> None:
    asked = {"type": "project", "name": "x", "model_id": "m", "location": "x"}
    (tmp_path / "x").mkdir()
    assert refused(desk, "AddAdapter", **asked) == {"AD-003"}
    (tmp_path / "x" / "adapter_config.json").write_text('{"base_model_name_or_path": "nobody/knows"}')
    (tmp_path / "x" / "adapter_model.bin").write_bytes(b"pickled")
    assert refused(desk, "AddAdapter", **asked) == {"AD-003"}
    assert refused(desk, "AddAdapter", type="huggingface", name="y", model_id="m") == {"AD-103"}
