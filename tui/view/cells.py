"""The cells that lists show of a row: made safe, short, with the style of what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.failing import title
from core.text import plain
from tui.view import exported, scores, words

Row = Mapping[str, Any]
Cell = tuple[str, str]  # text, style


@dataclass(frozen=True)
class Column:
    """A column: its title, and what it shows of a row.

    `order` is what the studio orders the list by to have it in the order of this column; with a "-" it runs the other way
    than what is shown: the youngest was made last. Where room is short columns of a higher `gives` go before others.
    """

    title: str
    show: Callable[[Row], Cell]
    order: str = ""
    gives: int = 0


def text(field: str, limit: int = 40, title: str | None = None, order: str = "", gives: int = 0) -> Column:
    """A field as it is."""
    shown = title or field.replace("_", " ")
    return Column(shown, lambda row: (plain(row.get(field) or "", limit=limit), ""), order, gives)


def state(row: Row) -> Cell:
    """The state, with its sign."""
    status = str(row.get("status") or "")
    return words.state(status), words.style(status)


def loss(row: Row) -> Cell:
    """The newest loss."""
    return words.number(row.get("last_metrics", {}).get("loss")), ""


def progress(row: Row) -> Cell:
    """How far it is, why it waits, or why it failed."""
    share = words.share(row)
    if row.get("status") == "queued":
        return plain(row.get("waiting_for") or "", limit=34), "dim"
    if row.get("held"):
        return f"▲ {words.no_room(row['held'])}", "wait"
    if row.get("failure_class"):
        return title(str(row["failure_class"])), "dim"
    if share is not None and row.get("stopped_early"):
        return f"{share:.0%} stopped early", "dim"
    return (f"{share:4.0%} {words.bar(share, 8)}", "bar") if share is not None else ("", "")


def steps(row: Row) -> Cell:
    """Steps done of all."""
    return (f"{row.get('step', 0)}/{row['total_steps']}", "") if row.get("total_steps") else ("", "dim")


def eta(row: Row) -> Cell:
    """How long it takes yet."""
    return words.duration(row.get("eta_seconds")), ""


def age(row: Row) -> Cell:
    """How long ago it was made."""
    return words.age(row.get("created_at")), "dim"


def runner(row: Row) -> Cell:
    """Who has it."""
    return plain(row.get("runner") or "", limit=24), "dim"


def short_id(row: Row) -> Cell:
    """The beginning of its id."""
    return words.short(row.get("id")), "dim"


def address(row: Row) -> Cell:
    """Where an endpoint can be called, or what it waits for."""
    if row.get("address"):
        return plain(row["address"], limit=40), "bold"
    return plain(row.get("waiting_for") or row.get("phase") or "", limit=34), "dim"


def used(row: Row) -> Cell:
    """How long ago somebody asked."""
    return words.age(row.get("last_used_at")), "dim"


def models(row: Row) -> Cell:
    """The names that an endpoint answers to."""
    return plain(", ".join(map(str, row.get("models") or [])), limit=40), ""


def features(row: Row) -> Cell:
    """A dataset's columns."""
    return plain(", ".join(map(str, row.get("features") or [])), limit=40), ""


def place(row: Row) -> Cell:
    """Where its files are."""
    return plain(
        row.get("location") or row.get("huggingface_name") or row.get("huggingface_model_name") or "", limit=60
    ), "dim"


def combination(row: Row) -> Cell:
    """A model with its adapter."""
    model = row.get("base_model_name") or words.short(row.get("base_model_id"))
    adapter = row.get("adapter_name") or words.short(row.get("adapter_id"))
    return plain(f"{model} + {adapter}" if adapter else model, limit=48), ""


def adapters(row: Row) -> Cell:
    """The names of all adapters."""
    return plain(", ".join(str(each.get("name") or each.get("id")) for each in row.get("adapters") or ()), limit=60), ""


