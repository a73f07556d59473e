"""Every rule's examples run: what passes breaks nothing, what fails breaks it. Every id of the guide has both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.messages import REGISTRY, Message, parse
from core.rules import CHEAP, LOCAL, Example, NoWorld, Rule, check
from docs.guide import IDS
from tests.unit.test_shapes import SHAPE

RULES = [(message, rule) for message in REGISTRY.values() for rule in message.rules]
NAMES = [f"{message.__name__}-{rule.id}-{index}" for index, (message, rule) in enumerate(RULES)]


def built(message: type[Message[Any]], example: Example) -> Message[Any]:
    return message.model_validate({**message.EXAMPLE, **example.fields})


@pytest.mark.parametrize(("message", "rule"), RULES, ids=NAMES)
def test_passing_examples_break_nothing(message: type[Message[Any]], rule: Rule) -> None:
    assert rule.passes
    for example in rule.passes:
        assert [str(each) for each in rule.breaches(built(message, example), example.world)] == []


@pytest.mark.parametrize(("message", "rule"), RULES, ids=NAMES)
def test_failing_examples_break_the_rule(message: type[Message[Any]], rule: Rule) -> None:
    assert rule.fails
    for example in rule.fails:
        found = list(rule.breaches(built(message, example), example.world))
        assert found, f"{example.fields} breaks nothing"
        assert {each.rule for each in found} == {rule.id}
        assert all(each.message and each.message.strip() for each in found)


@pytest.mark.parametrize("id", IDS)
def test_every_id_of_the_guide_is_declared(id: str) -> None:
    assert id in {rule.id for _, rule in RULES}


def test_every_rule_says_what_it_asks() -> None:
    assert [rule.id for _, rule in RULES if not rule.text] == []


@pytest.mark.parametrize(("message", "rule"), RULES, ids=NAMES)
def test_a_breach_names_a_field_of_the_message_so_that_a_form_can_show_it_there(
    message: type[Message[Any]], rule: Rule
) -> None:
    fields = set(message.model_fields)
    for info in message.model_fields.values():
        fields |= {str(choice) for choice in getattr(info.validation_alias, "choices", [])}
    for example in rule.fails:
        for breach in rule.breaches(built(message, example), example.world):
            assert breach.field.split(".")[0] in fields


def test_a_messages_own_example_breaks_no_local_rule() -> None:
    for message in REGISTRY.values():
        if message.EXAMPLE:
            assert check(message.model_validate(message.EXAMPLE), have=LOCAL) == []


def test_every_message_says_what_it_does_and_what_it_answers() -> None:
    for message in REGISTRY.values():
        assert message.__doc__
        assert message.REPLY.__doc__
        assert message.model_json_schema()


KNOWN: dict[str, list[dict[str, Any]]] = {
    "models": [{"id": "m", "shape": SHAPE.model_dump()}],
    "datasets": [{"id": "d", "bytes": 10**6, "rows": 1000}],
    "runners": [
        {"id": "r", "host": "a", "cpus": 8, "memory": 64.0, "gpus": [{"index": 0, "name": "A100", "memory": 80.0}]}
        | {"engines": ["legacy"], "trusted": True}
    ],
}


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"training_arguments_config": {"per_device_train_batch_size": 0}}, "training_arguments_config"),
        ({"training_arguments_config": {"per_device_train_batch_size": -0.5}}, "training_arguments_config"),
        ({"training_arguments_config": {"per_device_train_batch_size": "x", "lr": 1}}, "training_arguments_config"),
        ({"training_arguments_config": {"per_device_train_batch_size": 1e300, "lr": 1}}, "training_arguments_config"),
        ({"training_arguments_config": {"gradient_accumulation_steps": 0}}, "training_arguments_config"),
        ({"lora_config": {"r": 0, "modules_to_save": 5}}, "lora_config"),
        ({"dataset_fraction": 1e308}, "dataset_fraction"),
        ({"max_length": 0}, "max_length"),
        ({"num_workers": 0}, "num_workers"),
    ],
    ids=str,
)
@pytest.mark.parametrize(("packing", "gpus"), [(True, 1), (False, 1), (True, 0)])
def test_a_value_that_one_rule_refuses_makes_no_other_fail(
    fields: dict[str, Any], refused: str, packing: bool, gpus: int
) -> None:
    message = REGISTRY["StartFineTuningJob"]
    told = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in fields.items()}
    asked = {"base_model_id": "m", "dataset_id": "d", "packing": packing, "num_cpu": 0, "num_gpu": gpus}
    payload = {**message.EXAMPLE, **asked, **told}
    found = check(parse("StartFineTuningJob", payload), NoWorld(KNOWN), CHEAP)
    assert {refused, "num_cpu"} <= {each.field for each in found}
