"""docs/: the guide's messages and rules are counted honestly, JSON Schemas describe what is sent and answered."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from actors.answering import answer
from actors.desk import Desk
from core.messages import REGISTRY, Command, Message
from core.messages.base import Reply
from core.rules import Example, Rule
from docs import rules_page
from docs.guide import IDS, NAMES
from docs.schemas_page import pages, payload, reply
from tests.handlers.work import add_inputs, start

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
DECLARED = [(message, rule) for message in REGISTRY.values() for rule in message.rules]
PAGE = rules_page.page("")


def test_the_guide_lists_32_messages_and_49_rules() -> None:
    assert (len(NAMES), len(set(NAMES))) == (32, 32)
    assert (len(IDS), len(set(IDS))) == (49, 49)


@pytest.mark.decision("D-001")
def test_all_of_them_are_there() -> None:
    assert sorted(set(NAMES) - set(REGISTRY)) == []
    assert sorted(set(IDS) - {rule.id for _, rule in DECLARED}) == []
    assert "32 of 32 messages of the guide; 49 of 49 of its rules." in PAGE


def test_the_page_counts_what_is_there_and_names_what_is_missing() -> None:
    there, met = [name for name in NAMES if name in REGISTRY], {rule.id for _, rule in DECLARED} & set(IDS)
    assert f"{len(there)} of 32 messages of the guide; {len(met)} of 49 of its rules." in PAGE
    missing = re.findall(r"Missing (?:messages|rules): (.*)\.", PAGE)
    assert {each for line in missing for each in line.split(", ")} == (set(NAMES) | set(IDS)) - set(there) - met


@pytest.mark.parametrize(
    ("message", "rule"), DECLARED, ids=[f"{m.__name__}-{r.id}-{i}" for i, (m, r) in enumerate(DECLARED)]
)
def test_every_rule_has_a_row_with_what_passes_and_what_fails(message: type[Message[Any]], rule: Rule) -> None:
    row = rules_page._rule(message, rule)
    cells = [each.strip() for each in re.split(r"(?<!\\)\|", row)[1:-1]]
    assert len(cells) == 8 and all(cells[:2] + cells[3:]), row
    assert cells[0] == rule.id and "0x" not in row
    assert row in PAGE


def test_an_example_is_told_with_the_world_it_needs() -> None:
    from core.rules import NoWorld

    world = NoWorld({"models": [{"id": "m"}]}, {"dataset": ValueError("no such file")}, frozenset({"out"}))
    told = rules_page._example(Example({"a": "x|y"}, world))
    assert '{"a": "x\\|y"}' in told and "no such file" in told and '"directories": ["out"]' in told


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_schemas_are_valid_and_take_the_messages_own_example(name: str) -> None:
    message = REGISTRY[name]
    for schema in (payload(message), reply(message)):
        Draft202012Validator.check_schema(schema)
    if message.EXAMPLE:
        Draft202012Validator(payload(message)).validate(message.EXAMPLE)
    Draft202012Validator(reply(message)).validate(Reply(ok=False, message="no").model_dump(mode="json"))


def test_what_the_studio_answers_is_what_the_schemas_say(desk: Desk, tmp_path: Path) -> None:
    add_inputs(desk.store)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    job = start(desk)
    requests: list[tuple[str, dict[str, Any]]] = [
        ("AddDataset", {"type": "project_csv", "name": "x", "location": "t.csv"}),
        ("AddDataset", {"type": "zip"}),
        ("AddConfig", {"type": "custom", "config": "{}"}),
        ("GetFineTuningJob", {"id": job}),
        ("GetJobMetrics", {"id": job}),
        ("GetDataset", {"id": "nowhere"}),
        *((name, {}) for name in REGISTRY if name.startswith("List")),
        ("CancelJob", {"id": job}),
        ("RemoveFineTuningJob", {"id": job}),
    ]
    for name, fields in requests:
        told = answer(desk, name, fields, None)
        Draft202012Validator(reply(REGISTRY[name])).validate(json.loads(json.dumps(told)))


def test_the_schemas_say_the_queue_and_forbid_what_the_studio_does() -> None:
    published = set(pages())
    for name, message in REGISTRY.items():
        schema = payload(message)
        assert schema["x-queue"] == message.QUEUE
        assert schema["additionalProperties"] is False
        assert {f"schemas/{name}.json", f"schemas/{name}.reply.json"} <= published
    assert any(issubclass(message, Command) for message in REGISTRY.values())


def test_links_between_pages_lead_somewhere() -> None:
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
