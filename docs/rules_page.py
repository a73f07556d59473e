"""docs/rules.md: which of the guide's messages and rules are there, and every rule with an example that passes and one that fails."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from core.messages import REGISTRY, Command, Message
from core.rules import Example, NoWorld, Rule
from docs.guide import IDS, MESSAGES, NAMES, RULES
from tui.cli.validate_places import TEXTS
from tui.cli.validate_report import SHAPES

HEAD = "| rule | message | field | severity | needs | text | passes | fails |\n|---|---|---|---|---|---|---|---|"
INTRODUCTION = """\
Each rule is declared beside its message with examples that the tests run (`tests/contracts/test_rules.py`): what passes
breaks nothing, what fails breaks this rule and no other. An example is laid over the message's own, which is below;
*as it is* stands for the message's own example alone. *given* tells what the store holds, or what a look at a file or at
the Hub found. A rule that needs nothing is checked by `fts validate`, by `--dry-run` and by the dashboard's forms too."""


def page(note: str) -> str:
    """The whole page."""
    declared = [(message, rule) for _, message in sorted(REGISTRY.items()) for rule in message.rules]
    there = [name for name in NAMES if name in REGISTRY]
    ids = {rule.id for _, rule in declared}
    met = [id for id in IDS if id in ids]
    lines = [f"{note}# Messages and rules of the guide, and ours\n"]
    lines.append(f"{len(there)} of {len(NAMES)} messages of the guide; {len(met)} of {len(IDS)} of its rules.\n")
    lines += [*_missing("messages", NAMES, there), *_missing("rules", IDS, met)]
    lines += ["## The guide's messages\n", *_messages()]
    lines += ["## The guide's rules\n", INTRODUCTION + "\n"]
    for domain, (title, _) in RULES.items():
        lines += [f"### {title} ({domain})\n", *_table(each for each in declared if _of(each[1], domain, IDS))]
    lines += ["## Rules of ours\n", "Numbered from 101 in their domain.\n"]
    lines += _table(sorted((each for each in declared if each[1].id not in IDS), key=lambda each: each[1].id))
    lines += [
        "## Shape, and files\n",
        "Checked of every message before its own rules, and by `fts validate` of a file.\n",
    ]
    lines += [
        "| rule | text |",
        "|---|---|",
        *(f"| {id} | {cell(text)} |" for id, text in sorted((SHAPES | TEXTS).items())),
    ]
    lines += ["", "## The messages' own examples\n", "| message | example |", "|---|---|", *_examples()]
    return "\n".join(lines) + "\n"


def _of(rule: Rule, domain: str, ids: list[str]) -> bool:
    return rule.id in ids and rule.id.startswith(f"{domain}-")


def _missing(what: str, wanted: list[str], there: list[str]) -> Iterator[str]:
    if lacking := [each for each in wanted if each not in there]:
        yield f"Missing {what}: {', '.join(lacking)}.\n"


def _messages() -> Iterator[str]:
    yield "| domain | message | kind | queue | rules |\n|---|---|---|---|---|"
    for domain, names in MESSAGES.items():
        for name in names:
            message = REGISTRY.get(name)
            yield f"| {domain} | {_row(name, message) if message else f'{name} | missing | | '} |"
    yield ""


def _row(name: str, message: type[Message[Any]]) -> str:
    kind = "command" if issubclass(message, Command) else "query"
    ids = ", ".join(dict.fromkeys(rule.id for rule in message.rules))
    return f"[{name}](messages.md#{name.lower()}) | {kind} | `{message.QUEUE}` | {ids}"


def _table(declared: Iterable[tuple[type[Message[Any]], Rule]]) -> list[str]:
    return [HEAD, *(_rule(message, rule) for message, rule in sorted(declared, key=lambda each: each[1].id)), ""]


def _rule(message: type[Message[Any]], rule: Rule) -> str:
    cells = [rule.id, message.__name__, rule.field, rule.severity.value, rule.need.value, cell(rule.text)]
    return f"| {' | '.join([*cells, _example(rule.passes[0]), _example(rule.fails[0])])} |"


def _example(example: Example) -> str:
    told = _code(example.fields) if example.fields else "*as it is*"
    given = _given(example.world)
    return f"{told} given {_code(given)}" if given else told


def _given(world: NoWorld) -> dict[str, Any]:
    found = {kind: f"error: {each}" if isinstance(each, Exception) else each for kind, each in world.found.items()}
    parts = {**world.tables, **found, "directories": sorted(world.directories), "jobs": dict(world.jobs_of)}
    return {name: part for name, part in parts.items() if part}


def _examples() -> Iterator[str]:
    for name, message in sorted(REGISTRY.items()):
        if message.EXAMPLE:
            yield f"| {name} | {_code(message.EXAMPLE)} |"


def _code(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    return f"`{cell(text if len(text) <= 300 else text[:299] + '…')}`"


def _plain(value: object) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if dump else sorted(value) if isinstance(value, set | frozenset) else str(value)


def cell(text: str) -> str:
    """Text that stays in its cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("`", "'")
