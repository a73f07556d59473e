"""An evaluation batch: each combination's scores, and the rows with all answers side by side."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from core.text import plain
from tui.pump import StudioChanged
from tui.screens.jobkeys import JobKeysScreen
from tui.screens.listing import UNFINISHED
from tui.view import words
from tui.view.kinds import Cell
from tui.widgets.banner import Banner
from tui.widgets.table import StudioTable

SCORES = ("exact_match", "stopped_by_eos", "new_tokens", "tokens_per_second")
ANSWERS = 500


class BatchScreen(JobKeysScreen):
    """Follows one batch."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "differing", "differing", show=False),
    ]
    keys_shown = "enter row  f only differing rows  p pause  c cancel  t try again  ? help"

    def __init__(self, parent: str) -> None:
        super().__init__()
        self.parent_job = parent
        self.jobs: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.names: dict[str, str] = {}
        self.differing = False

    def compose(self) -> ComposeResult:
        """Scores on top, answers below."""
        yield Banner(f"Evaluation {words.short(self.parent_job)}")
        yield StudioTable(["", "combination", "status", *(name.replace("_", " ") for name in SCORES)], id="scores")
        yield StudioTable(["row", "prompt", "expected", "base or first", "second", "right"], id="answers")
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask; again every second while it runs."""
        self.focus_first()
        self.call_after_refresh(self.again)
        self.set_interval(1, self._live)

    def focus_first(self) -> None:
        """The answers."""
        self.query_one("#answers", StudioTable).focus()

    def _live(self) -> None:
        if any(job["status"] in UNFINISHED for job in self.jobs):
            self.again()

    def fetch(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]:
        """The combinations, the answers, and the adapters' names by id."""
        studio = self.dashboard.studio
        jobs, _ = studio.rows("ListEvaluationJobs", "evaluation_jobs", parent_job_id=self.parent_job)
        fields = {"parent_job_id": self.parent_job, "limit": ANSWERS, "differing": self.differing}
        answers = studio.ask("GetEvaluationAnswers", fields, timeout=10).value.model_dump(mode="json")["rows"]
        adapters, _ = studio.rows("ListAdapters", "adapters", limit=1000)
        return jobs, answers, {row["id"]: row["name"] for row in adapters}

    def got(self, found: tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]) -> None:
        """Scores on top, answers below."""
        self.jobs, self.answers, self.names = jobs, answers, _ = found
        running = next((job for job in jobs if job.get("total_steps") and job["status"] == "running"), None)
        self.banner.tell(
            f"{words.bar(words.share(running), 20)} {running['step']}/{running['total_steps']} rows"
            if running
            else f"{len(answers)} rows" + (" that differ" if self.differing else "")
        )
        self.query_one("#scores", StudioTable).show([(job["id"], self._score(job)) for job in jobs])
        self.query_one("#answers", StudioTable).show([(str(row["row"]), self._answer(row)) for row in answers])

    def _score(self, job: dict[str, Any]) -> list[Cell]:
        name = self.names.get(job.get("adapter_id") or "", job.get("adapter_id")) or "base model"
        status = str(job["status"])
        scores = [(words.number(job["scores"].get(each)) if job["scores"] else "", "bold") for each in SCORES]
        return [
            (str(job.get("run_number") or ""), "dim"),
            (plain(name, limit=30), ""),
            (words.state(status), words.style(status)),
            *scores,
        ]

    def _answer(self, row: dict[str, Any]) -> list[Cell]:
        order = [job["id"] for job in self.jobs]
        said = [
            (
                plain(row["answers"].get(id, "").replace("\n", " "), limit=22),
                "right" if row["correct"].get(id) else "wrong",
            )
            for id in order[:2]
        ]
        said += [("", "")] * (2 - len(said))
        marks = " ".join("✓" if row["correct"].get(id) else "✗" for id in order if id in row["answers"])
        return [
            (str(row["row"]), "dim"),
            (plain(row["prompt"].replace("\n", " "), limit=60), ""),
            (plain(row["expected"], limit=22), ""),
            *said,
            (marks, ""),
        ]

    def studio_changed(self, message: StudioChanged) -> None:
        """A combination began or ended."""
        if self.is_mounted and message.tables & {"jobs", "evaluation_jobs"}:
            self.again()

    def on_data_table_row_selected(self, event: StudioTable.RowSelected) -> None:
        """Enter: one row, whole."""
        key = self.query_one("#answers", StudioTable).cursor_key
        row = next((each for each in self.answers if str(each["row"]) == key), None)
        if row is None:
            return
        parts = [("prompt", row["prompt"]), ("expected", row["expected"])]
        for job in self.jobs:
            name = self.names.get(job.get("adapter_id") or "") or "base model"
            mark = "✓" if row["correct"].get(job["id"]) else "✗"
            parts.append((f"{mark} {name}", row["answers"].get(job["id"], "no answer yet")))
        self.dashboard.show_text(
            f"Row {row['row']}",
            "\n\n".join(f"── {plain(name)}\n{plain(text, limit=20_000, lines=True)}" for name, text in parts),
        )

    def action_differing(self) -> None:
        """f: only rows on which the combinations differ."""
        self.differing = not self.differing
        self.again()

    @property
    def job_row(self) -> dict[str, Any] | None:
        """The batch, as its first combination tells it; an unfinished one before those that are over."""
        if not self.jobs:
            return None
        told = next((job for job in self.jobs if job["status"] in {*UNFINISHED, "paused"}), self.jobs[0])
        return {
            "id": self.parent_job,
            "name": "this evaluation",
            "status": told["status"],
            "priority": told["priority"],
        }
