"""A fine-tuning job as it is shown: kept up to date by its records, told again by the studio when some are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.text import plain
from core.types import SYSTEM
from tui import labels
from tui.view import words
from tui.view.chart import Run
from tui.view.fit import cut
from tui.view.joblog import JobLog
from tui.view.links import link
from tui.view.tracks import Tracks

PROGRESS = ("step", "total_steps", "eta_seconds", "tokens_per_second")
INPUTS = ("base_model_id", "dataset_id", "prompt_id")
HOW = (
    "num_epochs", "learning_rate", "dataset_fraction", "train_test_split", "framework_type", "method", "preset", "max_length", "packing", "length_grouped", "loss_on", "chat_template", "train_splits",
    "eval_split", "early_stopping_patience", "keep_best", "num_workers", "user_script",
)  # fmt: skip


@dataclass
class JobView:
    """What is known of a job. `attempt` and `offset` say up to which record."""

    job: dict[str, Any] = field(default_factory=dict)
    tracks: Tracks = field(default_factory=Tracks)
    log: JobLog = field(default_factory=JobLog)
    names: dict[str, str] = field(default_factory=dict)  # what base model, dataset and prompt are called, by field
    pages: dict[str, str] = field(default_factory=dict)  # in Cloudera ML, by what they are of
    attempt: int = 0
    offset: int = 0

    def take_metrics(self, reply: Mapping[str, Any]) -> None:
        """All numbers anew."""
        self.attempt, self.offset = reply["attempt"], reply["offset"]
        self.tracks.replace(reply["series"])

    def take_job(self, job: dict[str, Any]) -> None:
        """The job as the studio tells it; what records of the same attempt told later stays."""
        old = self.job
        if old.get("attempt") == job["attempt"] and (old.get("step") or 0) > job["step"] and job["status"] == "running":
            job = {**job, **{name: old[name] for name in (*PROGRESS, "last_metrics") if name in old}}
        self.job = job

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
            for line in self._take(record, entry)
        ]
        self.offset = entry["to"]
        return True, new

    def _take(self, record: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
        kind = record.get("type")
        if kind == "metrics":
            self._numbers(record)
        elif kind == "progress":
            for name in PROGRESS:
                self.job[name] = record.get(name)
        elif kind == "phase":
            self.job["phase"] = record.get("name")
        elif kind == "resumed":
            self.tracks.cut(record["from_step"])
        return self.log.take(entry["attempt"], record, entry["to"])

    def _numbers(self, record: Mapping[str, Any]) -> None:
        self.job["last_metrics"] = {**(self.job.get("last_metrics") or {}), **record["values"]}
        self.tracks.add(record)

    @property
    def run(self) -> Run:
        """The job's numbers, to be drawn."""
        return Run("this", self.tracks, self.tracks.epoch or epochs_of_a_step(self.job))

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
            (words.metric(name), words.number(last.get(name)), "bold")
            for name in ("loss", "eval_loss", "learning_rate", "grad_norm")
        ]
        return [
            *numbers,
            ("tokens/s", words.number(job.get("tokens_per_second")), "bold"),
            ("epochs", job.get("num_epochs"), ""),
            ("rows", rows_of(job), ""),
            ("loss on", job.get("loss_on"), ""),
            ("asks for", asked_for(job), ""),
            *([("takes", host, ""), ("GPUs", gpus, "")] if job.get("status") == "running" else []),
            *((name.removesuffix("_id").replace("base_", ""), self.names.get(name), "") for name in INPUTS),
            ("runner", cut(plain(job.get("runner") or ""), 17), ""),
            ("CML job", cut(plain(job.get("cml_job_id") or ""), 15), link(self.pages.get("job"))),
            ("MLflow", "its experiment" if "experiment" in self.pages else "", link(self.pages.get("experiment"))),
            ("adapter", words.short(job.get("adapter_id")), ""),
            ("id", words.short(job.get("id")), "dim"),
        ]

    def configs(self) -> list[str]:
        """What is trained on what, how, and the config snapshots."""
        from tui.view.describe import described

        inputs = {name.removesuffix("_id"): self.names.get(name) or self.job.get(name) for name in INPUTS}
        how = {name: self.job[name] for name in HOW if self.job.get(name) not in (None, False)}
        how |= {name: labels.choice(name, str(how[name])) for name in ("framework_type",) if name in how}
        names = ("training_arguments_config", "lora_config", "model_bnb_config", "adapter_bnb_config")
        away = {f"{name} in Cloudera ML": page for name, page in self.pages.items()}
        text = described(away | inputs | how | {name: self.job.get(name) for name in names})
        return text.splitlines() or ["nothing is known of its configs"]


def rows_of(job: Mapping[str, Any]) -> str:
    """How much of the dataset is used, and how much of that is held out."""
    used, trained = job.get("dataset_fraction") or 1.0, job.get("train_test_split") or 1.0
    held = f", {1 - trained:.0%} held out" if trained < 1 else ""
    return (f"{used:.0%}" if used < 1 else "all") + held if job else ""


def asked_for(job: Mapping[str, Any]) -> str:
    """What it asks of a runner, as far as that is known."""
    units = (("num_cpu", "CPU"), ("num_gpu", "GPU"), ("num_memory", "GiB"))
    return " ".join(f"{job[name]} {unit}" for name, unit in units if job.get(name) is not None)


def epochs_of_a_step(job: Mapping[str, Any]) -> float | None:
    """How much of an epoch a step is; None when the job does not tell, or has its steps counted otherwise."""
    epochs, steps = job.get("num_epochs"), job.get("total_steps")
    limited = '"max_steps": ' in (job.get("training_arguments_config") or "").replace('"max_steps": -1', "")
    return epochs / steps if epochs and steps and not limited else None
