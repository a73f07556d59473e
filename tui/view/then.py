"""The lines of the studio as it was: what ran, what waited in which order, what was paused, what had just ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.moments import told
from core.text import counted, plain
from tui.view import words
from tui.view.cells import Cell

TITLES = ("", "status", "job", "kind", "where", "since", "priority", "id")
NAME = 2  # the column that tells jobs apart
MARK = "▸"  # before the job that the event was about
PARTS = ("held", "queued", "paused", "ended", "unknown")
KINDS = {"fine_tuning": "training", "evaluation": "evaluation", "comparison": "session"}


def lines(then: Mapping[str, Any]) -> list[tuple[str, list[Cell]]]:
    """A line for each job, in the order of the parts."""
    about = str((then.get("event") or {}).get("resource_id") or "")
    return [(str(job["id"]), _line(part, job, then, about)) for part in PARTS for job in then.get(part) or ()]


def _line(part: str, job: Mapping[str, Any], then: Mapping[str, Any], about: str) -> list[Cell]:
    state = str(job.get("status") or "")
    since = job.get("queued_at") if part == "queued" else job.get("changed_at")
    kind = str(job.get("kind") or "")
    return [
        (MARK if job["id"] == about else "", "bold"),
        (words.state(state), words.style(state)) if state else ("? not known", "wait"),
        (plain(job.get("name") or "", limit=60), ""),
        (plain(KINDS.get(kind, kind).replace("_", " "), limit=16), "dim"),
        (_where(part, job), ""),
        (words.age(since, float(then["at"])), "dim"),
        (words.number(job.get("priority") or 0), "" if job.get("priority") else "dim"),
        (words.short(job.get("id")), "dim"),
    ]


def _where(part: str, job: Mapping[str, Any]) -> str:
    if part == "queued":
        place = int(job.get("place") or 0)
        return "next" if place == 0 else f"after {place:d}"
    return plain(job.get("runner") or words.short(job.get("runner_id")), limit=24)


def head(then: Mapping[str, Any], now: float | None = None) -> Iterator[str]:
    """What stands above: the time, the event that was the last one by then, what there was, and what is not known."""
    event = then.get("event")
    if event is None:
        yield f"{told(then['at'], now)}: the log tells nothing of this time"
    else:
        when, asked = told(event["at"], now), told(then["at"], now)  # the title has the time that was asked for
        before = "" if when == asked else f"{when} "
        yield f"{before}{plain(event['type'], limit=30)}: {plain(event['message'], limit=200)}"
    counts = {name: number for name, number in (then.get("counts") or {}).items() if number}
    shown = [f"{int(number):,} {plain(name, limit=20).replace('_', ' ')}" for name, number in counts.items()]
    if there := [*shown, *_runners(then)]:
        yield "   ".join(there)
    if not then.get("complete", True):
        began = then.get("oldest_at")
        since = f" begins {told(began, now)}" if began else " is empty"
        unknown = counts.get("unknown", 0)
        missing = f"; what {counted(unknown, 'job')} did then is not in it any more" if unknown else ""
        yield f"▲ the log{since}{missing}"


def _runners(then: Mapping[str, Any]) -> Iterator[str]:
    for runner in then.get("runners") or ():
        state = "" if runner["status"] == "online" else f" {words.state(runner['status'])}"
        yield f"{plain(runner.get('host') or words.short(runner['id']), limit=24)}{state}"
