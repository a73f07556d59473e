"""Every decision of docs/decisions.md about resources, messages and rules is shown by a test that names it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ID = re.compile(r"(?<![A-Z])D-\d{3}")
# Decisions about training, deploying and the terminal: what shows them stands in those rooms' own tests.
ELSEWHERE = {
    "D-031": "the script that serves a model at Cloudera's",
    "D-034": "padding",
    "D-035": "splits of a dataset",
    "D-038": "precision of a device",
    "D-045": "token ids of a model",
    "D-105": "checkpoints",
    "D-106": "how a row is tokenized",
    "D-109": "leaving the dashboard",
}


def decided() -> list[str]:
    page = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    return [row.split("|")[1].strip() for row in page.splitlines() if row.startswith("| D-")]


def named() -> set[str]:
    files = (path for path in (ROOT / "tests").rglob("*.py") if path.name != Path(__file__).name)
    return {id for path in files for id in ID.findall(path.read_text(encoding="utf-8"))}


def test_every_decision_about_resources_messages_and_rules_is_named_by_a_test() -> None:
    assert sorted(set(decided()) - set(ELSEWHERE) - named()) == []


def test_tests_name_no_decision_that_there_is_not() -> None:
    assert sorted((named() | set(ELSEWHERE)) - set(decided())) == []


def test_a_decision_has_one_row() -> None:
    assert len(decided()) == len(set(decided()))
