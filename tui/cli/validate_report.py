"""What `fts validate` found, as lines for people, JSON, YAML, SARIF 2.1.0, or annotations of GitHub's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from core.rules import Rule
from core.text import plain
from core.types import Severity
from tui.cli.parsing import version
from tui.cli.validate_files import Finding
from tui.cli.validate_places import TEXTS

# What a message's shape must be: these are checked before any rule of its own (core/messages/base.py).
SHAPES = {
    "MS-101": "a payload must be a JSON object whose values are of the fields' types and within their bounds",
    "MS-102": "a payload may hold the message's fields only",
    "MS-103": "a payload must hold every required field",
    "MS-104": "there must be a message of that name",
}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def table(findings: Sequence[Finding], messages: int) -> str:
    """A line each, as compilers print them, and a sum."""
    lines = [
        plain(f"{each.file}:{each.line}:{each.column}: {each.breach.severity.value.lower()} {each.breach}")
        for each in findings
    ]
    errors = sum(each.breach.severity is Severity.ERROR for each in findings)
    return "\n".join([*lines, f"{_count(messages, 'message')}, {_count(errors, 'breach', 'breaches')}"])


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def as_json(findings: Sequence[Finding], messages: int) -> str:
    """One object: how many messages, and the breaches with their places."""
    return json.dumps(_rows(findings, messages), indent=2, ensure_ascii=False)


def as_yaml(findings: Sequence[Finding], messages: int) -> str:
    """The same as YAML."""
    return yaml.safe_dump(_rows(findings, messages), sort_keys=False, allow_unicode=True).rstrip()


def _rows(findings: Sequence[Finding], messages: int) -> dict[str, Any]:
    rows = [
        {
            "file": each.file,
            "line": each.line,
            "column": each.column,
            "name": each.name,
            **each.breach.model_dump(mode="json"),
        }
        for each in findings
    ]
    return {"messages": messages, "breaches": rows}


def github(findings: Sequence[Finding], messages: int) -> str:
    """Workflow commands: each becomes an annotation at its line."""
    return "\n".join(_annotation(each) for each in findings)


def _annotation(each: Finding) -> str:
    level = "error" if each.breach.severity is Severity.ERROR else "notice"
    place = {"file": each.file, "line": each.line, "col": each.column, "title": each.breach.rule}
    properties = ",".join(f"{name}={_property(str(value))}" for name, value in place.items())
    told = f"{each.breach.field}: {each.breach.message}" if each.breach.field else each.breach.message
    return f"::{level} {properties}::{_data(told)}"


def _data(text: str) -> str:
    """Escaped as GitHub's runner unescapes it; what could drive a terminal or begin another command is made visible."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return plain(escaped, limit=4_000)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif(findings: Sequence[Finding], messages: int) -> str:
    """SARIF 2.1.0 with a run; its rules are all that a file can break, so that their numbers stay while findings change."""
    rules = _rules()
    order = {id: index for index, id in enumerate(rules)}
    driver = {"name": "fts", "version": version(), "rules": [_described(id, text) for id, text in rules.items()]}
    results = [_result(each, order) for each in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _result(each: Finding, order: dict[str, int]) -> dict[str, Any]:
    level = "error" if each.breach.severity is Severity.ERROR else "note"
    region = {"startLine": each.line, "startColumn": each.column}
    place = {"artifactLocation": {"uri": _uri(each.file)}, "region": region}
    told = f"{each.breach.field}: {each.breach.message}" if each.breach.field else each.breach.message
    return {
        "ruleId": each.breach.rule,
        "ruleIndex": order[each.breach.rule],
        "level": level,
        "message": {"text": plain(told)},
        "locations": [{"physicalLocation": place}],
        "properties": {"field": plain(each.breach.field), "message": plain(each.name)},
    }


def _uri(file: str) -> str:
    return Path(file).as_uri() if Path(file).is_absolute() else quote(Path(file).as_posix())


def _described(id: str, text: str) -> dict[str, Any]:
    return {"id": id, "shortDescription": {"text": text}, "help": {"text": f"{text} (docs/rules.md)"}}


def _rules() -> dict[str, str]:
    """The text of every rule by its id; those of one id, in several messages or fields, are told together."""
    told: dict[str, list[str]] = {id: [text] for id, text in (TEXTS | SHAPES).items()}
    for rule in _declared():
        if rule.text not in told.setdefault(rule.id, []):
            told[rule.id].append(rule.text)
    return {id: "; ".join(told[id]) for id in sorted(told)}


def _declared() -> list[Rule]:
    from core.messages import REGISTRY

    return [rule for message in REGISTRY.values() for rule in message.rules]


FORMS: dict[str, Callable[[Sequence[Finding], int], str]] = {
    "table": table,
    "json": as_json,
    "yaml": as_yaml,
    "sarif": sarif,
    "github": github,
}
