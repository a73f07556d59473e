"""A fine-tuning job, live: progress, curve, numbers, and its log, events or configs below."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Log, Static

from core.text import plain
from tui.pump import JobRecords, StudioChanged
from tui.screens.jobkeys import JobKeysScreen
from tui.theme import painted
from tui.view import words
from tui.view.jobview import JobView
from tui.widgets.banner import Banner
from tui.widgets.curve import Curve
from tui.widgets.facts import Facts
from tui.widgets.prompt import PromptLine

PANES = {"log": "l log", "events": "e events", "configs": "o configs", "failure": "f failure", "found": "/ found"}
PRINTED = "── printed by its processes and their libraries"
MATCHES = 1000  # lines of a search that are shown
TALL = 28  # lines of a terminal from which the last lines of a failed job's log stand with the failure


class JobScreen(JobKeysScreen):
    """Follows one job."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "pane('log')", "log", show=False),
        Binding("e", "pane('events')", "events", show=False),
        Binding("o", "pane('configs')", "configs", show=False),
        Binding("L", "log_axis", "log axis", show=False),
        Binding("slash", "filter", "search the log", show=False, priority=True),
        Binding("m", "metric(1)", "next curve", show=False),
        Binding("M", "metric(-1)", "curve before", show=False),
        Binding("f", "pane('failure')", "failure", show=False),
        Binding("d", "describe", "describe", show=False),
        Binding("y", "yaml", "yaml", show=False),
        Binding("j", "scroll(1)", "down", show=False),
        Binding("k", "scroll(-1)", "up", show=False),
        Binding("g", "top", "top", show=False),
        Binding("G", "end", "end", show=False),
    ]
    keys_shown = "l log  / search  e events  p pause  c cancel  t try again  m curve  ? help"

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id
        self.view = JobView()
        self.pane = "log"
        self.searched = ""
        self.found: list[str] = []
        self.happened: list[dict[str, Any]] = []
        self.stop = threading.Event()
        self.following = False
        self.written: list[str] = []

    def compose(self) -> ComposeResult:
        """Head, trouble, curve and numbers, pane."""
        yield Banner(f"Job {words.short(self.job_id)}")
        yield Static("", id="head", markup=False)
        yield Static("", id="trouble", markup=False)
        with Horizontal(id="middle"):
            yield Curve(id="curve")
            yield Facts(id="numbers")
        yield Static("", id="pane-title", markup=False)
        yield Log(id="pane", max_lines=2_000, highlight=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask, then follow."""
        self._title()
        self.focus_first()
        self.call_after_refresh(self.again)
        self.set_interval(1, self._head)

    def on_unmount(self) -> None:
        """Stop following."""
        self.stop.set()

    def focus_first(self) -> None:
        """The pane scrolls."""
        self.query_one("#pane", Log).focus()

    # ─── asking ───────────────────────────────────────────────────────────────────────────────────

    def fetch(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
        """The numbers, the job, its log and its events. The numbers first: what comes later is newer, never older."""
        studio = self.dashboard.studio
        metrics = self._value("GetJobMetrics")
        job = self._value("GetFineTuningJob")["fine_tuning_job"]
        log = self._value("GetJobLog", limit=500)
        events, _ = studio.rows("ListEvents", "events", resource_id=self.job_id, last=True, limit=500)
        return metrics, job, log, events

    def _value(self, name: str, **fields: Any) -> dict[str, Any]:
        answer = self.dashboard.studio.ask(name, {"id": self.job_id, **fields}, timeout=10)
        return answer.value.model_dump(mode="json")  # type: ignore[no-any-return]

    def got(self, found: tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[dict[str, Any]]]) -> None:
        """All anew; the records that follow are folded in."""
        metrics, self.view.job, log, self.happened = found
        self.view.take_metrics(metrics)
        self.view.log = [
            f"{words.clock(line['at'])} {text}"
            for line in log["lines"]
            for text in plain(line["text"], limit=20_000, lines=True).splitlines()
        ]
        self.banner.name_it(f"Job {self.view.job.get('adapter_name') or words.short(self.job_id)}")
        self.query_one(Curve).draw_now(self.view.curves())
        self._title()
        self._draw()
        self._pane()
        if not self.following:
            self.following = True
            self.dashboard.studio.watch_job(self.job_id, metrics["records_id"], self.stop)

    # ─── following ────────────────────────────────────────────────────────────────────────────────

    def job_records(self, message: JobRecords) -> None:
        """New records of the job: draw what changed; when some are missing, ask."""
        if message.job_id != self.job_id or not self.is_mounted or not self.view.job:
            return
        new: list[str] = []
        for entry in message.entries:
            whole, lines = self.view.take_entry(entry)
            new += lines
            if not whole:
                self.again()
                return
        self.query_one(Curve).set(self.view.curves())
        self._draw()
        if self.pane == "log" and new:
            self._pane()

    def studio_changed(self, message: StudioChanged) -> None:
        """Something happened to the job: its state is asked for again."""
        if self.is_mounted and any(event.get("resource_id") == self.job_id for event in message.events):
            self.again()

    # ─── drawing ──────────────────────────────────────────────────────────────────────────────────

    def _draw(self) -> None:
        self._head()
        self.query_one("#numbers", Facts).show(self.view.facts(), limit=60)
        trouble = self.view.trouble(log=max(0, min(5, self.size.height - TALL)))
        box = self.query_one("#trouble", Static)
        box.display = bool(trouble)
        box.update(Content(plain(trouble, limit=20_000, lines=True)))

    def _head(self) -> None:
        if self.view.job:
            made = Text()
            for index, (line, style) in enumerate(self.view.head(self.room - 2)):
                made.append_text(painted(("\n" if index else "") + line, style, dark=self.app.current_theme.dark))
            self.query_one("#head", Static).update(made)

    def _title(self) -> None:
        hidden = {"failure"} if not self.view.job.get("error") else set()
        hidden |= {"found"} if not self.searched else set()
        there = {name: text for name, text in PANES.items() if name not in hidden}
        shown = "   ".join(f"[{text}]" if name == self.pane else f" {text} " for name, text in there.items())
        self.query_one("#pane-title", Static).update(Content(shown))

    def _lines(self) -> list[str]:
        if self.pane == "log":
            return self.view.log or ["the log begins when a runner has the job"]
        if self.pane == "configs":
            return self.view.configs().splitlines()
        if self.pane == "failure":
            return self.view.failure()
        if self.pane == "found":
            return self.found
        return [
            plain(f"{words.clock(event['at'])} {event['type']:<20} {event['message']}", limit=400)
            for event in self.happened
        ]

    def _pane(self) -> None:
        """Write what is new. Only another text is written whole, and then who had scrolled up stays there."""
        pane, lines = self.query_one("#pane", Log), self._lines()
        known = len(self.written)
        if known and lines[:known] == self.written:
            pane.write_lines([plain(line, limit=20_000) for line in lines[known:]])
        else:
            at_end, top = pane.is_vertical_scroll_end, pane.scroll_y
            pane.clear()
            pane.write_lines([plain(line, limit=20_000) for line in lines], scroll_end=False)
            if self.pane == "failure":
                pane.scroll_to(
                    y=top if known else 0, animate=False
                )  # read from its beginning; the others from their end
            elif at_end or not known:
                pane.scroll_end(animate=False, x_axis=False)
            else:
                pane.scroll_to(y=top, animate=False)
        self.written = lines[:]

    @property
    def job_row(self) -> dict[str, Any] | None:
        """The job, once it is known."""
        return self.view.job or None

    def names_taken(self) -> list[Any]:
        """Its own."""
        return [self.view.job.get("adapter_name")]

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def action_pane(self, name: str) -> None:
        """l, e, o, f: what the lower pane shows."""
        self.pane = name
        self.written = []
        self._title()
        self._pane()

    def action_scroll(self, lines: int) -> None:
        """j and k."""
        self.query_one("#pane", Log).scroll_relative(y=lines, animate=False)

    def action_top(self) -> None:
        """g: the beginning of the pane."""
        self.query_one("#pane", Log).scroll_home(animate=False)

    def action_end(self) -> None:
        """G: the end of the pane."""
        self.query_one("#pane", Log).scroll_end(animate=False)

    def action_log_axis(self) -> None:
        """L: a logarithmic axis."""
        self.query_one(Curve).toggle_log()

    def action_filter(self) -> None:
        """/: search the whole log, not only what is shown of it."""
        self.query_one(PromptLine).open("/", self.searched, "a text that lines of the log must hold")

    def filtered(self, text: str) -> None:
        """What is searched for is settled; escape takes it away."""
        self.searched, self.found = text, [f"searching for {plain(text, limit=200)} …"]
        if text or self.pane == "found":
            self.action_pane("found" if text else "log")
        else:
            self._title()
        if text:
            self.run_worker(lambda: self._search(text), thread=True, exit_on_error=False)

    def action_back(self) -> None:
        """Escape: first the search goes, then the screen."""
        if self.pane == "found":
            self.filtered("")
        else:
            super().action_back()

    def _search(self, text: str) -> None:
        try:
            lines, more = self._matches(text, printed=False)
            if not more:
                printed, more = self._matches(text, printed=True)
                lines += [PRINTED, *printed] if printed else []
            self.in_app(self._found, text, [*lines, *more] or [f"no line of the log holds {plain(text, limit=200)}"])
        except Exception as error:  # whatever it is, it is shown
            self.in_app(self._found, text, [plain(str(error), limit=400)])

    def _matches(self, text: str, *, printed: bool) -> tuple[list[str], list[str]]:
        """(lines of the log, or of what was printed, that hold the text; a line that says so when there are more)."""
        page: dict[str, Any] = {"has_more": True}
        place, lines, found = dict[str, Any](), list[str](), 0
        while page["has_more"] and found < MATCHES and text == self.searched:
            page = self._value("GetJobLog", contains=text, printed=printed, limit=MATCHES - found, **place)
            found, place = found + len(page["lines"]), {name: page[name] for name in ("attempt", "offset", "line")}
            lines += [
                f"{line['number']:>6} {words.clock(line['at'] or None)} {part}"
                for line in page["lines"]
                for part in plain(line["text"], limit=20_000, lines=True).splitlines()
            ]
        return lines, [f"… there are more than {MATCHES}: search for more"] if page["has_more"] else []

    def _found(self, text: str, lines: list[str]) -> None:
        if text == self.searched:
            self.found = lines
            if self.pane == "found":
                self._pane()

    def action_metric(self, step: int) -> None:
        """m and M: the curve of another metric."""
        self.view.choose(step)
        self.query_one(Curve).draw_now(self.view.curves())

    def action_describe(self) -> None:
        """d: everything about the job."""
        from tui.view.describe import described

        self.dashboard.show_text(f"Job {self.view.job.get('adapter_name')}", described(self.view.job))

    def action_yaml(self) -> None:
        """y: the job as YAML."""
        from tui.view.describe import as_yaml

        self.dashboard.show_text(f"Job {self.job_id}", as_yaml(self.view.job))
