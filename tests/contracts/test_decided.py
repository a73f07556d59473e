"""What docs/decisions.md decides about requests and rules, shown without a studio. The ids are that page's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from core.errors import Conflict, Refused, StudioError
from core.messages import REGISTRY, parse
from core.messages.configs import canonical, content_hash, parse_config
from core.messages.fine_tuning import StartFineTuningJob
from core.rules import NoWorld, check
from core.settings import Settings
from core.store.session import Store
from core.template import TemplateError, columns, problems, render
from core.types import Severity

decision = pytest.mark.decision


def broken(name: str, /, **fields: Any) -> set[str]:
    """The rules that the message's example breaks with these fields, by what the message alone tells."""
    message = parse(name, {**REGISTRY[name].EXAMPLE, **fields})
    return {each.rule for each in check(message) if each.severity is Severity.ERROR}


def train(**fields: Any) -> set[str]:
    return broken("StartFineTuningJob", **fields)


@decision("D-002")
def test_the_names_of_the_tables_are_ours_and_the_originals_are_understood() -> None:
    ours = {"num_cpu": 3, "num_gpu": 2, "num_memory": 5}
    theirs = {"cpu": 3, "gpu": 2, "memory": 5}
    for name in ("StartFineTuningJob", "StartEvaluationJob"):
        assert parse(name, theirs) == parse(name, ours)
        assert set(ours) <= set(parse(name, theirs).model_dump())
    assert parse("StartFineTuningJob", {"output_dir": "x"}) == parse("StartFineTuningJob", {"out_dir": "x"})


@decision("D-019")
def test_a_model_of_a_registry_is_named_by_either_field() -> None:
    ours = parse("AddModel", {"type": "model_registry", "model_registry_id": "r"})
    assert parse("AddModel", {"type": "model_registry", "cml_registered_model_id": "r"}) == ours
    assert check(ours) == []


@decision("D-003")
def test_numbers_are_doubles() -> None:
    assert parse("StartFineTuningJob", {"train_test_split": 0.9}).model_dump()["train_test_split"] == 0.9
    assert int(10 * StartFineTuningJob(train_test_split=0.7).train_test_split) == 7


@decision("D-004")
@pytest.mark.parametrize("name", ["a\n", "-", "--", "ä", "a b", "", "a_b", "٣", "a/b"])
def test_an_adapters_name_is_ascii_letters_digits_and_hyphens_to_its_end(name: str) -> None:
    assert "FT-002" in train(adapter_name=name)


@decision("D-014")
def test_the_guides_dataset_formats_are_shipped_with_sharegpt_and_completion() -> None:
    from core.axolotl import Format, format_columns, shipped_formats

    formats = {name: Format(name, format_columns(content)) for name, content in shipped_formats().items()}
    assert len(formats) == 22 and {"alpaca", "sharegpt", "completion"} <= set(formats)
    assert all(each.columns for each in formats.values())


@decision("D-015")
def test_the_output_column_is_the_one_whose_name_ranks_first_else_the_last() -> None:
    from core.output_columns import output_column, ranked

    assert output_column(["response", "text", "answer"])[0] == "answer"
    assert output_column(["Output_Text", "b"])[0] == "Output_Text"
    assert output_column(["a", "b"])[0] == "b"
    assert len(ranked()) > 300 and list(ranked())[:3] == ["answer", "response", "output"]


@decision("D-006")
@pytest.mark.parametrize("field", ["num_epochs", "learning_rate", "dataset_fraction", "train_test_split"])
def test_only_finite_numbers_are_numbers_and_a_split_of_one_is_legal(field: str) -> None:
    rule = {
        "num_epochs": "FT-008",
        "learning_rate": "FT-009",
        "dataset_fraction": "FT-010",
        "train_test_split": "FT-011",
    }
    for value in (float("nan"), float("inf"), -float("inf")):
        if field == "num_epochs":  # a whole number has no such values: they are of the wrong shape
            with pytest.raises(Refused, match="num_epochs"):
                train(num_epochs=value)
        else:
            assert rule[field] in train(**{field: value})
    assert train(train_test_split=1.0) == set()


@decision("D-022")
def test_a_template_names_columns_and_does_nothing_else() -> None:
    row = {"a": "x", "b c": "y"}
    assert render("{a} {b c} {{a}}", row) == "x y {a}"
    for text in ("{a.__class__}", "{a[0]}", "{a!r}", "{a:>9}", "{}", "{0.a}", "{ a}", "{a", "a}", "{{a}"):
        with pytest.raises(TemplateError):
            columns(text)
    assert problems("{a}{d}", list(row))


@decision("D-023")
def test_a_configs_content_is_a_mapping_and_equal_whatever_the_order_of_its_keys() -> None:
    assert broken("AddConfig", type="toml") == {"CF-001"}
    for text in ("[1]", "1", "null", '"a"', "{", '{"r": 1, "r": 2}', '{"lora_alpha": NaN}'):
        assert broken("AddConfig", config=text) == {"CF-002"}
    assert broken("AddConfig", type="axolotl", config="- 1") == {"CF-003"}
    one, other = ({"b": [{"d": 1, "c": 2}], "a": 1}, {"a": 1, "b": [{"c": 2, "d": 1}]})
    assert canonical(one) == canonical(other)
    texts = ['{"a": 1}', '{"a": 1.0}', '{"a": true}']
    assert len({content_hash("custom", None, parse_config("custom", text)) for text in texts}) == 3


@decision("D-025")
def test_an_evaluation_asks_for_cores_and_memory_and_maybe_gpus() -> None:
    for fields in ({"num_cpu": 0}, {"num_gpu": -1}, {"num_memory": 0}):
        assert broken("StartEvaluationJob", **fields) == {"EV-004"}
    assert broken("StartEvaluationJob", num_gpu=0) == set()


