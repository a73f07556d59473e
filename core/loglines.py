"""A job's log for people: which records of a spool are lines of it, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def told(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """(level, text) of a record; None when it is no line of the log. Fields may be missing or of any type."""
    kind = record.get("type")
    if kind == "log":
        return str(record.get("level", "info")), str(record.get("text"))
    if kind in ("warning", "oom", "held"):
        return "warning", str(record.get("text"))
    if kind == "unheld":
        return "info", "there is room again: the job goes on"
    if kind == "placed":
        return "info", f"in Cloudera ML it is {record.get('job')}"
    if kind == "phase":
        return "info", f"── {record.get('name')}"
    if kind == "resumed":
        return "info", _resumed(record)
    if kind == "checkpoint":
        return "info", f"checkpoint at step {record.get('step')}"
    return _finished(record) if kind == "finished" else None


def _resumed(record: Mapping[str, Any]) -> str:
    path = record.get("path")
    return f"goes on from step {record.get('from_step')} ({path})" if path else "begins anew, at step 0"


def _finished(record: Mapping[str, Any]) -> tuple[str, str]:
    error = record.get("error")
    reason = f": {error.get('message')}" if isinstance(error, dict) else ""
    return "error" if error else "info", f"── {record.get('outcome')}{reason}"
