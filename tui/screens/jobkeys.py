"""The keys of whatever shows jobs: cancel, pause or resume, try again, save now, clone, go before others."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from core.text import plain
from tui.screens.base import StudioScreen
from tui.view.cells import Row

STEP = 10  # of priority, a press
LOWEST, HIGHEST = -100, 100


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
        Binding("plus", f"priority({STEP})", "earlier", show=False),
        Binding("minus", f"priority({-STEP})", "later", show=False),
    ]

    @property
    def job_row(self) -> Row | None:
        """The job that the keys are for; None when there is none."""
        raise NotImplementedError

    def _request(self, message: str, row: Row, question: str = "", **fields: Any) -> None:
        made = {"id": str(row["id"]), **fields}
        self.dashboard.act(message, [made], question=question, done=lambda outcomes: self.again())

    def action_cancel(self) -> None:
        """c: ask for the job's end."""
        if (row := self.job_row) is not None:
            self._request("CancelJob", row, f"Cancel {_name(row)}?")

    def action_pause(self) -> None:
        """p: pause, or let a paused job go on."""
        if (row := self.job_row) is not None:
            self._request("ResumeJob" if row.get("status") in ("paused", "pausing") else "PauseJob", row)

    def action_retry(self, from_checkpoint: bool) -> None:
        """t, T: run an ended job again; what it has come to is given up only when that is confirmed."""
        row = self.job_row
        if row is None:
            return
        if from_checkpoint:
            self._request("RetryJob", row)
            return
        question = (
            f"Run {_name(row)} again from the beginning? Its curve begins anew, and its checkpoints are not used."
        )
        self._request("RetryJob", row, question, from_checkpoint=False)

    def action_save(self) -> None:
        """s: a checkpoint now."""
        if (row := self.job_row) is not None:
            self._request("CheckpointJob", row)

    def action_priority(self, step: int) -> None:
        """+, -: go before others, or behind."""
        if (row := self.job_row) is not None:
            priority = max(LOWEST, min(HIGHEST, int(row.get("priority") or 0) + step))
            self._request("SetJobPriority", row, priority=priority)

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


def _name(row: Row) -> str:
    return plain(row.get("adapter_name") or row.get("name") or row["id"], limit=100)