@decision("D-039")
def test_length_and_packing_are_settings_with_the_originals_values() -> None:
    fields = {field["name"]: field for field in _described("StartFineTuningJob")}
    assert (fields["max_length"]["default"], fields["packing"]["default"]) == (512, True)
    assert train(max_length=128, packing=False) == set()


def _described(name: str) -> list[dict[str, Any]]:
    return [{"name": field, **told} for field, told in REGISTRY[name].model_json_schema()["properties"].items()]


@decision("D-040")
def test_older_keys_are_accepted_with_advice_and_unknown_ones_refused_with_the_nearest() -> None:
    for key, value in {
        "warmup_ratio": 0.1,
        "evaluation_strategy": "no",
        "no_cuda": True,
        "group_by_length": True,
    }.items():
        text = json.dumps({key: value})
        told = check(parse("AddConfig", {"type": "training_arguments", "config": text}))
        assert [(each.rule, each.severity.value) for each in told] == [("CF-103", "INFO")]
        assert key in told[0].message
    (breach,) = check(parse("AddConfig", {"type": "training_arguments", "config": '{"learning_rat": 1}'}))
    assert (breach.rule, breach.severity) == ("CF-102", Severity.ERROR)
    assert "learning_rate" in breach.message


@decision("D-043")
def test_what_the_guide_has_no_id_for_is_numbered_from_101() -> None:
    from docs.guide import IDS

    declared = {rule.id for message in REGISTRY.values() for rule in message.rules}
    assert all(int(id.partition("-")[2]) > 100 for id in declared - set(IDS))
    assert {"DS-101", "DS-102", "MD-101", "MD-102"} <= declared
    assert broken("AddDataset", name=" ") == {"DS-102"}
    assert broken("AddModel", type="huggingface", huggingface_name=" ") == {"MD-102"}


@decision("D-044")
def test_the_guides_pool_numbers_are_settings() -> None:
    wanted = {"pool_size": 5, "max_overflow": 10, "pool_timeout": 30, "pool_recycle": 1800}
    assert {name: Settings.model_fields[name].default for name in wanted} == wanted
    store = Store(Settings(database_url=SecretStr("postgresql+psycopg://nobody@nowhere/x"), pool_size=7))
    pool: Any = store.writer.pool
    assert (pool.size(), pool._max_overflow, pool._timeout, pool._recycle) == (7, 10, 30, 1800)


@decision("D-104")
def test_a_request_that_does_not_say_asks_for_one_gpu() -> None:
    assert parse("StartFineTuningJob", {}).model_dump()["num_gpu"] == 1
    assert parse("StartEvaluationJob", {}).model_dump()["num_gpu"] == 1


@decision("D-107")
def test_what_is_wrong_with_a_shape_has_ids() -> None:
    told: dict[str, list[str]] = {}
    for name, payload in (
        ("StartFineTuningJob", {"num_cpu": "two"}),
        ("StartFineTuningJob", {"colour": "red"}),
        ("GetDataset", {}),
        ("GetDatase", {}),
    ):
        with pytest.raises(Refused) as refused:
            parse(name, payload)
        for each in refused.value.breaches:
            told.setdefault(each.rule, []).append(each.field)
    shape = {rule: fields for rule, fields in told.items() if rule.startswith("MS-")}
    assert shape == {"MS-101": ["num_cpu"], "MS-102": ["colour"], "MS-103": ["id"], "MS-104": [""]}
    assert told["FT-002"] == ["adapter_name"] * 2, (
        "of the other fields all that can be told without a studio is told too"
    )


@decision("D-108")
def test_a_number_is_not_taken_from_text_nor_text_from_a_number() -> None:
    for payload in (
        {"num_cpu": "2"},
        {"adapter_name": 2},
        {"num_cpu": 2.5},
        {"packing": "true"},
        {"learning_rate": "1e-4"},
    ):
        with pytest.raises(Refused):
            parse("StartFineTuningJob", payload)
    assert parse("StartFineTuningJob", {"learning_rate": 1}).model_dump()["learning_rate"] == 1.0


def test_every_error_is_a_value_error_as_in_the_guide() -> None:
    assert all(issubclass(each, ValueError) for each in (StudioError, Refused, Conflict))


@decision("D-007")
def test_a_prompt_is_required_by_the_legacy_framework_alone() -> None:
    rules = [each for each in StartFineTuningJob.rules if each.id == "FT-015"]
    world = NoWorld({"prompts": [{"id": "p"}]})
    for framework, prompt, refused in (("legacy", None, True), ("legacy", "p", False), ("axolotl", None, False)):
        message = StartFineTuningJob(framework_type=framework, prompt_id=prompt)
        assert any(list(rule.breaches(message, world)) for rule in rules) == refused
    gone = StartFineTuningJob(framework_type="axolotl", prompt_id="gone")
    assert any(list(rule.breaches(gone, world)) for rule in rules)


@decision("D-008")
def test_an_axolotl_config_is_checked_whenever_it_is_given() -> None:
    rule = next(each for each in StartFineTuningJob.rules if each.id == "FT-016")
    world = NoWorld({"configs": [{"id": "x", "type": "axolotl"}, {"id": "l", "type": "lora_config"}]})
    for framework in ("legacy", "axolotl"):
        for id, refused in (("x", False), ("l", True), ("gone", True)):
            message = StartFineTuningJob(framework_type=framework, axolotl_config_id=id)
            assert bool(list(rule.breaches(message, world))) == refused
