"""`fts validate FILE`: check messages in a file by the rules that need no studio; every breach with its place."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from core.errors import Refused
from core.messages import parse
from core.rules import Breach, check, refusing
from core.text import plain
from tui.cli import output


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong; 3 when something is, 2 when the file can't be read."""
    try:
        messages = read(arguments.file)
    except ValueError as error:
        print(plain(error), file=sys.stderr)
        return output.EXIT_USAGE
    found = [
        (index, name, breach) for index, (name, payload) in enumerate(messages, 1) for breach in breaches(name, payload)
    ]
    bad = refusing([breach for _, _, breach in found])
    if arguments.output == "table":
        for index, name, breach in found:
            print(plain(f"{arguments.file}: message {index} ({name}): {breach.severity.value.lower()} {breach}"))
        print(f"{len(messages)} messages, {len(bad)} breaches")
    else:
        rows = [{"message": index, "name": name, **breach.model_dump(mode="json")} for index, name, breach in found]
        output.show({"messages": len(messages), "breaches": rows}, arguments.output)
    return output.EXIT_REFUSED if bad else 0


def breaches(name: str, payload: object) -> list[Breach]:
    """What is wrong with one message's shape and values."""
    try:
        return check(parse(name, payload))
    except Refused as error:
        return error.breaches


def read(path: str) -> list[tuple[str, Any]]:
    """The messages of a file as (name, payload); raises ValueError."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        content = json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} can't be read: {error}") from None
    many = content if isinstance(content, list) else [content]
    for index, each in enumerate(many, 1):
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise ValueError(f"{path}: message {index} must be an object with name and payload")
    return [(each["name"], each.get("payload", {})) for each in many]
