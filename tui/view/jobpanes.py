"""What the lower part of a job's screen shows, as lines that are safe to show."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.text import plain
from core.types import SYSTEM, FailureClass
from tui.view import mending, words
from tui.view.failure import card, whole
from tui.view.jobview import JobView
from tui.view.tracks import Point

MESSAGE = 3  # lines of each part of a failure above what can be done
SPARKS = "▁▂▃▄▅▆▇█"
NUMBERS = ("", "newest", "lowest", "at", "highest", "at", "points")


def events(happened: Iterable[Mapping[str, Any]]) -> list[str]:
    """What happened to the job; the day stands above its events where there are several."""
    lines, before = list[str](), ""
    for event in happened:
        at = event.get("at") or 0.0
        day = time.strftime("%A, %d %B %Y", time.localtime(at))
        if before and day != before:
            lines.append(f"── {day}")
        before = day
        sign = {"warning": "▲ ", "error": "✗ "}.get(str(event.get("level")), "· ")
        lines.append(plain(f"{words.clock(at)} {sign}{event['type']:<20} {event['message']}", limit=2_000))
    return lines or ["nothing has happened yet"]


def numbers(view: JobView) -> list[str]:
    """Every metric: its newest number, and between what it was, where."""
    rows: list[tuple[str, ...]] = [NUMBERS]
    for name, points in sorted(view.tracks.points.items(), key=lambda each: (each[0].startswith(SYSTEM), each[0])):
        if points:
            low, high = min(points, key=lambda point: point[1]), max(points, key=lambda point: point[1])
            count = f"{len(points):,}{'+' if name in view.tracks.coarse else ''}"
            ends = (value for point in (low, high) for value in (words.number(point[1]), _step(name, point)))
            rows.append((words.metric(name), words.number(points[-1][1]), *ends, count))
    if len(rows) == 1:
        return ["there are no numbers yet"]
    wide = [max(len(row[column]) for row in rows) for column in range(len(NUMBERS))]
    return [
        "  ".join([row[0].ljust(wide[0]), *(cell.rjust(size) for cell, size in zip(row[1:], wide[1:], strict=True))])
        for row in rows
    ]


def _step(name: str, point: Point) -> str:
    return words.duration(point[0]) if name.startswith(SYSTEM) else f"{point[0]:,.0f}"


def failure(view: JobView, happened: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """The card: why it failed, what to do now, how memory went, the last lines, and all the rest that is known."""
    error = view.job.get("error")
    if not error:
        return ["nothing has gone wrong"]
    why = card(error, tail=0, limit=MESSAGE * max(40, width - 4))
    full = whole(error)
    rest = full[len(why) :] if full[: len(why)] == why else full
    more = ["", "── the end of its log" if rest != full else "── in full", *rest] if rest else []
    return [*why, *ways(view.job, happened), *memory(view, width), *more]


def ways(job: Mapping[str, Any], happened: Sequence[Mapping[str, Any]]) -> list[str]:
    """What can be done now, each with its key."""
    other = ("C", "a job like it, with changes of yours")
    made = [("t", mending.again(happened))]
    if mending.checkpoint(happened) is not None:
        made.append(("T", "run it again from the beginning"))
    made += [(str(number), f"a job like it: {mend.text}") for number, mend in enumerate(mending.clones(job), 1)]
    given = (job.get("error") or {}).get("kind") == FailureClass.user_error  # the same again would only fail again
    made = [other, *made] if given else [*made, other]
    return ["── what to do now", *(plain(f"  {key}  {text}", limit=300) for key, text in made)]


def memory(view: JobView, width: int) -> list[str]:
    """How memory went, of the process and of each GPU, as a line of bars from nothing to the most."""
    lines = list[str]()
    for name, points in sorted(view.tracks.points.items()):
        if name.startswith(SYSTEM) and name.endswith("memory") and len(points) > 1:
            most = max(points, key=lambda point: point[1])
            asked = f" of {view.job.get('num_memory')} GiB asked for" if name == f"{SYSTEM}memory" else ""
            lines.append(f"  {spark([value for _, value, _ in points], max(10, min(60, width - 4)))}")
            told = f"{words.metric(name)}: {points[0][1]:.1f} at first, {points[-1][1]:.1f} at last, at most {most[1]:.1f}{asked}, {words.duration(most[0])} into the run"
            lines.append(plain(f"  {told}", limit=300))
    return ["", "── memory over the run", *lines] if lines else []


def spark(values: Sequence[float], width: int) -> str:
    """Numbers as bars, the highest of each stretch."""
    columns = min(width, len(values))
    parts = [values[index * len(values) // columns : (index + 1) * len(values) // columns] for index in range(columns)]
    top = max(values) or 1.0
    return "".join(SPARKS[min(7, max(0, round(max(part) / top * 7)))] for part in parts)