def first_scores(row: Row) -> Cell:
    """The first scores."""
    told = list((row.get("scores") or {}).items())[:2]
    return "  ".join(f"{scores.named(name)} {scores.figure(name, value)}" for name, value in told), ""


def cores(row: Row) -> Cell:
    """Cores taken of all."""
    taken = row.get("cpus", 0) - (row.get("free") or {}).get("cpus", 0)
    return f"{taken:g}/{row.get('cpus', 0)}", ""


def is_quota(row: Row) -> bool:
    """Whether what a runner has is what it may take of a workbench, and no machine of its own."""
    return row.get("kind") == "cml"


def of_runner(row: Row) -> dict[str, Any]:
    """A runner in full: GPUs of a workbench are no particular ones, so they are only counted."""
    count = len(row.get("gpus") or [])
    return {**row, "gpus": f"{count} of Cloudera ML" if count else []} if is_quota(row) else dict(row)


def taken(row: Row, name: str) -> float:
    """What jobs occupy of a runner's `name`, by what it says is free."""
    have = float(len(row.get("gpus") or []) if name == "gpus" else row.get(name) or 0)
    return max(0.0, have - float((row.get("free") or {}).get(name, have)))


def cpu(row: Row) -> Cell:
    """How busy the processor is; in Cloudera ML there are many, and none of them is told of."""
    if is_quota(row):
        return "quota", "dim"
    told = _amounts(row.get("telemetry"))
    return f"{told['cpu_percent']:.0f}%" if "cpu_percent" in told else "", ""


def memory_of(row: Row) -> Cell:
    """Memory taken of all."""
    used = taken(row, "memory") if is_quota(row) else _amounts(row.get("telemetry")).get("memory_used", 0)
    return f"{used:.1f}/{row.get('memory', 0):.1f}", ""  # the unit is the title's: it may not be cut


def exported_to(row: Row) -> Cell:
    """Where an export went."""
    return plain(exported.place(dict(row)), limit=60), ""


def _amounts(told: object) -> dict[str, float]:
    """What of a runner's telemetry are numbers: it says what it likes."""
    return (
        {name: value for name, value in told.items() if isinstance(value, int | float)}
        if isinstance(told, dict)
        else {}
    )


def gpus(row: Row) -> Cell:
    """The GPUs, and how busy they are."""
    if is_quota(row):
        count = len(row.get("gpus") or [])
        return (f"{taken(row, 'gpus'):g}/{count}", "") if count else ("none", "dim")
    told = (row.get("telemetry") or {}).get("gpus")
    busy = {each.get("index"): each for each in map(_amounts, told if isinstance(told, list) else ())}
    shown = [
        f"{plain(each.get('name') or 'GPU', limit=16)} {_load_of(busy.get(each.get('index'), {}))}"
        for each in row.get("gpus") or []
    ]
    return ", ".join(shown) or "none", "" if shown else "dim"


def _load_of(gpu: Row) -> str:
    """How busy a GPU is."""
    parts = [f"{gpu.get('percent', 0)}%"]
    if "memory_used" in gpu and "memory_total" in gpu:
        parts.append(f"{gpu['memory_used']:.1f}/{words.memory(gpu['memory_total'])}")
    parts += [f"{gpu[name]:g}{unit}" for name, unit in (("celsius", "°C"), ("watts", "W")) if name in gpu]
    return plain(" ".join(parts), limit=40)


def event(row: Row) -> Cell:
    """An event's type, in the style of its level."""
    level = str(row.get("level") or "info")
    return f"{words.STATES.get(level, ('·', ''))[0]} {plain(row.get('type') or '', limit=20)}", words.style(level)


def of_template(field: str) -> Column:
    """A template on one line."""
    return Column(
        field.replace("_template", ""), lambda row: (plain((row.get(field) or "").replace("\n", "⏎"), limit=44), "")
    )


def config(row: Row) -> Cell:
    """A config's content on one line."""
    return plain(row.get("config") or "", limit=80).replace("\n", " "), ""


ID = Column("id", short_id, gives=2)
AGE = Column("age", age, order="-created_at")
