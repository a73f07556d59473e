"""A fine-tuning job as it is shown: kept up to date by its records, told again by the studio when some are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.loglines import told
from core.text import plain
from core.types import SYSTEM
from tui.view import words
from tui.view.failure import card, whole

CURVES = ("loss", "eval_loss")
POINTS = 300
LINES = 2_000  # log lines kept
SHORT = 135  # characters of each part of a failure above the curve: two lines of a narrow terminal
LONG = 300  # the same where there is room
HOW = (
    "framework_type", "method", "preset", "max_length", "packing", "length_grouped", "loss_on", "chat_template", "train_splits",
    "eval_split", "early_stopping_patience", "keep_best", "num_workers", "user_script",
)  # fmt: skip


@dataclass
class JobView:
    """What is known of a job. `attempt` and `offset` say up to which record."""

    job: dict[str, Any] = field(default_factory=dict)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    attempt: int = 0
    offset: int = 0
    chosen: str | None = None  # the series that is drawn instead of the losses

    def take_metrics(self, reply: Mapping[str, Any]) -> None:
        """All numbers anew."""
        self.attempt, self.offset = reply["attempt"], reply["offset"]
        self.series = {
            each["name"]: list(zip(map(float, each["steps"]), each["values"], strict=True)) for each in reply["series"]
        }

    def take_entry(self, entry: Mapping[str, Any]) -> tuple[bool, list[str]]:
        """Take one entry of the job's stream in; (whether nothing was missed, new log lines)."""
        for point in entry.get("usage", ()):
            self._numbers(point)
        if entry["attempt"] < self.attempt or (entry["attempt"] == self.attempt and entry["to"] <= self.offset):
            return True, []
        if entry["attempt"] != self.attempt or entry["from"] > self.offset:
            return False, []
        new = [
            line
            for record in entry["records"]
            if record.get("offset", entry["to"]) > self.offset
            for line in self._take(record)
        ]
        self.offset = entry["to"]
        self.log = [*self.log, *new][-LINES:]
        return True, new

    def _take(self, record: Mapping[str, Any]) -> list[str]:
        kind = record.get("type")
        if kind == "metrics":
            self._numbers(record)
        elif kind == "progress":
            for name in ("step", "total_steps", "eta_seconds", "tokens_per_second"):
                self.job[name] = record.get(name)
        elif kind == "phase":
            self.job["phase"] = record.get("name")
        elif kind == "resumed":
            self._cut(record["from_step"])
        return log_lines(record)

    def _numbers(self, record: Mapping[str, Any]) -> None:
        step = float(record["step"])
        self.job["last_metrics"] = {**(self.job.get("last_metrics") or {}), **record["values"]}
        for name, value in record["values"].items():
            points = self.series.setdefault(name, [])
            if points and points[-1][0] >= step:
                points[:] = [point for point in points if point[0] < step]
            points.append((step, value))
            if len(points) > 2 * POINTS:
                points[:] = [*points[:-POINTS:2], *points[-POINTS:]]

    def _cut(self, step: int) -> None:
        for points in (points for name, points in self.series.items() if not name.startswith(SYSTEM)):
            points[:] = [point for point in points if point[0] <= step]

    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """The series that are drawn, by what stands below them: the losses together, any other alone."""
        if self.chosen is None or not self.series.get(self.chosen):
            return {name: self.series[name] for name in CURVES if self.series.get(name)}
        return {words.metric(self.chosen): self.series[self.chosen]}

    def choose(self, step: int) -> None:
        """Draw the next series, or the one before; after the last come the losses again."""
        names = [None, *sorted(set(self.series) - set(CURVES), key=lambda name: (name.startswith(SYSTEM), name))]
        place = names.index(self.chosen) if self.chosen in names else 0
        self.chosen = names[(place + step) % len(names)]

    def takes(self) -> tuple[str, str]:
        """What the job takes of its host, and how busy its GPUs are."""
        last = self.job.get("last_metrics") or {}
        parts = [
            f"{last[name]:.{digits}f}{unit}"
            for name, unit, digits in ((f"{SYSTEM}cpu", "% CPU", 0), (f"{SYSTEM}memory", " GiB", 1))
            if last.get(name) is not None
        ]
        gpus = [last[name] for name in sorted(last) if name.startswith(f"{SYSTEM}gpu") and name.endswith(".percent")]
        return " ".join(parts), " ".join(f"{each:.0f}%" for each in gpus)

    def head(self, width: int, now: float | None = None) -> list[tuple[str, str]]:
        """The lines on top as (text, style)."""
        job = self.job
        status = str(job.get("status") or "")
        share = words.share(job)
        told = [words.state(status)]
        if status == "queued" and job.get("waiting_for"):
            told.append(f"waiting for {job['waiting_for']}")
            if starts := words.starts(job.get("might_start_at"), now):
                told.append(starts)
        if job.get("held"):
            told.append(words.held(job["held"]))
        elif job.get("phase") and status in ("assigned", "running"):
            told.append(str(job["phase"]))
        if stop := words.stopped_early(job):
            told.append(stop)
        if job.get("attempt", 0) > 1:
            told.append(f"attempt {job['attempt']}")
        if job.get("created_at"):
            told.append(f"{words.age(job['created_at'], now)} old")
        lines = [(plain("   ".join(told), limit=width), words.style(status))]
        if share is not None:
            steps = f" {share:4.0%}  step {job.get('step', 0)}/{job['total_steps']}"
            left = (
                f"  {words.duration(job['eta_seconds'])} left" if job.get("eta_seconds") and status == "running" else ""
            )
            room = max(10, width - len(steps) - len(left) - 2)
            lines.append((f"{words.bar(share, room)}{steps}{left}", "bar"))
        return lines

    def facts(self) -> list[tuple[str, object, str]]:
        """Names and values for the panel of numbers."""
        job, last = self.job, self.job.get("last_metrics") or {}
        host, gpus = self.takes()
        numbers = [
            (name.replace("_", " "), words.number(last.get(name)), "bold")
            for name in ("loss", "eval_loss", "learning_rate", "grad_norm")
        ]
        return [
            *numbers,
            ("tokens/s", words.number(job.get("tokens_per_second")), "bold"),
            ("epochs", job.get("num_epochs"), ""),
            (
                "rows",
                f"{job.get('dataset_fraction') or 1:.0%}, {job.get('train_test_split') or 1:.0%} trained"
                if job
                else "",
                "",
            ),
            ("loss on", job.get("loss_on"), ""),
            (
                "asks for",
                f"{job.get('num_cpu')} CPU {job.get('num_gpu')} GPU {job.get('num_memory')} GiB" if job else "",
                "",
            ),
            *([("takes", host, ""), ("GPUs", gpus, "")] if job.get("status") == "running" else []),
            ("runner", job.get("runner"), ""),
            ("adapter", words.short(job.get("adapter_id")), ""),
            ("id", words.short(job.get("id")), "dim"),
        ]

    def trouble(self, log: int = 0) -> str:
        """Why the job failed and what to do next, in a few lines, with `log` lines of its log; empty when it did not."""
        error = self.job.get("error")
        return "\n".join(card(error, tail=log, limit=LONG if log else SHORT)) if error else ""

    def failure(self) -> list[str]:
        """All that is known of why the job failed."""
        error = self.job.get("error")
        return whole(error) if error else ["nothing has gone wrong"]

    def configs(self) -> str:
        """How it trains, and the config snapshots, as text."""
        from tui.view.describe import described

        how = {name: self.job[name] for name in HOW if self.job.get(name) not in (None, False)}
        names = ("training_arguments_config", "lora_config", "model_bnb_config", "adapter_bnb_config")
        return described(how | {name: self.job.get(name) for name in names}) or "no configs"


def log_lines(record: Mapping[str, Any]) -> list[str]:
    """A record as lines of the log; most records have none."""
    line = told(record)
    if line is None:
        return []
    at, mark = words.clock(record.get("at")), "▲ " if record.get("type") in ("warning", "oom", "held") else ""
    return [f"{at} {text}" for text in plain(mark + line[1], limit=20_000, lines=True).splitlines()]
