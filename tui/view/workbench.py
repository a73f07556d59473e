"""The workbench of Cloudera ML as lines: how busy its cluster is in the sidebar, on Home and in a shell, and where its pages are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from core.text import counted, plain
from tui.view import words
from tui.view.cells import Cell
from tui.view.overview import Line, Section, Target

OLD = 120.0  # seconds after which it is told when the load was so
BAR = 12  # cells
LOAD = (("cpus", "cores", ""), ("memory", "memory", " GiB"), ("gpus", "GPUs", ""))


def load(told: Mapping[str, Any] | None, now: float | None = None) -> list[str]:
    """How busy the cluster is, in lines for the sidebar; none where that is not known."""
    cluster = (told or {}).get("cluster")
    if not told or not cluster:
        return []
    parts = {name: _of(cluster, name) for name, _, _ in LOAD}
    first = [f"{word} {parts[name]}" for name, word in (("cpus", "CPU"), ("gpus", "GPU")) if parts[name]]
    lines = ["  ".join(first)] if first else []
    lines += [f"memory {parts['memory']} GiB"] if parts["memory"] else []
    return [*lines, *([f"at {words.clock(told['at'])}"] if lines and _is_old(told, now) else [])]


def section(told: Mapping[str, Any] | None, now: float | None = None) -> Section:
    """The same as a section of Home, with a line that leads to the workbench's screen."""
    if not told or not told["on"]:
        return Section("Cloudera ML", ())
    lines = [
        Line(_cells(told["cluster"], name, title, unit)) for name, title, unit in LOAD if _of(told["cluster"], name)
    ]
    where = plain(told["project"] or told["domain"] or "", limit=200)
    about = Line((("project", ""), (where, "")), Target("workbench", "")) if where else None
    note = f"as it was at {words.clock(told['at'])}" if lines and _is_old(told, now) else ""
    return Section("Cloudera ML", (*lines, *([about] if about else ())), note, name=0)


def _cells(cluster: Mapping[str, Any], name: str, title: str, unit: str) -> tuple[Cell, ...]:
    taken, most = cluster[name] or 0.0, cluster[f"{name}_allocatable"]
    share = min(1.0, taken / most) if most else 0.0
    return (title, ""), (f"{words.bar(share, BAR)} {share:4.0%}", "bar"), (f"{_of(cluster, name)}{unit} taken", "dim")


def _of(cluster: Mapping[str, Any] | None, name: str) -> str:
    """What is taken of what there is; empty where the workbench does not tell, or has none."""
    most = (cluster or {}).get(f"{name}_allocatable")
    return f"{words.number(round((cluster or {}).get(name) or 0.0, 1))}/{words.number(round(most, 1))}" if most else ""


def _is_old(told: Mapping[str, Any], now: float | None) -> bool:
    return told["at"] is not None and (time.time() if now is None else now) - told["at"] > OLD


def described(told: Mapping[str, Any], now: float | None = None) -> list[str]:
    """All that is known of it, one thing a line."""
    if not told["on"]:
        return ["The studio runs in no workbench of Cloudera ML: CDSW_PROJECT_ID is not set where its actors run."]
    gpus = {True: "yes", False: "no: this workbench gives none to pods", None: ""}[told["gpu_enabled"]]
    facts = [
        ("owner", told["owner"]), ("domain", told["domain"]), ("project", told["project_id"]), ("page", told["project"]),
        *((name, page) for name, page in told["pages"].items()),
        *((title, f"{_of(told['cluster'], name)}{unit} taken") for name, title, unit in LOAD if _of(told["cluster"], name)),
        ("load of", words.moment(told["at"], now) if told["cluster"] else ""), ("GPUs for pods", gpus),
        *(("accelerator", _accelerator(each)) for each in told["accelerators"]),
        *((f"job {id}", page) for id, page in told["jobs"].items()),
        *((f"experiment {name}", page) for name, page in told["experiments"].items()),
        *(("not known", why) for why in told["away"]),
    ]  # fmt: skip
    kept = [(plain(name, limit=80), plain(value, limit=2_000)) for name, value in facts if value]
    wide = max(len(name) for name, _ in kept)
    return [f"{name:<{wide}}  {value}" for name, value in kept]


def _accelerator(kind: Mapping[str, Any]) -> str:
    """A kind of GPU, and what a job asks for it by."""
    some = f"{counted(kind['gpus_now'], 'GPU')} now, {kind['gpus_most']} at most"
    most = f", {kind['per_workload']} for one run" if kind["per_workload"] else ""
    there = "" if kind["available"] else ", not available"
    return f"{kind['name'] or 'any'}: {some}{most}{there}; gpu_label_id {kind['id']}"
