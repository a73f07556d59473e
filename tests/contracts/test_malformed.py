"""Payloads made from the messages' own schemas, whole and broken: each gets a reply, and broken ones change nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from sqlalchemy import func, select

from actors.answering import answer
from actors.desk import Desk
from core.messages import REGISTRY
from core.store.tables import EVERY_TABLE

SCHEMAS = {name: message.model_json_schema() for name, message in REGISTRY.items()}
QUIET = [
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
]
TEXT = st.text(max_size=20)
# Words that mean something, so that payloads get past the first rules.
WORDS = {
    "huggingface",
    "project",
    "project_csv",
    "project_jsonl",
    "custom",
    "lora_config",
    "axolotl",
    "training_arguments",
}
WORDS |= {
    "legacy",
    "in_place",
    "model_registry",
    "t.csv",
    ".",
    "..",
    "/etc/passwd",
    "~nobody",
    "{}",
    '{"r": 1}',
    "a: 1",
    "{a}",
    "m",
    "d",
}
WORDS |= {"x" * 5000, "/" + "y" * 300, "org/name@main"}
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
ANYTHING = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)


@st.composite
def broken(draw: st.DrawFn) -> tuple[str, Any]:
    """A message's name and a payload that its schema forbids."""
    name = draw(st.sampled_from(sorted(SCHEMAS)))
    schema = SCHEMAS[name]
    payload: Any = dict(REGISTRY[name].EXAMPLE)
    for _ in range(draw(st.integers(1, 3))):
        how = draw(st.sampled_from(["replace", "replace", "drop", "add", "other"]))
        if how == "other":
            payload = draw(ANYTHING)
            break
        if how == "add":
            payload[draw(TEXT)] = draw(ANYTHING)
        elif how == "drop" and payload:
            del payload[draw(st.sampled_from(sorted(payload)))]
        elif schema.get("properties"):
            payload[draw(st.sampled_from(sorted(schema["properties"])))] = draw(ANYTHING)
    assume(not Draft202012Validator(schema).is_valid(payload))
    return name, payload


def fitting(
    schema: dict[str, Any], defs: dict[str, Any], words: frozenset[str] = frozenset()
) -> st.SearchStrategy[Any]:
    """Values that the schema allows; texts are `words` too."""
    if "$ref" in schema:
        return fitting(defs[schema["$ref"].rpartition("/")[2]], defs, words)
    if "anyOf" in schema:
        return st.one_of([fitting(each, defs, words) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        fields = {name: fitting(each, defs, words) for name, each in schema["properties"].items()}
        needed = {name: fields.pop(name) for name in schema.get("required", [])}
        return st.fixed_dictionaries(needed, optional=fields)
    if kind == "object":
        values = schema.get("additionalProperties", True)
        return st.dictionaries(TEXT, fitting(values, defs, words) if isinstance(values, dict) else ANYTHING, max_size=3)
    if kind == "array":
        return st.lists(fitting(schema.get("items", {}), defs, words), max_size=3)
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    plain: dict[str, st.SearchStrategy[Any]] = {
        "string": TEXT | st.sampled_from(sorted(WORDS | words)),
        "boolean": st.booleans(),
        "null": st.none(),
        "integer": st.integers(low, high),
        "number": st.floats(low, high, exclude_min="exclusiveMinimum" in schema),
    }
    return plain.get(kind or "", ANYTHING)


@st.composite
def well_shaped(draw: st.DrawFn, words: frozenset[str] = frozenset()) -> tuple[str, Any]:
    """A message's name and a payload that its schema allows, whatever its values mean."""
    name = draw(st.sampled_from(sorted(SCHEMAS)))
    schema = SCHEMAS[name]
    made = draw(fitting(schema, schema.get("$defs", {}), words))
    return name, {**REGISTRY[name].EXAMPLE, **made} if draw(st.booleans()) else made


def stored(desk: Desk) -> dict[str, int]:
    with desk.store.read() as session:
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0 for name, table in EVERY_TABLE.items()
        }


def test_a_thousand_broken_payloads_are_refused_with_breaches_and_leave_nothing(desk: Desk) -> None:
    before = stored(desk)
    count = 0

    @settings(max_examples=1000, deadline=None, suppress_health_check=QUIET, database=None)
    @given(broken())
    def refuse(made: tuple[str, Any]) -> None:
        nonlocal count
        count += 1
        name, payload = made
        reply = answer(desk, name, payload, f"k{count}")
        assert (reply["ok"], reply["code"]) == (False, "refused")
        assert reply["breaches"]
        assert reply["message"]
        json.dumps(reply)

    refuse()
    assert count >= 1000
    after = stored(desk)
    logged = after.pop("messages")
    assert after == {name: number for name, number in before.items() if name != "messages"}
    assert 0 < logged <= count  # commands that came with a key, and how they were refused


@pytest.mark.slow
def test_whatever_a_well_shaped_payload_holds_the_studio_does_not_fail(desk: Desk) -> None:
    (desk.settings.roots[0] / "t.csv").write_text("a,b\n1,2\n")
    count = 0

    @settings(max_examples=400, deadline=None, suppress_health_check=QUIET, database=None)
    @given(well_shaped())
    def done_or_refused(made: tuple[str, Any]) -> None:
        nonlocal count
        count += 1
        name, payload = made
        reply = answer(desk, name, payload, f"k{count}")
        assert reply["ok"] or reply["code"] in {"refused", "not_found", "conflict", "unavailable"}, reply

    done_or_refused()
