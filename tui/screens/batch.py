"""An evaluation batch: its combinations against the baseline, and the rows with answers side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from core.text import plain
from tui.pump import StudioChanged
from tui.screens.jobkeys import JobKeysScreen
from tui.screens.listing import UNFINISHED
from tui.view import results, scores, words
from tui.widgets.banner import Banner
from tui.widgets.prompt import PromptLine
from tui.widgets.table import StudioTable

ROWS_HAVE = {"perplexity": "loss"}  # figures of all rows together -> what a row has of it
LOG = 1000  # lines of the log's end that are shown
PAGE = 200  # rows that are asked for at once
Found = tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any] | None]


class BatchScreen(JobKeysScreen):
    """Follows one batch. Its rows are asked for again when something was scored, or when others are wanted."""

    CSS_PATH = "../styles/results.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "metric(1)", "next metric", show=False),
        Binding("M", "metric(-1)", "metric before", show=False),
        Binding("o", "order", "order", show=False),
        Binding("f", "differing", "differing", show=False),
        Binding("slash", "filter", "filter", show=False, priority=True),
        Binding("right_square_bracket", "more", "more rows", show=False),
        Binding("x", "export", "export", show=False),
        Binding("i", "about", "about", show=False),
        Binding("l", "log", "log", show=False),
    ]
    keys_shown = "enter row  o order  f differ  / find  m metric  x file  i info  l log  ? help"

    def __init__(self, parent: str) -> None:
        super().__init__()
        self.parent_job = parent
        self.jobs: list[dict[str, Any]] = []
        self.told: dict[str, Any] = {"results": [], "metrics": [], "notes": [], "files": []}
        self.rows: list[dict[str, Any]] = []
        self.total, self.more, self.ordered = 0, False, ""
        self.metric, self.order, self.wanted, self.differing = "", "row", "", False
        self.wish: tuple[Any, ...] = ()  # what the rows that are shown were asked for with

    def compose(self) -> ComposeResult:
        """The table on top, the rows below; a line above each says what it shows."""
        yield Banner(f"Evaluation {words.short(self.parent_job)}")
        yield Static("", id="metric", classes="told", markup=False)
        yield StudioTable(["combination"], id="scores")
        yield Static("", id="trouble", markup=False)
        yield Static("", id="order", classes="told", markup=False)
        yield StudioTable(["row"], id="answers", name_column=0)
        yield Static("", id="empty", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask; again every second while it runs."""
        self.focus_first()
        self.call_after_refresh(self.again)
        self.set_interval(1, self._live)

    def focus_first(self) -> None:
        """The rows, once there are some."""
        self.query_one("#answers" if self.rows else "#scores", StudioTable).focus()

    def _live(self) -> None:
        if any(job["status"] in UNFINISHED for job in self.jobs):
            self.again()

    # ─── what is asked for ────────────────────────────────────────────────────────────────────────

    def fetch(self) -> Found:
        """The jobs with their progress, the table, and the rows when others may have come."""
        studio = self.dashboard.studio
        jobs, _ = studio.rows("ListEvaluationJobs", "evaluation_jobs", parent_job_id=self.parent_job, limit=1000)
        told = self._value("GetEvaluationResults", {"parent_job_id": self.parent_job})
        scored = tuple(each["id"] for each in told["results"] if each["status"] == "succeeded")
        wish = (scored, self.order, self.metric if self.order != "row" else "", self.wanted, self.differing)
        if wish == self.wish or not scored:
            return jobs, told, None
        page = self._rows(0)
        self.wish = wish
        return jobs, told, page

    def _value(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        return dict(self.dashboard.studio.ask(name, fields, timeout=30).value.model_dump(mode="json"))

    def _rows(self, after: int) -> dict[str, Any]:
        """A page of rows; a metric that rows have no score of orders by the usual one."""
        fields = {"parent_job_id": self.parent_job, "limit": PAGE, "after": after, "order": self.order}
        fields |= {"differing": self.differing, "contains": self.wanted or None}
        by = ROWS_HAVE.get(self.metric, self.metric)
        if self.order != "row" and self.rows and by in _scores_of(self.rows[0]):
            fields["metric"] = by
        return self._value("GetEvaluationAnswers", fields)

    def got(self, found: Found) -> None:
        """Take in what came, and draw."""
        self.jobs, self.told, page = found
        if self.metric not in self.told["metrics"]:
            self.metric = next(iter(self.told["metrics"]), "")
        if page is not None:
            first = not self.rows
            self._take([], page)
            if first and self.rows:
                self.focus_first()
        self.draw()
        self._pages()

    def _take(self, before: list[dict[str, Any]], page: dict[str, Any]) -> None:
        self.rows, self.total, self.more = [*before, *page["rows"]], page["total"], page["has_more"]
        self.ordered = page["metric"] or ""

    def _and_more(self, before: list[dict[str, Any]], page: dict[str, Any]) -> None:
        if self.rows is before:
            self._take(before, page)
            self.draw()

    # ─── drawing ──────────────────────────────────────────────────────────────────────────────────

    def on_resize(self) -> None:
        """Another width has room for other columns."""
        self.draw()

    def draw(self) -> None:
        """Both tables and the lines above them."""
        found, table = self.told["results"], self.query_one("#scores", StudioTable)
        table.show_as(*results.table(found, self.told["metrics"], self.metric, self.room - 1))
        self._draw_rows()
        self.banner.name_it(f"Evaluation {words.short(self.parent_job)} on {self.told.get('dataset') or 'a dataset'}")
        self.banner.tell(self._progress())
        line = scores.heading(self.metric, found) if self.metric else "nothing is scored yet"
        notes = len(self.told["notes"])
        self._say("metric", line + (f"   ▲ {notes} note{'s' if notes > 1 else ''}: i" if notes else ""))
        names = scores.short_names(found)
        trouble = [
            f"✗ {plain(names[each['id']], limit=60)}: {plain(each['error'], limit=400)}"
            for each in found
            if each.get("error")
        ]
        self._say("trouble", "\n".join(trouble))
        self.query_one("#trouble").display = bool(trouble)

    def _draw_rows(self) -> None:
        chosen = results.compared(self.told["results"], self.query_one("#scores", StudioTable).cursor_key)
        table = self.query_one("#answers", StudioTable)
        table.show_as(*results.rows(self.rows, self.told["results"], chosen, self.ordered or None))
        filters = [f"/{self.wanted}" if self.wanted else "", "only where they differ" if self.differing else ""]
        count = f"{len(self.rows)} of {self.total} rows" + ("   ] more" if self.more else "")
        order = results.ORDERS[self.order] + (f" ({scores.named(self.ordered)})" if self.ordered else "")
        self._say("order", "   ".join(filter(None, (count, order, *filters))))
        table.display = bool(self.rows)
        empty = self.query_one("#empty", Static)
        empty.display = not self.rows
        empty.update(Content(self._why_empty()))

    def _why_empty(self) -> str:
        if self.wanted or self.differing:
            return "No row is like that.\n\nesc shows all of them."
        if any(job["status"] in UNFINISHED for job in self.jobs):
            return "No answers yet.\n\nThey come as soon as the first combination is scored."
        return "There are no answers.\n\nl shows the log; t tries again."

    def _progress(self) -> str:
        running = next((job for job in self.jobs if job.get("total_steps") and job["status"] == "running"), None)
        if running is None:
            return words.state(str(self.told["status"])) if "status" in self.told else ""
        return f"{words.bar(words.share(running), 20)} {running['step']}/{running['total_steps']} rows"

    def _say(self, line: str, text: str) -> None:
        self.query_one(f"#{line}", Static).update(Content(plain(text, limit=4_000, lines=True)))

    def studio_changed(self, message: StudioChanged) -> None:
        """A combination began or ended."""
        if self.there and message.tables & {"jobs", "evaluation_jobs"}:
            self.again()

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def on_data_table_row_highlighted(self, event: StudioTable.RowHighlighted) -> None:
        """Another combination's answers stand beside the baseline's."""
        if event.data_table.id == "scores" and self.rows:
            self._draw_rows()

    def on_data_table_row_selected(self, event: StudioTable.RowSelected) -> None:
        """Enter: one row with every answer, or what there is to know of a combination."""
        from tui.screens.answer import AnswerScreen

        key = self.query_one("#answers", StudioTable).cursor_key
        at = next((at for at, row in enumerate(self.rows) if str(row["row"]) == key), None)
        if event.data_table.id == "scores":
            self.action_about()
        elif at is not None:
            self.dashboard.push_screen(AnswerScreen(self.rows, at, self.told["results"]))

    def action_metric(self, step: int) -> None:
        """m and M: the table by another metric."""
        metrics = self.told["metrics"]
        if metrics:
            self.metric = metrics[(metrics.index(self.metric) + step) % len(metrics)]
            self.draw()
            if self.order != "row":
                self.again()

    def action_order(self) -> None:
        """o: the rows in another order."""
        orders = list(results.ORDERS)
        self.order = orders[(orders.index(self.order) + 1) % len(orders)]
        self.again()

    def action_differing(self) -> None:
        """f: only rows that not all got right or wrong alike."""
        self.differing = not self.differing
        self.again()

    def action_filter(self) -> None:
        """/: only rows that hold a text."""
        self.query_one(PromptLine).open("/", self.wanted, "text in prompts, expected texts and answers")

    def filtered(self, text: str) -> None:
        """The text is settled."""
        self.wanted = text
        self.again()

    def action_back(self) -> None:
        """Escape: first the filters go, then the screen."""
        if self.wanted or self.differing:
            self.wanted, self.differing = "", False
            self.again()
        else:
            super().action_back()

    def action_more(self) -> None:
        """]: the next page of rows."""
        if self.more:
            before = self.rows
            self.run_worker(
                lambda: self.in_app(self._and_more, before, self._rows(len(before))), thread=True, exit_on_error=False
            )

    def action_about(self) -> None:
        """i: what was done otherwise, where the results are, what the words mean."""
        text = results.about(self.told, self._pages())
        self.dashboard.show_text(f"Evaluation {words.short(self.parent_job)}", text)

    def _pages(self) -> list[str]:
        """Where the batch is to be seen in Cloudera ML, as far as that is known; what is not is asked for."""
        ids = [job.get("cml_job_id") for job in self.jobs]
        if not any(ids) and self.dashboard.bench_told is None:
            return []
        bench, experiment = self.dashboard.bench, self.told.get("mlflow_experiment")
        bench.want(ids, [experiment])
        names = scores.short_names(self.told["results"])
        lines = [
            f"{names.get(str(job['id']), job['id'])}: job {id}  {bench.job(id)}".rstrip()
            for job, id in zip(self.jobs, ids, strict=True)
            if id
        ]
        page = bench.experiment(experiment)
        return [*lines, *([f"the experiment  {page}"] if page else [])]

    def action_log(self) -> None:
        """l: what the batch's process said."""
        self.dashboard.ask("GetJobLog", {"id": self.parent_job, "limit": LOG}, self._log)

    def _log(self, answer: Any) -> None:
        lines = [f"{words.clock(line.at)} {plain(line.text, lines=True)}" for line in answer.value.lines]
        title = f"Log of evaluation {words.short(self.parent_job)}"
        self.dashboard.show_text(title, "\n".join(lines) or "it has said nothing yet")

    def action_export(self) -> None:
        """x: ask for the name of a file."""
        name = f"evaluation-{words.short(self.parent_job)}.csv"
        self.query_one(PromptLine).open(">", name, "a file that ends in .csv or .json")

    def entered(self, text: str) -> None:
        """The file's name is settled."""
        path = Path(text).expanduser()
        if path.exists():
            self.dashboard.confirm(f"Replace {path}?", lambda: self._export(path))
        else:
            self._export(path)

    def _export(self, path: Path) -> None:
        self.run_worker(lambda: self._write(path), thread=True, exit_on_error=False)

    def _write(self, path: Path) -> None:
        from tui.exported import SUFFIXES, export

        try:
            if path.suffix.lower() not in SUFFIXES:
                raise ValueError(f"{path} ends neither in .csv nor in .json")
            rows, combinations = export(self._value, self.parent_job, path)
        except (OSError, ValueError) as error:
            self.in_app(self.dashboard.complain, error)
        else:
            self.in_app(self.dashboard.say, f"{rows} rows of {combinations} combinations are in {path.absolute()}")

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


def _scores_of(row: dict[str, Any]) -> set[str]:
    return {name for each in row["scores"].values() for name in each}
