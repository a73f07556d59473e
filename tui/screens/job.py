"""A fine-tuning job, live: progress, curves, numbers, and below them its log, events, configs, or why it failed."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from core.text import plain
from core.types import JobStatus
from tui.pump import JobRecords, StudioChanged
from tui.screens.jobasking import JobAskingScreen
from tui.screens.joblogs import PAGE, LogReader
from tui.theme import painted
from tui.view import jobpanes, words
from tui.view.jobview import JobView
from tui.widgets.banner import Banner
from tui.widgets.charts import Charts
from tui.widgets.facts import Facts
from tui.widgets.lines import Lines
from tui.widgets.prompt import PromptLine
from tui.widgets.tabs import Tabs

PANES = {
    "failure": "f failure",
    "log": "l log",
    "found": "/ found",
    "events": "e events",
    "configs": "o configs",
    "diff": "D diff",
    "numbers": "u numbers",
    "printed": "P printed",
}
KEYS = {  # what one does with a job in a state
    "failed": "t again  C clone",
    "cancelled": "t again  C clone",
    "succeeded": "a ask it  v evaluate  C clone",
    "paused": "p resume  c cancel",
    "pausing": "p resume  c cancel",
}
SHORT = 30  # lines of a terminal below which why a job failed gets most of the room
NO_LOG = "the log begins when a runner has the job"
NEVER = "no runner had it: there is no log"
LAYOUTS = ("", "-curves", "-pane")
SMALL = frozenset({"CheckpointSaved", "ResourceChanged", "JobMemoryReduced"})  # what changes neither numbers nor log
OTHERS = 5  # seconds between looks at other jobs' curves
PANE = Binding.Group("Panes")
LOG = Binding.Group("Log")


class JobScreen(JobAskingScreen):
    """Follows one job."""

    CSS_PATH = "../styles/job.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "pane('log')", "log", show=False, group=PANE),
        Binding("e", "pane('events')", "events", show=False, group=PANE),
        Binding("o", "pane('configs')", "configs", show=False, group=PANE),
        Binding("u", "pane('numbers')", "all numbers", show=False, group=PANE),
        Binding("f", "pane('failure')", "why it failed, what to do", show=False, group=PANE),
        Binding("P", "pane('printed')", "what its processes printed", show=False, group=PANE),
        Binding("tab", "next_pane(1)", "next pane", show=False, group=PANE),
        Binding("shift+tab", "next_pane(-1)", "pane before", show=False, group=PANE),
        Binding("w", "layout", "curves, pane, or both", show=False, group=PANE),
        Binding("slash", "filter", "search the whole log", show=False, priority=True, group=LOG),
        Binding("n", "found(1)", "next line found, where it stands", show=False, group=LOG),
        Binding("N", "found(-1)", "line found before", show=False, group=LOG),
        Binding("F", "follow", "follow the newest lines", show=False, group=LOG),
    ]
    keys_shown = "l log  / search  m curve  z zoom  ? help"

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.reader = LogReader(self)
        self.pane = "log"
        self.happened: list[dict[str, Any]] = []
        self.printed: list[str] = []
        self.stop = threading.Event()
        self.following = False
        self.keys_told = ""
        self.seconds = 0

    def compose(self) -> ComposeResult:
        """Head, curves and numbers, panes."""
        yield Banner(f"Job {words.short(self.job_id)}")
        yield Static("", id="head", markup=False)
        with Horizontal(id="upper"):
            yield Charts()
            yield Facts(fixed=True)
        with Vertical(id="lower"):
            yield Tabs()
            yield Lines()
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask, then follow."""
        self.lines.show([], end=True)
        self.focus_first()
        self.call_after_refresh(self.again)
        self.set_interval(1, self._second)

    def on_unmount(self) -> None:
        """Stop following, and let go of what is large: the screen itself goes when the collector comes by, which may be late."""
        self.stop.set()
        self.view = JobView()

    def on_resize(self) -> None:
        """What is fitted to the width is fitted again."""
        self.set_class(self.size.height < SHORT, "-short")
        self._head()
        self.call_after_refresh(self.fill)

    @property
    def lines(self) -> Lines:
        """The open pane."""
        return self.query_one(Lines)

    def focus_first(self) -> None:
        """The pane scrolls."""
        self.lines.focus()

    # ─── asking ───────────────────────────────────────────────────────────────────────────────────

    def again(self) -> None:
        """All of it."""
        self.whole = True
        super().again()

    def got(self, found: dict[str, Any]) -> None:
        """What was asked for; the records that follow are folded in."""
        first, failed = not self.view.job, bool(self.view.job.get("error"))
        self.view.take_job(found["job"])
        self.happened = found["events"]
        self.link()
        if found["whole"]:
            self.whole = self.again_soon
            self.view.names = found["names"]
            self.view.take_metrics(found["metrics"])
            self.reader.renew()
        self.charts.show(self.view.run)
        self.banner.name_it(f"Job {self.view.job.get('adapter_name') or words.short(self.job_id)}")
        self.set_class(bool(self.view.job.get("error")), "-failed")
        if self.view.job.get("error") and not failed:
            self.open("failure")  # that is what one wants to know now
        elif self.pane == "failure" and not self.view.job.get("error"):
            self.open("log")
        else:
            self.fill(anew=first)
        self._draw()
        if not self.following:
            self.following = True
            self.dashboard.studio.watch_job(self.job_id, found["metrics"]["records_id"], self.stop)

    def linked(self) -> None:
        """Its pages are known."""
        self._draw()
        self.fill()

    # ─── following ────────────────────────────────────────────────────────────────────────────────

    def job_records(self, message: JobRecords) -> None:
        """New records of the job: draw what changed; when some are missing, ask."""
        if message.job_id != self.job_id or not self.there or not self.view.job:
            return
        new: list[str] = []
        for entry in message.entries:
            whole, lines = self.view.take_entry(entry)
            new += lines
            if not whole:
                self.again()
                break
        if not self.is_active:  # nobody sees it
            self.stale = True
            return
        self.charts.soon(self.view.run)
        self._draw()
        if self.pane == "log":
            self.lines.soon(new)
        elif self.pane == "numbers":
            self.fill()

    def studio_changed(self, message: StudioChanged) -> None:
        """Something happened to the job: its state is asked for again, and the rest when that may have changed too."""
        own = [event for event in message.events if event.get("resource_id") == self.job_id]
        if own and self.there:
            self.whole = self.whole or any(event.get("type") not in SMALL for event in own)
            super().again()

    # ─── drawing ──────────────────────────────────────────────────────────────────────────────────

    def _draw(self) -> None:
        self._head()
        keys = KEYS.get(str(self.view.job.get("status")), "p pause  c cancel  s save")
        if keys != self.keys_told:
            self.keys_told = keys
            self.query_one("#keys", Static).update(Content(plain(f"{keys}  {self.keys_shown}")), layout=False)
        self.query_one(Facts).show([*self.charts.legend(), *self.view.facts()], limit=60)

    def _second(self) -> None:
        """One clock for both: a slow one of its own would keep the screen for its whole beat when it is closed."""
        self._head()
        self.seconds += 1
        if self.seconds % OTHERS == 0:
            self.refresh_others()

    def _head(self) -> None:
        if self.view.job and self.is_active:
            made = Text(no_wrap=True)
            for index, (line, style) in enumerate(self.view.head(self.room - 2)):
                made.append_text(painted(("\n" if index else "") + line, style, dark=self.app.current_theme.dark))
            self.query_one("#head", Static).update(made, layout=False)

    def tell_panes(self) -> None:
        """The line of panes."""
        hidden = {"failure"} if not self.view.job.get("error") else set()
        hidden |= {"found"} if not self.reader.search.text else set()
        hidden |= {"diff"} if self.other is None else set()
        note = self.reader.search.told if self.pane in ("log", "found") else ""
        if not note and self.pane == "log":
            note = "" if self.lines.following else "F follows"
        self.query_one(Tabs).show([each for each in PANES.items() if each[0] not in hidden], self.pane, note)

    def texts(self) -> list[str]:
        """What the open pane shows."""
        if self.pane == "log":
            return self.view.log.texts or [self._no_log() if self.reader.read else "asking for the log …"]
        if self.pane == "found":
            return self.reader.search.lines
        if self.pane == "events":
            return jobpanes.events(self.happened)
        if self.pane == "numbers":
            return jobpanes.numbers(self.view)
        if self.pane == "printed":
            return self.printed or ["asking for what was printed …"]
        if self.pane == "diff" and self.other is not None:
            from tui.view import differing

            names = ("this job", plain(self.other.get("adapter_name") or "the other", limit=60))
            return differing.table(self.view.job, self.other, names, self.lines.size.width - 3)
        if self.pane == "failure":
            return jobpanes.failure(self.view, self.happened, self.lines.size.width - 3)
        return self.view.configs()

    def _no_log(self) -> str:
        """Why there is none; of a job that is over nothing more is to come."""
        status = self.view.job.get("status")
        return NEVER if status and JobStatus(status).finished else NO_LOG

    def open(self, name: str) -> None:
        """Show a pane: what grows at its end, the rest at its beginning. One that is open stays as it is."""
        if self.has_class("-curves"):
            self.set_class(False, "-curves")
        if name != self.pane:
            self.pane = name
            self.fill(anew=True)
        self.tell_panes()

    def fill(self, *, anew: bool = False) -> None:
        """Bring the open pane up to date; `anew` it is read from where one begins with it."""
        if anew:
            self.lines.search(self.reader.search.text if self.pane in ("log", "found", "printed") else "")
            self.lines.show(self.texts(), end=self.pane in ("log", "events", "printed"))
        else:
            self.lines.change(self.texts())
        self.tell_panes()

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def action_pane(self, name: str) -> None:
        """l, e, o, u, f, P: what the lower pane shows."""
        if name == "printed":
            self.ask("GetJobLog", {"id": self.job_id, "printed": True, "limit": PAGE}, self._printed)
        self.open(name)

    def _printed(self, answer: Any) -> None:
        lines = answer.value.model_dump(mode="json")["lines"]
        self.printed = [part for line in lines for part in plain(line["text"], limit=20_000, lines=True).splitlines()]
        self.printed = self.printed or ["its processes have printed nothing"]
        if self.pane == "printed":
            self.fill(anew=True)

    def copies(self) -> list[tuple[str, str]]:
        """What one reads, then the job."""
        return [("what the pane shows", "\n".join(self.lines.lines)), *super().copies()]

    def on_tabs_chosen(self, message: Tabs.Chosen) -> None:
        """A click on a pane's name."""
        self.action_pane(message.name)

    def action_next_pane(self, step: int) -> None:
        """tab: the pane beside this one."""
        there = [name for name, _ in self.query_one(Tabs).tabs]
        if there:
            self.action_pane(there[(there.index(self.pane) + step) % len(there)] if self.pane in there else there[0])

    def action_layout(self) -> None:
        """w: curves alone, the pane alone, both."""
        here = next((each for each in LAYOUTS[1:] if self.has_class(each)), "")
        self.remove_class(*LAYOUTS[1:])
        self.set_class(True, LAYOUTS[(LAYOUTS.index(here) + 1) % len(LAYOUTS)] or "-both")
        self.call_after_refresh(self.fill)

    def placed(self) -> None:
        """Other jobs stand beside, or no longer."""
        self._draw()

    def curves_wanted(self) -> None:
        """The curves come back when the pane has all the room."""
        self.remove_class("-pane")

    def action_back(self) -> None:
        """Escape: first the search goes, then the cursor, then the screen."""
        if self.reader.search.text:
            self.filtered("")
        elif not self.charts.away():
            super().action_back()

    def compared(self) -> None:
        """D: show how the configs differ."""
        self.pane = "diff"
        self.fill(anew=True)

    # ─── the log ──────────────────────────────────────────────────────────────────────────────────

    def on_lines_edge(self, message: Lines.Edge) -> None:
        """The log goes on beyond what is there."""
        if self.pane == "log":
            self.reader.edge(top=message.top)
            self.tell_panes()

    def action_follow(self) -> None:
        """F."""
        self.reader.follow()
        self.tell_panes()

    def action_filter(self) -> None:
        """/: search the whole log, not only what is shown of it."""
        self.query_one(PromptLine).open("/", self.reader.search.text, "a text that lines of the log must hold")

    def filtered(self, text: str) -> None:
        """What is searched for is settled; escape takes it away."""
        self.reader.find(text)
        if text:
            self.pane = "found"
            self.fill(anew=True)
        elif self.pane == "found":
            self.open("log")
        else:
            self.lines.search("")
            self.tell_panes()

    def found(self) -> None:
        """The search is over."""
        if self.pane == "found":
            self.fill(anew=True)
        self.tell_panes()

    def action_found(self, step: int) -> None:
        """n, N."""
        self.reader.step(step)
