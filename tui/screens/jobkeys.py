"""The keys of whatever shows jobs: cancel, pause or resume, try again, save now, clone, go before others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType

from core.text import plain
from tui.screens.base import StudioScreen
from tui.view.cells import Row

if TYPE_CHECKING:
    from tui.acting import Outcome

STEP = 10  # of priority, a press
LOWEST, HIGHEST = -100, 100
NAMED = 5  # of many that a question names


class JobKeysScreen(StudioScreen):
    """A screen with a job under its keys. `job_row` is that job, `job_id` what verbs call it by."""

    keys_of = "The job"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "cancel", "cancel", show=False),
        Binding("p", "pause", "pause or resume", show=False),
        Binding("t", "retry(True)", "try again", show=False),
        Binding("T", "retry(False)", "try again from the beginning", show=False),
        Binding("s", "save", "checkpoint now", show=False),
        Binding("C", "clone", "clone", show=False),
        Binding("v", "evaluate", "evaluate", show=False),
        Binding("a", "ask", "ask its adapter beside the base model", show=False),
        Binding("plus", f"priority({STEP})", "earlier", show=False),
        Binding("minus", f"priority({-STEP})", "later", show=False),
    ]

    @property
    def job_row(self) -> Row | None:
        """The job that the keys are for; None when there is none."""
        raise NotImplementedError

    @property
    def job_rows(self) -> list[Row]:
        """The jobs that the verbs are for."""
        return [] if (row := self.job_row) is None else [row]

    def _request(self, message: str, rows: Sequence[Row], verb: str, ask: bool = False, **fields: Any) -> None:
        """Send a verb for each of the jobs; of several it is asked whether that is meant. `fields` may be functions of a row."""
        many = [
            {"id": str(row["id"])} | {name: value(row) if callable(value) else value for name, value in fields.items()}
            for row in rows
        ]
        question = f"{verb.replace('{}', names_of(rows))}?" if ask or len(rows) > 1 else ""
        self.dashboard.act(message, many, question=question, done=self.acted)

    def acted(self, outcomes: list[Outcome]) -> None:
        """A verb was sent."""
        self.again()

    def action_cancel(self) -> None:
        """c: ask for the job's end."""
        self._request("CancelJob", self.job_rows, "Cancel {}", ask=True)

    def action_pause(self) -> None:
        """p: pause; when all are paused, let them go on."""
        rows = self.job_rows
        running = [row for row in rows if row.get("status") not in ("paused", "pausing")]
        if running:
            self._request("PauseJob", running, "Pause {}")
        else:
            self._request("ResumeJob", rows, "Let go on {}")

    def action_retry(self, from_checkpoint: bool) -> None:
        """t, T: run an ended job again; what it has come to is given up only when that is confirmed."""
        rows = self.job_rows
        if from_checkpoint:
            self._request("RetryJob", rows, "Try again {}")
            return
        question = "Run {} again from the beginning? The curve begins anew, and checkpoints are not used. Do it"
        self._request("RetryJob", rows, question, ask=True, from_checkpoint=False)

    def action_save(self) -> None:
        """s: a checkpoint now."""
        self._request("CheckpointJob", self.job_rows, "Save a checkpoint of {} now")

    def action_priority(self, step: int) -> None:
        """+, -: go before others, or behind."""

        def priority(row: Row) -> int:
            return max(LOWEST, min(HIGHEST, int(row.get("priority") or 0) + step))

        way = "before" if step > 0 else "behind"
        self._request("SetJobPriority", self.job_rows, f"Put {{}} {way} others", priority=priority)

    def action_clone(self) -> None:
        """C: the form of a job like this one."""
        from core.cloning import next_name, request_of

        if (row := self.job_row) is not None and "framework_type" in row:  # a fine-tuning
            name = next_name(str(row.get("adapter_name") or "job"), [str(each) for each in self.names_taken()])
            self.dashboard.show_form("StartFineTuningJob", {**request_of(row, adapters_dir()), "adapter_name": name})

    def action_evaluate(self) -> None:
        """v: the form that asks what the job trained, and its base, the same rows."""
        row = self.job_row
        if row is None or "framework_type" not in row:
            return
        base = row.get("base_model_id")
        if row.get("adapter_id"):
            pairs = f"{base}: {base}:{row['adapter_id']}"
        elif row.get("trained_model_id"):
            pairs = f"{base}: {row['trained_model_id']}:"
        else:
            self.dashboard.say("there is nothing to evaluate yet: this job has made no adapter")
            return
        names = ("dataset_id", "prompt_id", "num_cpu", "num_gpu", "num_memory")
        same = {name: row[name] for name in names if row.get(name) is not None}
        self.dashboard.show_form("StartEvaluationJob", {"model_adapter_combinations": pairs, **same})

    def action_ask(self) -> None:
        """a: the form of a session in which the adapter and its base answer side by side."""
        row = self.job_row
        if row is None or "framework_type" not in row:
            return
        if not row.get("adapter_id"):
            self.dashboard.say("there is nothing to ask yet: this job has made no adapter")
            return
        names = ("base_model_id", "dataset_id", "prompt_id", "num_gpu")
        same = {name: row[name] for name in names if row.get(name) is not None}
        self.dashboard.show_form("StartComparison", {**same, "adapter_ids": str(row["adapter_id"])})

    def copies(self) -> list[tuple[str, str]]:
        """The job's id, its name, all of it."""
        return row_copies(self.job_row)

    def names_taken(self) -> list[Any]:
        """Adapter names that are known to be in use."""
        return []


def row_copies(row: Row | None) -> list[tuple[str, str]]:
    """What Y copies of a row: its id, its name, all of it as JSON."""
    if row is None:
        return []
    name = row.get("name") or row.get("adapter_name")
    named = [(f"the name {plain(name, limit=40)}", str(name))] if name else []
    return [
        (f"the id {plain(row['id'], limit=40)}", str(row["id"])),
        *named,
        ("the row as JSON", json.dumps(row, indent=2, ensure_ascii=False)),
    ]


def adapters_dir() -> str:
    """Where this studio puts adapters by default."""
    from core.settings import settings

    return str(settings().adapters_root)


def name_of(row: Row) -> str:
    """What a row is called."""
    names = (row.get(each) for each in ("adapter_name", "name", "model_name", "description", "host"))
    return plain(next((each for each in names if each), row["id"]), limit=60)


def names_of(rows: Sequence[Row]) -> str:
    """Whom a question is about: one by its name, of several the first ones and how many there are."""
    first = ", ".join(name_of(row) for row in rows[:NAMED])
    if len(rows) == 1:
        return first
    more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
    return f"{len(rows):,}: {first}{more}"
