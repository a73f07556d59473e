"""An old message (docs/decisions.md, D-111) still means the same: what was stored of each is parsed again, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from core.messages import REGISTRY
from tests.contracts.stored import CORPUS, entries, meaning

STORED = sorted(path.stem for path in CORPUS.glob("*.json"))
COMMAND = "write it with `python -m tests.contracts.stored`, and commit it"


def lost(before: Any, now: Any, at: str = "") -> list[str]:
    """Where `now` says something else than `before`; fields that came later may be there too."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [told for key, value in before.items() for told in lost(value, now.get(key, "nothing"), f"{at}.{key}")]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [told for i, value in enumerate(before) for told in lost(value, now[i], f"{at}.{i}")]
    same = before == now and type(before) is type(now)
    return [] if same else [f"{at.lstrip('.')} was {before!r} and is {now!r}"]


@pytest.mark.parametrize("name", STORED)
def test_what_was_sent_once_means_the_same_today(name: str) -> None:
    assert name in REGISTRY, f"{name} was a message once, and senders may still send it"
    for each in entries(name):
        changed = lost(each["meaning"], meaning(name, each["payload"]))
        assert not changed, f"{each['what']}: {'; '.join(changed)}"


def test_every_message_has_a_stored_payload() -> None:
    assert sorted(set(REGISTRY) - set(STORED)) == [], COMMAND


def test_other_names_of_a_field_are_stored_and_mean_the_same() -> None:
    for name, message in REGISTRY.items():
        names = {
            str(choice)
            for info in message.model_fields.values()
            for choice in getattr(info.validation_alias, "choices", [])
        }
        used = {key for each in entries(name) for key in each["payload"]}
        assert names - set(message.model_fields) <= used, f"{name}: {COMMAND}"


def test_a_changed_meaning_is_seen() -> None:
    assert lost({"a": 1, "b": [{"c": None}]}, {"a": 1, "b": [{"c": None, "new": 2}], "d": 0}) == []
    assert lost({"a": 1}, {"a": 1.0}) == ["a was 1 and is 1.0"]
    assert lost({"a": {"b": []}}, {"a": {}}) == ["a.b was [] and is 'nothing'"]
    assert lost([1, 2], [1]) != []
