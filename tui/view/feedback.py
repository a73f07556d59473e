"""The text of an issue: what one typed, and the surroundings in versions and numbers. No names, no paths, no tokens."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.text import plain
from tui.view.overview import RESOURCES, number, summary

MOST = 20_000  # characters of what one typed
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|CREDENTIAL|APIV2_KEY", re.IGNORECASE)
TOKENS = re.compile(r"\b(?:hf_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|AKIA[A-Z0-9]{12,})")
URL = re.compile(r"(\w+://)[^\s/@:]+:[^\s/@]+@")
LONG = 8  # characters of a secret from which on it is looked for: shorter ones are words too


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """What one typed or pasted, without what this process knows to be secret, and without the user's own directory."""
    known = [value for name, value in environment.items() if SECRET.search(name) and len(value) >= LONG]
    for value in sorted(known, key=len, reverse=True):
        text = text.replace(value, "[secret]")
    text = URL.sub(r"\1[secret]@", TOKENS.sub("[secret]", text))
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def surroundings(terminal: Mapping[str, str], told: Mapping[str, Any] | None) -> list[str]:
    """A line each: versions, the machine, the terminal (as the app knows it), and the studio in numbers as far as it answers."""
    versions = [
        f"{name} {_version(package)}" for name, package in (("fts", "fine-tuning-studio"), ("Textual", "textual"))
    ]
    return [
        f"{', '.join(versions)}, Python {platform.python_version()}",
        f"{platform.system()} {platform.machine()}",
        f"terminal {', '.join(f'{name} {value}' for name, value in terminal.items() if value)}",
        *(_numbers(told) if told is not None else ["the studio does not answer"]),
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _numbers(told: Mapping[str, Any]) -> list[str]:
    there = [
        f"{number(told['resources'].get(table, 0))} {one}{'' if told['resources'].get(table) == 1 else 's'}"
        for table, one, _ in RESOURCES
    ]
    states: dict[str, int] = {}
    for runner in told["runners"]:
        states[runner["status"]] = states.get(runner["status"], 0) + 1
    runners = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    sorts: dict[str, int] = {}
    for each in told["concerns"]:
        sorts[each["kind"]] = sorts.get(each["kind"], 0) + 1
    troubles = ", ".join(f"{count} about {kind}" for kind, count in sorted(sorts.items())) or "none"
    return [
        ", ".join(there),
        f"jobs: {summary(told)}",
        f"runners: {runners}",
        f"needs attention: {troubles}; dead letters: {told['letters'] if told['letters'] is not None else 'not known'}",
    ]


def issue(title: str, text: str, about: list[str]) -> str:
    """The whole text, in Markdown."""
    head = without_secrets(plain(title, limit=200)).strip() or "Feedback"
    body = without_secrets(plain(text, limit=MOST, lines=True)).strip() or "(nothing was typed)"
    return "\n".join([f"# {head}", "", body, "", "## Where", "", *(f"- {plain(line)}" for line in about), ""])
