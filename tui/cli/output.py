"""Replies as a table, JSON or YAML; errors on stderr with the exit code they have (docs/cli.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.errors import Conflict, Expired, NotFound, Refused, StudioError, Unavailable
from core.text import plain
from tui.cli import console
from tui.cli.console import say, warn
from tui.cli.tables import table
from tui.view import scores
from tui.view.cells import of_runner
from tui.view.describe import described
from tui.view.words import no_room

FORMS = ("table", "json", "yaml")
EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED, EXIT_NOT_FOUND, EXIT_UNREACHABLE = 1, 2, 3, 4, 5
SCORES = 3  # of an evaluation that its line in a list has
_EXITS: tuple[tuple[type[StudioError], int], ...] = (
    (Refused, EXIT_REFUSED),
    (Conflict, EXIT_REFUSED),
    (NotFound, EXIT_NOT_FOUND),
    (Unavailable, EXIT_UNREACHABLE),
    (Expired, EXIT_UNREACHABLE),
)

# What a table shows of each resource, what matters first: a narrow terminal has no room for the last ones.
# Everything else is in -o json and yaml.
COLUMNS: dict[str, tuple[str, ...]] = {
    "datasets": ("name", "type", "rows", "id", "features", "location", "huggingface_name"),
    "models": ("name", "type", "family", "id", "location", "huggingface_model_name"),
    "adapters": ("name", "type", "id", "model_id", "location", "fine_tuning_job_id"),
    "prompts": ("name", "id", "input_template", "completion_template", "dataset_id"),
    "configs": ("type", "description", "id", "config", "model_family", "is_default"),
    "fine_tuning_jobs": (
        "name",
        "status",
        "failure_class",
        "held",
        "step",
        "total_steps",
        "eta_seconds",
        "id",
        "waiting_for",
        "runner",
    ),
    "evaluation_jobs": ("parent_job_id", "run_number", "combination", "status", "scores", "id", "waiting_for"),
    "export_jobs": ("model_name", "type", "status", "base_model_name", "adapter_name", "id", "waiting_for"),
    "promotions": ("name", "state", "metric", "value", "champion_value", "version", "id", "reason"),
    "endpoints": ("name", "status", "address", "requests", "models", "id", "waiting_for"),
    "comparisons": ("base_model_name", "status", "adapters", "id", "phase", "active_at", "waiting_for"),
    "runners": ("runner", "status", "id", "cpus", "memory", "gpus", "jobs", "free"),
    "events": ("at", "type", "resource_id", "message"),
    "messages": ("at", "name", "state", "id", "sender", "program", "resource_id", "message"),
    "letters": ("id", "at", "name", "bytes", "queue", "reason"),
    "queued": ("place", "name", "kind", "priority", "queued_at", "id"),
    "held": ("name", "status", "runner", "attempt", "changed_at", "id"),
    "paused": ("name", "kind", "changed_at", "id"),
    "ended": ("name", "status", "changed_at", "id", "reason"),
    "unknown": ("name", "kind", "id"),
    "series": ("name", "points", "first", "last", "lowest", "highest"),
    "resources": ("kind", "name", "id"),
}


def show(value: Mapping[str, Any], form: str, *, whole: bool = False) -> None:
    """Print a reply's value in the form asked for; `whole` is a table with everything where there is a short one."""
    if form == "json":
        say(json_text(value))
    elif form == "yaml":
        import yaml

        written = yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True)
        if not written.replace("\n", "").isprintable():
            written = yaml.safe_dump(dict(value), sort_keys=False)  # all that a terminal might obey as YAML writes it
        say(written, end="")
    elif isinstance(text := value.get("exported_json"), str):
        _exported(text)
    elif "combinations" in value or "mlflow_experiment" in value:
        from tui.cli import scored

        scored.show_rows(value) if "combinations" in value else scored.show_results(value, whole=whole)
    elif "questions" in value:
        from tui.cli import compare

        _card(_session(value["comparison"]))
        compare.show_session(value)
    elif "earlier" in value:
        _then(value)
    elif "ignored_tables" in value:
        _tables(_imported(value))
    else:
        _tables(value)


def json_text(value: Mapping[str, Any]) -> str:
    """A value as JSON; half characters and what a terminal might obey as JSON writes them, the rest readable."""
    written = json.dumps(value, indent=2, ensure_ascii=False)
    return re.sub(
        r"[^\x00-\x7e]", lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], written
    )


