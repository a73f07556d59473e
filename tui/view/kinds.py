"""What lists of resources show: which message fills them, their columns, and what an empty one says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.failing import title
from core.text import plain
from tui.view import scores, words

Row = Mapping[str, Any]
Cell = tuple[str, str]  # text, style

JOBS = ("jobs", "evaluations", "comparisons")  # the lists whose rows are jobs


@dataclass(frozen=True)
class Column:
    """A column: its title, and what it shows of a row."""

    title: str
    show: Callable[[Row], Cell]


@dataclass(frozen=True)
class Remove:
    """What ctrl+d asks for a row: the message, what it removes, and what stays. `id` is the field that the message takes."""

    message: str
    noun: str
    stays: str
    id: str = "id"


@dataclass(frozen=True)
class Kind:
    """A list. `events` are the tables whose events change it; `live` lists are asked for again while something runs.

    `name_column` tells the rows apart and is cut last.
    """

    name: str
    title: str
    message: str
    field: str
    columns: tuple[Column, ...]
    events: frozenset[str]
    empty: str
    add: str | None = None
    live: bool = False
    remove: Remove | None = None
    name_column: int = 0

    @property
    def keys(self) -> str:
        """The keys that do something here, for the line at the bottom: at most 78 characters."""
        if self.name in JOBS:
            clone = ["C clone"] if self.name == "jobs" else []
            pause = [] if self.name == "comparisons" else ["p pause"]
            return "  ".join(["enter open  n new", *pause, "c cancel  t try again", *clone, ": go to  ? help"])
        own = ["D drain"] if self.name == "runners" else []
        own = own or (["^d remove"] if self.remove else [])
        new = ["n new"] if self.add else []
        return "  ".join(["enter open", *new, "d describe", "/ filter", ": go to", *own, "? help", "q quit"])


def text(field: str, limit: int = 40, title: str | None = None) -> Column:
    """A field as it is."""
    return Column(title or field.replace("_", " "), lambda row: (plain(row.get(field) or "", limit=limit), ""))


def _state(row: Row) -> Cell:
    status = str(row.get("status") or "")
    return words.state(status), words.style(status)


def _loss(row: Row) -> Cell:
    return words.number(row.get("last_metrics", {}).get("loss")), ""


def _progress(row: Row) -> Cell:
    share = words.share(row)
    if row.get("status") == "queued":
        return plain(row.get("waiting_for") or "", limit=34), "dim"
    if row.get("held"):
        return f"▲ {words.no_room(row['held'])}", "wait"
    if row.get("failure_class"):
        return title(str(row["failure_class"])), "dim"
    if share is not None and row.get("stopped_early"):
        return f"{share:4.0%} stopped early", "dim"
    return (f"{share:4.0%} {words.bar(share, 8)}", "bar") if share is not None else ("", "")


def _steps(row: Row) -> Cell:
    return (f"{row.get('step', 0)}/{row['total_steps']}", "") if row.get("total_steps") else ("", "dim")


def _eta(row: Row) -> Cell:
    return words.duration(row.get("eta_seconds")), ""


def _age(row: Row) -> Cell:
    return words.age(row.get("created_at")), "dim"


def _runner(row: Row) -> Cell:
    return plain(row.get("runner") or "", limit=24), "dim"


def _id(row: Row) -> Cell:
    return words.short(row.get("id")), "dim"


def _features(row: Row) -> Cell:
    return plain(", ".join(map(str, row.get("features") or [])), limit=40), ""


def _place(row: Row) -> Cell:
    return plain(
        row.get("location") or row.get("huggingface_name") or row.get("huggingface_model_name") or "", limit=60
    ), "dim"


def _combination(row: Row) -> Cell:
    model = row.get("base_model_name") or words.short(row.get("base_model_id"))
    adapter = row.get("adapter_name") or words.short(row.get("adapter_id"))
    return plain(f"{model} + {adapter}" if adapter else model, limit=48), ""


def _adapters(row: Row) -> Cell:
    return plain(", ".join(str(each.get("name") or each.get("id")) for each in row.get("adapters") or ()), limit=60), ""


def _scores(row: Row) -> Cell:
    told = list((row.get("scores") or {}).items())[:2]
    return "  ".join(f"{scores.named(name)} {scores.figure(name, value)}" for name, value in told), ""


def _cores(row: Row) -> Cell:
    taken = row.get("cpus", 0) - (row.get("free") or {}).get("cpus", 0)
    return f"{taken:g}/{row.get('cpus', 0)}", ""


def _cpu(row: Row) -> Cell:
    told = _amounts(row.get("telemetry"))
    return f"{told['cpu_percent']:.0f}%" if "cpu_percent" in told else "", ""


def _memory(row: Row) -> Cell:
    used = _amounts(row.get("telemetry")).get("memory_used", 0)
    return f"{used:.1f}/{row.get('memory', 0):.1f}", ""  # the unit is the title's: it may not be cut


def _amounts(told: object) -> dict[str, float]:
    """What of a runner's telemetry are numbers: it says what it likes."""
    return (
        {name: value for name, value in told.items() if isinstance(value, int | float)}
        if isinstance(told, dict)
        else {}
    )


