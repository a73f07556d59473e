"""Every rule's examples run: what passes breaks nothing, what fails breaks it. Every id of the guide has both."""

from __future__ import annotations

from typing import Any

import pytest

from core.messages import REGISTRY, Message
from core.rules import LOCAL, Example, Rule, check
from docs.guide import IDS

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
