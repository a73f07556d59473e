"""The studio at a glance as sections of lines: the same for the page Home and for the command line."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.cells import cell_len

from core.text import counted, plain
from tui.view import cells, words
from tui.view.cells import Cell
from tui.view.fit import GAP, cut, widths
from tui.view.pages import BY_NAME

MANY = 10_000  # what is counted further is told as more than this many
KINDS = {
    "fine_tuning": "training", "evaluation": "evaluation", "comparison": "comparison", "export": "export", "endpoint": "endpoint",
}  # fmt: skip
RESOURCES = (  # a table, what one of its rows is called, its page
    ("datasets", "dataset", "datasets"),
    ("models", "base model", "models"),
    ("prompts", "prompt", "prompts"),
    ("adapters", "adapter", "adapters"),
    ("configs", "config", "configs"),
    ("fine_tuning_jobs", "training", "jobs"),
    ("evaluation_jobs", "evaluation", "runs"),
    ("comparisons", "comparison", "compare"),
    ("export_jobs", "export", "exports"),
    ("endpoints", "endpoint", "endpoints"),
)
STEPS = (  # a table, what is to be done, its page, its key on Home, what it takes
    ("datasets", "add a dataset", "import-datasets", "d", "a CSV, JSON, JSONL or Parquet file, or one of the Hub"),
    ("models", "add a base model", "import-models", "m", "a directory of the project, or a model of the Hub"),
    ("prompts", "write a prompt", "create-prompts", "p", "text with {column} where a row's value goes"),
    ("fine_tuning_jobs", "train an adapter", "train", "t", "with what would come of it beside it as you type"),
)
ONLY_NAMED = "those listed are only names on the Hub: add your own"
NAME = 26  # characters of a name: what is told of it matters more here
KEPT = "\u00a0"  # a blank at which no line is broken: a count and what is counted stay together
WORDS = {"queued": "waiting", "cancel_requested": "ending", "assigned": "starting"}


@dataclass(frozen=True)
class Target:
    """What a line is about: a page by its name, or a job or runner by its kind and id."""

    kind: str
    id: str


@dataclass(frozen=True)
class Line:
    """Cells under those of the other lines of its section, and where enter goes from it."""

    cells: tuple[Cell, ...]
    target: Target | None = None


@dataclass(frozen=True)
class Section:
    """Lines below a title. `name` is the column that is cut last."""

    title: str
    lines: tuple[Line, ...]
    note: str = ""
    name: int = 1


@dataclass(frozen=True)
class Drawn:
    """A line as it stands there; `key` tells it from all others while what it says changes."""

    spans: tuple[Cell, ...]
    key: str = ""
    target: Target | None = field(default=None, compare=False)


def number(count: int) -> str:
    """A count, as far as it was counted."""
    return f"{MANY:,}+" if count > MANY else f"{count:,}"


def summary(told: Mapping[str, Any]) -> str:
    """How it stands, in a line."""
    states: dict[str, int] = {}
    for each in told["jobs"]:
        word = WORDS.get(each["status"], each["status"])
        states[word] = states.get(word, 0) + each["count"]
    ended = {each["status"]: 0 for each in told["ended"]}
    for each in told["ended"]:
        ended[each["status"]] += each["count"]
    now = [f"{number(states[word])} {word}" for word in sorted(states, key=lambda word: (word != "running", word))]
    day = [f"{number(ended[word])} {word}" for word in ("succeeded", "failed") if ended.get(word)]
    parts = [", ".join(now) or "nothing runs", f"{', '.join(day)} in a day" if day else ""]
    return "   ".join(filter(None, parts))


# ─── sections ─────────────────────────────────────────────────────────────────────────────────────────


def sections(told: Mapping[str, Any], compact: int = 0, now: float | None = None) -> list[Section]:
    """All sections that have something to tell, what matters first; where room is short, resources in `compact` cells."""
    now = time.time() if now is None else now
    found = [first_steps(told), attention(told, now), running(told), waiting(told), runners(told, now)]
    there = compactly(told, compact) if compact else resources(told)
    return [each for each in (*found, there, events(told)) if each.lines]


def first_steps(told: Mapping[str, Any]) -> Section:
    """What a new studio needs, until it has trained something."""
    counts, ready = told["resources"], told.get("ready") or {}
    if counts.get("fine_tuning_jobs"):
        return Section("First steps", ())
    lines = []
    for table, text, page, key, takes in STEPS:
        done = ready.get(table, bool(counts.get(table)))
        takes = ONLY_NAMED if counts.get(table) and not done else takes
        mark, meaning = ("✓", "good") if done else ("○", "wait")
        shown = (mark, meaning), (key, "bold"), (text, "dim" if done else ""), (takes, "dim")
        lines.append(Line(shown, None if done else Target("page", page)))  # the cursor begins with what is to be done
    demo = "or quit with q and run `fts demo`: all of it, with a small model"
    return Section("First steps", (*lines, Line((("", ""), ("", ""), (demo, "dim")))), name=2)


def attention(told: Mapping[str, Any], now: float) -> Section:
    """What needs a person."""
    lines = [
        Line(
            (
                ("✗", "bad") if each["level"] == "error" else ("▲", "wait"),
                (plain(each["name"] or _about(each), limit=NAME), ""),
                (plain(each["text"], limit=300), ""),
                (words.age(each["at"], now), "dim"),
            ),
            _concerning(each),
        )
        for each in told["concerns"]
    ]
    return Section("Needs attention", tuple(lines))


def _about(concern: Mapping[str, Any]) -> str:
    return {"letters": "dead letters"}.get(concern["kind"], str(concern["kind"]))


def _concerning(concern: Mapping[str, Any]) -> Target | None:
    if concern["kind"] == "jobs":
        return Target(concern["job_kind"], concern["id"])
    if concern["kind"] == "runners":
        return Target("runner", concern["id"])
    return Target("page", concern["kind"] if concern["kind"] in BY_NAME else "events")


def running(told: Mapping[str, Any]) -> Section:
    """What runners do now."""
    lines = [
        Line(
            (
                cells.state(job),
                (plain(job["name"], limit=NAME), ""),
                _progress(job),
                cells.steps(job),
                (f"{words.duration(job['eta_seconds'])} left" if job.get("eta_seconds") else "", ""),
                (f"loss {words.number(job['last_metrics']['loss'])}" if "loss" in job["last_metrics"] else "", ""),
                (plain(job.get("runner") or "", limit=24), "dim"),
                (KINDS.get(job["kind"], job["kind"]), "dim"),
            ),
            Target(job["kind"], job["id"]),
        )
        for job in told["running"]
    ]
    count = sum(each["count"] for each in told["jobs"] if each["status"] not in ("queued", "paused"))
    return Section("Running", tuple(lines), _more(count, len(lines)))


def _progress(job: Mapping[str, Any]) -> Cell:
    share = words.share(job)
    if share is not None and not job.get("held"):
        return f"{share:4.0%} {words.bar(share, 8)}", "bar"
    if job.get("held"):
        return f"▲ {words.no_room(job['held'])}", "wait"
    return plain(job.get("phase") or "", limit=40), "dim"


def waiting(told: Mapping[str, Any]) -> Section:
    """Whose turn is next, and why it is not yet."""
    lines = [
        Line(
            (
                cells.state(job),
                (plain(job["name"], limit=NAME), ""),
                (plain(job.get("waiting_for") or "", limit=200), "dim"),
            ),
            Target(job["kind"], job["id"]),
        )
        for job in told["waiting"]
    ]
    count = sum(each["count"] for each in told["jobs"] if each["status"] == "queued")
    return Section("Next", tuple(lines), _more(count, len(lines)))


def _more(count: int, shown: int) -> str:
    return f"{number(count)} in all" if count > shown else ""


def runners(told: Mapping[str, Any], now: float) -> Section:
    """How busy the machines are."""
    lines = [_runner(each, now) for each in told["runners"]]
    if not lines:
        nothing = "no runner, so nothing will run: `fts up` starts one on this machine"
        lines = [Line((("▲", "wait"), (nothing, "")), Target("page", "runners"))]
    return Section("Runners", tuple(lines), _more(told["runner_count"], len(lines)))


def _runner(runner: Mapping[str, Any], now: float) -> Line:
    usage = {name: value for name, value in runner["telemetry"].items() if isinstance(value, int | float)}
    head: list[Cell] = [cells.state(runner), (plain(runner["host"], limit=NAME), "")]
    target = Target("runner", runner["id"])
    if runner["status"] == "lost":
        seen = words.age(runner["last_seen_at"], now)
        return Line((*head, (f"not seen for {seen}" if seen else "not seen", "bad")), target)
    memory = cells.taken(runner, "memory") if cells.is_quota(runner) else usage.get("memory_used")
    taken = runner["cpus"] - runner["free"].get("cpus", 0)
    held = "" if memory is None else f"{memory:.0f}/"
    return Line(
        (
            *head,
            _gpus(runner),
            (_load("CPU", usage["cpu_percent"] / 100) if "cpu_percent" in usage else "", "bar"),
            (f"{held}{runner['memory']:.0f} GiB", ""),
            (f"{taken:g}/{runner['cpus']} cores", ""),
            (counted(len(runner["jobs"]), "job"), "" if runner["jobs"] else "dim"),
            (f"{usage['disk_free']:.0f} GiB disk" if "disk_free" in usage else "", "dim"),
        ),
        target,
    )


def _gpus(runner: Mapping[str, Any]) -> Cell:
    """How many, and how busy they are taken together; which is told where one looks at the runner."""
    told = runner["telemetry"].get("gpus")
    busy = [each.get("percent") for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    known = [share for share in busy if isinstance(share, int | float)]
    count = len(runner["gpus"])
    if not count:
        return "no GPU", "dim"
    if cells.is_quota(runner):
        return f"{cells.taken(runner, 'gpus'):g}/{counted(count, 'GPU')}", "bar"
    return (_load(counted(count, "GPU"), sum(known) / count / 100) if known else counted(count, "GPU")), "bar"


def _load(name: str, share: float) -> str:
    return f"{name} {words.bar(share, 3)} {share:.0%}"


def resources(told: Mapping[str, Any]) -> Section:
    """What there is."""
    lines = [
        Line(
            ((number(told["resources"][table]).rjust(7), "bold"), (_plural(one, told["resources"][table]), "")),
            Target("page", page),
        )
        for table, one, page in RESOURCES
        if table in told["resources"]
    ]
    return Section("Resources", tuple(lines))


def compactly(told: Mapping[str, Any], width: int) -> Section:
    """The same in a few lines."""
    counts = [(told["resources"].get(table, 0), one) for table, one, _ in RESOURCES]
    each = (f"{number(count)} {_plural(one, count)}".replace(" ", KEPT) for count, one in counts if count)
    lines = textwrap.wrap("   ".join(each) or "nothing yet", max(1, width - 2))
    return Section("Resources", tuple(Line(((line.replace(KEPT, " "), ""),)) for line in lines), name=0)


def _plural(one: str, count: int) -> str:
    return one if count == 1 else f"{one}s"


def events(told: Mapping[str, Any]) -> Section:
    """What happened of late, the newest first."""
    lines = [
        Line(
            (
                (words.clock(each["at"]), "dim"),
                (words.state(each["level"])[0], words.style(each["level"])),
                (plain(each["message"] or each["type"], limit=300), ""),
            ),
            _of_event(each),
        )
        for each in reversed(told["events"])
    ]
    return Section("Events", tuple(lines), name=2)


def _of_event(event: Mapping[str, Any]) -> Target:
    kind = event["data"].get("kind")
    if event["kind"] == "jobs" and kind in KINDS:
        return Target(str(kind), event["resource_id"])
    if event["kind"] == "runners":
        return Target("runner", event["resource_id"])
    pages = {table: page for table, _, page in RESOURCES}
    return Target("page", pages.get(event["kind"], "events"))


# ─── drawing ──────────────────────────────────────────────────────────────────────────────────────────


def drawn(found: Sequence[Section], width: int) -> Iterator[Drawn]:
    """The sections below each other in `width` cells, an empty line between them."""
    for place, section in enumerate(found):
        if place:
            yield Drawn((("", ""),))
        yield Drawn(((f" {section.title}", "title"), (f"  {section.note}" if section.note else "", "dim")))
        yield from _lines(section, width)


def _lines(section: Section, width: int) -> Iterator[Drawn]:
    count = max(len(line.cells) for line in section.lines)
    natural = [0] * count
    for line in section.lines:
        own = line.cells if len(line.cells) == count else line.cells[:-1]  # what ends early has the rest of its line
        for index, (text, _) in enumerate(own):
            natural[index] = max(natural[index], cell_len(text))
    used = [index for index in range(count) if natural[index]]
    name = used.index(section.name) if section.name in used else 0
    fitted = dict(zip(used, widths([natural[index] for index in used], width - 1, name), strict=True))
    seen: dict[str, int] = {}
    for line in section.lines:
        key = f"{section.title}/{line.target.kind}/{line.target.id}" if line.target else ""
        seen[key] = seen.get(key, 0) + 1
        yield Drawn(tuple(_spans(line, fitted, width)), f"{key}/{seen[key]}" if key else "", line.target)


def _spans(line: Line, fitted: Mapping[int, int], width: int) -> Iterator[Cell]:
    """A line's cells, each as wide as its column; the last one has what is left."""
    yield " ", ""
    left, last = width - 1, len(line.cells) - 1
    ends_early = last < max(fitted, default=0)
    for index, (text, meaning) in enumerate(line.cells):
        room = min(left, fitted.get(index, 0))
        room = left if index == last and (room or ends_early) else room
        if room > 0:
            shown = cut(text, room)
            yield shown + " " * max(0, min(room + GAP, left) - cell_len(shown)), meaning
            left -= room + GAP
