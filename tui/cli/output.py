"""Replies as a table, JSON or YAML; errors on stderr with the exit code they have (docs/cli.md)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import Conflict, Expired, NotFound, Refused, StudioError, Unavailable
from core.text import plain

FORMS = ("table", "json", "yaml")
EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED, EXIT_NOT_FOUND, EXIT_UNREACHABLE = 1, 2, 3, 4, 5
_EXITS: tuple[tuple[type[StudioError], int], ...] = (
    (Refused, EXIT_REFUSED),
    (Conflict, EXIT_REFUSED),
    (NotFound, EXIT_NOT_FOUND),
    (Unavailable, EXIT_UNREACHABLE),
    (Expired, EXIT_UNREACHABLE),
)

# What a table shows of each resource; everything else is in -o json and yaml.
COLUMNS: dict[str, tuple[str, ...]] = {
    "datasets": ("id", "name", "type", "rows", "features", "location", "huggingface_name"),
    "models": ("id", "name", "type", "family", "location", "huggingface_model_name"),
    "adapters": ("id", "name", "type", "model_id", "fine_tuning_job_id", "location"),
    "prompts": ("id", "name", "dataset_id", "input_template", "completion_template"),
    "configs": ("id", "type", "is_default", "model_family", "description", "config"),
    "fine_tuning_jobs": (
        "id",
        "adapter_name",
        "status",
        "step",
        "total_steps",
        "eta_seconds",
        "runner_id",
        "waiting_for",
    ),
    "evaluation_jobs": ("id", "parent_job_id", "run_number", "status", "adapter_id", "scores"),
    "runners": ("id", "host", "status", "cpus", "memory", "gpus", "jobs", "free"),
    "events": ("id", "at", "type", "kind", "resource_id", "message"),
    "series": ("name", "total", "values"),
    "rows": ("row", "prompt", "expected", "answers"),
}


def show(value: Mapping[str, Any], form: str) -> None:
    """Print a reply's value in the form asked for."""
    if form == "json":
        print(json.dumps(value, indent=2, ensure_ascii=False))
    elif form == "yaml":
        import yaml

        print(yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True), end="")
    elif isinstance(text := value.get("exported_json"), str):
        _exported(text)
    else:
        _tables(value)


def fail(error: StudioError, form: str) -> int:
    """Print why a request was not done, every breach on a line of its own; return the exit code."""
    if form != "table":
        breaches = [each.model_dump(mode="json") for each in error.breaches]
        show({"ok": False, "code": error.code.value, "message": error.message, "breaches": breaches}, form)
    elif error.breaches:
        notes(error.breaches, f"{error.code.value}: nothing was done")
    else:
        print(plain(f"{error.code.value}: {error.message}", lines=True), file=sys.stderr)
    return next((code for kind, code in _EXITS if isinstance(error, kind)), EXIT_FAILED)


def notes(breaches: Sequence[Any], title: str = "") -> None:
    """Print breaches on stderr."""
    if title:
        print(plain(title), file=sys.stderr)
    for each in breaches:
        print(f"  {each.severity.value.lower()}: {plain(each)}", file=sys.stderr)


def _tables(value: Mapping[str, Any]) -> None:
    several = sum(isinstance(part, list) for part in value.values()) > 1
    for name, part in value.items():
        if part == [] and several:
            continue
        if isinstance(part, list) and (not part or isinstance(part[0], dict)):
            columns = COLUMNS.get(name, ())
            table(part, columns if part and set(columns) & set(part[0]) else None)
        elif isinstance(part, dict) and len(value) <= 2:
            _card(part)
        elif isinstance(part, str) and "\n" in part:
            _block(name, part)
        elif part not in (None, False) or name == "removed":
            print(f"{name}: {cell(name, part)}")


def _exported(text: str) -> None:
    """A whole export: as it is into a file or pipe, made safe on a terminal."""
    print(plain(text, limit=len(text) * 6, lines=True) if sys.stdout.isatty() else text)


def _block(name: str, text: str) -> None:
    """Text of several lines as it stands, such as a row as the model will see it."""
    print(f"{name}:")
    for line in plain(text, limit=20_000, lines=True).split("\n"):
        print(f"  {line}".rstrip())


def _card(fields: Mapping[str, Any]) -> None:
    shown = {name: value for name, value in fields.items() if value not in (None, "", [], {})}
    wide = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        print(f"{name:<{wide}}  {cell(name, value, limit=2_000)}")


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Print rows under their columns; on a terminal the last column is cut to the line."""
    if not rows:
        print("(none)", file=sys.stderr)
        return
    names = [name for name in columns or list(rows[0]) if any(row.get(name) not in (None, "", [], {}) for row in rows)]
    cells = [names, *([cell(name, row.get(name)) for name in names] for row in rows)]
    wide = [max(len(line[index]) for line in cells) for index in range(len(names))]
    for line in cells:
        print("  ".join(f"{text:<{width}}" for text, width in zip(line, wide, strict=True)).rstrip())


def cell(name: str, value: Any, limit: int = 60) -> str:
    """A value as one line of safe text."""
    if value is None or value in ([], {}):
        return ""
    if name.endswith("_at") or name == "at":
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return plain(", ".join(value), limit=limit)
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), limit=limit)