def _gpus(row: Row) -> Cell:
    told = (row.get("telemetry") or {}).get("gpus")
    busy = {each.get("index"): each for each in map(_amounts, told if isinstance(told, list) else ())}
    shown = [
        f"{plain(each.get('name') or 'GPU', limit=16)} {_load_of(busy.get(each.get('index'), {}))}"
        for each in row.get("gpus") or []
    ]
    return ", ".join(shown) or "none", "" if shown else "dim"


def _load_of(gpu: Row) -> str:
    parts = [f"{gpu.get('percent', 0)}%"]
    if "memory_used" in gpu and "memory_total" in gpu:
        parts.append(f"{gpu['memory_used']:.1f}/{words.memory(gpu['memory_total'])}")
    parts += [f"{gpu[name]:g}{unit}" for name, unit in (("celsius", "°C"), ("watts", "W")) if name in gpu]
    return plain(" ".join(parts), limit=40)


def _event(row: Row) -> Cell:
    level = str(row.get("level") or "info")
    return f"{words.STATES.get(level, ('·', ''))[0]} {plain(row.get('type') or '', limit=20)}", words.style(level)


def _of_template(field: str) -> Column:
    return Column(
        field.replace("_template", ""), lambda row: (plain((row.get(field) or "").replace("\n", "⏎"), limit=44), "")
    )


def _config(row: Row) -> Cell:
    return plain(row.get("config") or "", limit=80).replace("\n", " "), ""


