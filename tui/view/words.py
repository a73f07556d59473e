"""Numbers, times and states as short text. A state has a symbol and a word: nothing is told by colour alone."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from core.text import counted, plain
from core.types import SYSTEM

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")

STATES: dict[str, tuple[str, str]] = {  # state -> (symbol, meaning)
    "queued": ("◌", "wait"),
    "assigned": ("◔", "busy"),
    "running": ("●", "busy"),
    "pausing": ("◑", "wait"),
    "paused": ("Ⅱ", "wait"),
    "cancel_requested": ("◑", "wait"),
    "succeeded": ("✓", "good"),
    "failed": ("✗", "bad"),
    "cancelled": ("⊘", "dim"),
    "online": ("●", "good"),
    "draining": ("◑", "wait"),
    "lost": ("✗", "bad"),
    "no shared artifacts": ("✗", "bad"),
    "info": ("·", "dim"),
    "warning": ("▲", "wait"),
    "error": ("✗", "bad"),
}


TABLES = {
    "fine_tuning_jobs": "fine-tuning jobs",
    "evaluation_jobs": "evaluations",
    "export_jobs": "exports",
    "models": "base models",
}


def table(name: str) -> str:
    """A table's rows as people call them."""
    return TABLES.get(name, plain(name.replace("_", " "), limit=40))


def state(value: str) -> str:
    """A state as symbol and word."""
    symbol, _ = STATES.get(value, ("?", ""))
    return f"{symbol} {plain(value.replace('_', ' '), limit=24)}"


def style(value: str) -> str:
    """What a state means, as a name of theme.PAINT."""
    return STATES.get(value, ("", ""))[1]


METRICS = {"eval_loss": "eval loss", "grad_norm": "gradient norm", "tokens_per_second": "tokens/s"}
HOST = {  # the last part of the name of a metric of the host -> what it is called
    "cpu": "CPU, % of a core",
    "memory": "memory, GiB",
    "percent": "load, %",
    "celsius": "°C",
    "watts": "W",
}


def metric(name: str) -> str:
    """What a metric is called, with its unit where it has one."""
    if not name.startswith(SYSTEM):
        return plain(METRICS.get(name) or name.replace("_", " "), limit=40)
    device, _, what = name.removeprefix(SYSTEM).rpartition(".")
    gpu = re.sub(r"^gpu\.?(\d+)$", r"GPU \1", device)
    return plain(" ".join(filter(None, (gpu, HOST.get(what, what)))), limit=60)


def duration(seconds: float | None) -> str:
    """A span as 12s, 3m05s, 2h07m or 4d01h."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    for unit, size, less, name in (("d", 86_400, 3_600, "h"), ("h", 3_600, 60, "m"), ("m", 60, 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // less:02d}{name}"
    return f"{whole}s"


def age(at: float | None, now: float | None = None) -> str:
    """How long ago a time was."""
    return "" if at is None else duration((time.time() if now is None else now) - at)


def memory(amount: float) -> str:
    """GiB in one form everywhere."""
    return f"{amount:.1f} GiB"


def number(value: float | None) -> str:
    """A number in few characters."""
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}"


def clock(at: float | None) -> str:
    """A time of day."""
    return "" if at is None else time.strftime("%H:%M:%S", time.localtime(at))


def moment(at: float | None, now: float | None = None) -> str:
    """A time of day, to the second when that is today, else with its day: no wider than a column that is cut."""
    if at is None:
        return ""
    then = time.localtime(at)
    return time.strftime("%H:%M:%S" if then[:3] == time.localtime(now)[:3] else "%d %b %H:%M", then)


def starts(at: float | None, now: float | None = None) -> str:
    """When a job might start, to the minute; with the day when that is another one."""
    if at is None:
        return ""
    then, today = time.localtime(at), time.localtime(now)
    day = "" if then[:3] == today[:3] else time.strftime("%d %b ", then)
    return f"might start at {day}{time.strftime('%H:%M', then)}"


def held(why: Mapping[str, Any], now: float | None = None) -> str:
    """Why a job stands still, and for how long (core.messages.jobs.Held)."""
    return f"▲ stands still for {age(why.get('since'), now) or '?'}: {why.get('reason')}"


def stopped_early(job: Mapping[str, Any]) -> str:
    """That a job's patience ran out before its last step; empty where it did not."""
    stop = job.get("stopped_early")
    if not stop:
        return ""
    since = "" if stop.get("best_step") is None else f": lowest held-out loss at step {stop['best_step']}"
    return f"stopped early at step {stop['step']}{since}"


def no_room(why: Mapping[str, Any]) -> str:
    """The same in a cell; where nothing is needed it is no matter of room."""
    if not why["needed"]:
        return "its files are away"
    needed, free = (number(round(why[name] / 2**20, 1)) for name in ("needed", "free"))
    return f"no room: {needed} MiB, {free} free"


def bar(share: float | None, width: int) -> str:
    """A progress bar of `width` cells, half a cell fine, with a thin line where it has yet to come."""
    if share is None:
        return " " * width
    full, half = divmod(int(max(0.0, min(1.0, share)) * width * 2), 2)
    return "━" * full + "╸" * half + "─" * (width - full - half)


def share(job: Mapping[str, Any]) -> float | None:
    """How far a job is, 0 to 1; None when that is not known."""
    return job["step"] / job["total_steps"] if job.get("total_steps") else None


def short(id: str | None) -> str:
    """The beginning of an id, enough to tell it from others; one that a person chose is shown whole."""
    text = plain(id or "", limit=64)
    return text[:8] if _UUID.match(text) else plain(text, limit=24)


def made(message: str, value: Mapping[str, Any], notes: str = "") -> str:
    """What a form has done: what was added, under its name."""
    about = next((each for each in value.values() if isinstance(each, Mapping)), {})
    noun = next((name for name, each in value.items() if isinstance(each, Mapping)), "").replace("_", " ")
    name = about.get("name") or about.get("adapter_name") or about.get("description") or short(str(about.get("id", "")))
    verb = "changed" if message.startswith("Edit") else "added" if message.startswith("Add") else "queued"
    if value.get("deduplicated"):
        verb = "there already: it is used"
    many = next((each for each in value.values() if isinstance(each, list)), [])
    done = f"{counted(len(many), 'evaluation')}: queued" if message == "StartEvaluationJob" and many else "done"
    told = f"{noun} {plain(name, limit=60)}: {verb}" if noun else done
    return f"{told}. {notes}" if notes else told