def fail(error: StudioError, form: str) -> int:
    """Print why a request was not done, every breach on a line of its own; return the exit code."""
    if form != "table":
        breaches = [each.model_dump(mode="json") for each in error.breaches]
        show({"ok": False, "code": error.code.value, "message": error.message, "breaches": breaches}, form)
    elif error.breaches:
        notes(error.breaches, f"{error.code.value}: nothing was done")
    else:
        warn(plain(f"{error.code.value}: {error.message}", lines=True))
    return next((code for kind, code in _EXITS if isinstance(error, kind)), EXIT_FAILED)


def notes(breaches: Sequence[Any], title: str = "") -> None:
    """Print breaches on stderr."""
    if title:
        warn(plain(title))
    for each in breaches:
        warn(f"  {each.severity.value.lower()}: {plain(each)}")


def _tables(value: Mapping[str, Any]) -> None:
    """Lists as tables, and between them what stands alone."""
    lists = [name for name, part in value.items() if _is_table(part) and part]
    only = sum(_is_table(part) for part in value.values()) == 1
    alone: dict[str, Any] = {}
    for name, part in value.items():
        if _is_table(part):
            _card(alone)
            alone = {}
            if part or only:
                _table(name, part, heading=len(lists) > 1)
        elif isinstance(part, dict) and len(value) <= 2:
            _card(part)
        elif name == "removed" or not (name in INTERNAL or (name in COUNTS and not part) or part is False):
            alone[name] = part
    _card(alone)
    _more(value, lists)


def _card(fields: Mapping[str, Any]) -> None:
    """A resource, or what stands alone; what it is called comes first."""
    called = {name: fields[name] for name in ("id", "name") if name in fields}
    if text := described({**called, **fields}):
        say(text)


def _is_table(part: Any) -> bool:
    return isinstance(part, list) and (not part or isinstance(part[0], dict))


def _table(name: str, rows: list[dict[str, Any]], *, heading: bool) -> None:
    rows = [shaped(row) for row in rows] if (shaped := SHAPES.get(name)) else rows
    if heading:
        say(f"{name}:")
    columns = COLUMNS.get(name, ())
    table(rows, columns if rows and set(columns) & set(rows[0]) else None)


def _more(value: Mapping[str, Any], lists: list[str]) -> None:
    """How the next page is asked for."""
    if value.get("has_more") and lists and (last := value[lists[0]][-1].get("id")) is not None:
        warn(f"there are more: --after {plain(last, limit=100)}")


def _combination(row: dict[str, Any]) -> dict[str, Any]:
    model = row.get("base_model_name") or row.get("base_model_id")
    adapter = row.get("adapter_name") or row.get("adapter_id")
    told = list((row.get("scores") or {}).items())[:SCORES]
    shown = ", ".join(f"{scores.named(name)} {scores.figure(name, value)}" for name, value in told)
    return {**row, "combination": f"{model} + {adapter}" if adapter else model, "scores": shown}


def _held(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "held": no_room(row["held"]) if row.get("held") else None}


def _session(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "adapters": [each.get("name") or each["id"] for each in row.get("adapters") or ()]}


def _series(row: dict[str, Any]) -> dict[str, Any]:
    values = row["values"] or [None]
    numbers = [each for each in values if each is not None] or [None]
    ends = {"first": values[0], "last": values[-1], "lowest": min(numbers), "highest": max(numbers)}
    return {"name": row["name"], "points": row["total"], **ends}


def _exported(text: str) -> None:
    """A whole export: as it is into a file or pipe, made safe on a terminal."""
    say(plain(text, limit=len(text) * 6, lines=True) if console.room() else text)


def _imported(value: Mapping[str, Any]) -> dict[str, Any]:
    """What an import did, what needs a look last: the end of a long list is what a terminal shows."""
    order = {outcome: place for place, outcome in enumerate(("skipped", "inserted", "mended", "failed"))}
    rows = sorted(value["rows"], key=lambda row: order.get(row["outcome"], len(order)))
    return {"rows": rows, **{name: part for name, part in value.items() if name != "rows"}}


def _then(value: Mapping[str, Any]) -> None:
    """The studio as it was: what stands above the jobs in the dashboard too, and the jobs by their state."""
    from tui.view.then import PARTS, head

    for line in head(value):
        say(line)
    for name in PARTS:
        if value[name]:
            _table(name, value[name], heading=True)


def _runner(row: dict[str, Any]) -> dict[str, Any]:
    return {"runner": row["host"], **of_runner(row)}


SHAPES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "fine_tuning_jobs": _held,
    "evaluation_jobs": _combination,
    "comparisons": _session,
    "runners": _runner,
    "series": _series,
}
# Told when there is something to count.
COUNTS = {"more_rows", "freed_bytes", "total", "matching"}
# What only programs go on with.
INTERNAL = {"records_id", "offset", "oldest", "has_more", "has_before", "begins", "ends"}