ID = Column("id", _id)
AGE = Column("age", _age)
JOB_EVENTS = frozenset({"jobs", "fine_tuning_jobs", "evaluation_jobs", "runners"})

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "jobs",
            "Jobs",
            "ListFineTuningJobs",
            "fine_tuning_jobs",
            (
                Column("status", _state),
                text("adapter_name", 24, "adapter"),
                Column("progress", _progress),
                Column("step", _steps),
                Column("loss", _loss),
                Column("left", _eta),
                AGE,
                Column("runner", _runner),
                ID,
            ),
            JOB_EVENTS,
            "No jobs yet.\n\nn starts one; a job needs a dataset (:datasets), a base model (:models) and a prompt (:prompts).",
            "StartFineTuningJob",
            live=True,
            remove=Remove("RemoveFineTuningJob", "job", "Its adapter stays."),
            name_column=1,
        ),
        Kind(
            "evaluations",
            "Evaluations",
            "ListEvaluationJobs",
            "evaluation_jobs",
            (
                Column("status", _state),
                Column("combination", _combination),
                Column("scores", _scores),
                Column("progress", _progress),
                text("rows", 8),
                AGE,
                Column("batch", lambda row: (words.short(row.get("parent_job_id")), "dim")),
            ),
            JOB_EVENTS,
            "No evaluations yet.\n\nn scores base models and adapters on the same rows.",
            "StartEvaluationJob",
            live=True,
            remove=Remove("RemoveEvaluationJob", "batch of evaluations", "Its files stay.", "parent_job_id"),
            name_column=1,
        ),
        Kind(
            "comparisons",
            "Comparisons",
            "ListComparisons",
            "comparisons",
            (
                Column("status", _state),
                text("base_model_name", 24, "base model"),
                Column("adapters", _adapters),
                text("phase", 24),
                AGE,
                ID,
            ),
            JOB_EVENTS,
            "No comparisons yet.\n\nn holds a base model and adapters in memory, to be asked side by side.",
            "StartComparison",
            live=True,
            name_column=2,
        ),
        Kind(
            "datasets",
            "Datasets",
            "ListDatasets",
            "datasets",
            (
                text("name", 28),
                text("type", 14),
                text("rows", 9),
                Column("columns", _features),
                Column("where", _place),
                ID,
            ),
            frozenset({"datasets"}),
            "No datasets yet.\n\nn adds a CSV, JSON, JSONL or Parquet file, or a dataset of the Hub.",
            "AddDataset",
            remove=Remove("RemoveDataset", "dataset", "Its file stays."),
        ),
        Kind(
            "models",
            "Base models",
            "ListModels",
            "models",
            (text("name", 28), text("type", 14), text("family", 22), Column("where", _place), ID),
            frozenset({"models"}),
            "No base models yet.\n\nn adds a directory of the project, or a model of the Hub.",
            "AddModel",
            remove=Remove("RemoveModel", "base model", "Its files stay."),
        ),
        Kind(
            "prompts",
            "Prompts",
            "ListPrompts",
            "prompts",
            (text("name", 24), _of_template("input_template"), _of_template("completion_template"), ID),
            frozenset({"prompts"}),
            "No prompts yet.\n\nn writes one: text with {column} where a row's value goes.",
            "AddPrompt",
            remove=Remove("RemovePrompt", "prompt", "What was trained with it stays."),
        ),
        Kind(
            "adapters",
            "Adapters",
            "ListAdapters",
            "adapters",
            (text("name", 28), text("type", 12), Column("where", _place), AGE, ID),
            frozenset({"adapters"}),
            "No adapters yet.\n\nA job makes one (:jobs, then n); n here adds one that exists.",
            "AddAdapter",
            remove=Remove("RemoveAdapter", "adapter", "Its files stay."),
        ),
        Kind(
            "configs",
            "Configs",
            "ListConfigs",
            "configs",
            (text("type", 22), text("description", 26), Column("content", _config), ID),
            frozenset({"configs"}),
            "No configs yet.\n\nn adds training arguments, LoRA, quantisation or generation settings.",
            "AddConfig",
            remove=Remove("RemoveConfig", "config", "Jobs carry their own copy."),
            name_column=1,
        ),
        Kind(
            "runners",
            "Runners",
            "ListRunners",
            "runners",
            (
                Column("status", _state),
                text("host", 24, "runner"),
                Column("cores", _cores),
                Column("CPU", _cpu),
                Column("memory, GiB", _memory),
                Column("GPUs", _gpus),
                Column("jobs", lambda row: (str(len(row.get("jobs") or [])), "")),
                Column("seen", lambda row: (words.age(row.get("last_seen_at")), "dim")),
                ID,
            ),
            JOB_EVENTS,
            "No runner has registered.\n\n`fts up` starts one on this machine.",
            live=True,
            name_column=1,
        ),
        Kind(
            "events",
            "Events",
            "ListEvents",
            "events",
            (
                Column("at", lambda row: (words.clock(row.get("at")), "dim")),
                Column("event", _event),
                text("message", 90),
                Column("about", lambda row: (words.short(row.get("resource_id")), "dim")),
            ),
            frozenset({"*"}),
            "Nothing has happened yet.",
            name_column=2,
        ),
    )
}


def cells(kind: Kind, row: Row) -> list[Cell]:
    """A row's cells."""
    return [column.show(row) for column in kind.columns]


def matches(kind: Kind, row: Row, wanted: str) -> bool:
    """Whether a row is left by the filter: all words of it somewhere in the cells."""
    whole = " ".join(cell for cell, _ in cells(kind, row)).lower() + " " + json.dumps(row.get("id", "")).lower()
    return all(word in whole for word in wanted.lower().split())
