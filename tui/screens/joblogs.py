"""Reading a job's log: its end as it grows, back to its beginning, and from one line that holds a text to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.text import plain
from tui.screens.base import AGAIN
from tui.view import words
from tui.view.joblog import JobLog

if TYPE_CHECKING:
    from tui.screens.job import JobScreen
    from tui.widgets.lines import Lines

PAGE = 500  # lines that are asked for at once
MATCHES = 1_000  # lines of a search that are shown
AROUND = 100  # lines before and after one that is gone to
PRINTED = "── printed by its processes and their libraries"


@dataclass
class Search:
    """What is searched for, the lines that hold it, and at which of them one stands."""

    text: str = ""
    lines: list[str] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)  # attempt and offset of those of the log
    at: int | None = None
    over: bool = True

    @property
    def told(self) -> str:
        """Where one stands."""
        if not self.text or not self.over:
            return "searching …" if self.text else ""
        return f"{len(self.places)} found  n N" if self.at is None else f"{self.at + 1}/{len(self.places)}  n N"


class LogReader:
    """Asks for what of the log is read; `lines` is where it is shown, while it is."""

    def __init__(self, screen: JobScreen) -> None:
        self.screen = screen
        self.search = Search()
        self.busy = False
        self.read = False  # whether the studio told of the log by now

    @property
    def log(self) -> JobLog:
        """The stretch that is there."""
        return self.screen.view.log

    @property
    def shown(self) -> Lines | None:
        """The pane, while it shows the log."""
        return self.screen.lines if self.screen.pane == "log" else None

    # ─── paging ───────────────────────────────────────────────────────────────────────────────────

    def renew(self) -> None:
        """The newest lines, whoever asked for what before. They come by the slow queue: nothing else waits for them."""

        def came(answer: Any) -> None:
            if not self.screen.there:
                return
            self.log.renew(answer.value.model_dump(mode="json")["lines"], page=PAGE)
            self.read = True
            if self.shown is not None:
                self.screen.fill(anew=self.shown.following)

        def failed(error: Exception) -> None:
            if self.screen.there:
                self.screen.set_timer(AGAIN, self.renew)

        self.screen.dashboard.ask("GetJobLog", {"id": self.screen.job_id, "limit": PAGE}, came, failed)

    def edge(self, *, top: bool) -> None:
        """One came to an end of what is there."""
        if not self.log.said or (self.log.at_start if top else self.log.at_end):
            return
        end = self.log.said[0 if top else -1]
        asked = {"attempt": end.attempt, "offset": end.offset, "limit": PAGE}
        self._ask(self._earlier if top else self._later, before=True, **asked) if top else self._ask(
            self._later, **asked
        )

    def _earlier(self, page: dict[str, Any]) -> None:
        first = (self.log.said[0].attempt, self.log.said[0].offset)
        lines = [line for line in page["lines"] if (line["attempt"], line["offset"]) != first]
        new = self.log.before(lines, at_start=not page["has_more"])
        if self.shown is not None and new:
            whole = len(self.shown.lines) + len(new) == len(self.log.said)
            if whole:
                self.shown.prepend(new)
            else:  # of one that was followed for long only the newest lines are shown
                self.shown.show(self.log.texts)
                self.shown.go_to(len(new))

    def _later(self, page: dict[str, Any]) -> None:
        new = self.log.after(page["lines"], at_end=not page["has_more"])
        if self.shown is not None:
            self.shown.append(new)

    def follow(self) -> None:
        """F: the end of the log, as it grows."""
        self.screen.open("log")
        if self.log.at_end:
            self.screen.lines.follow()
        else:
            self._ask(self._newest, limit=PAGE)

    def _newest(self, page: dict[str, Any]) -> None:
        self.log.replace(page["lines"], at_end=True, at_start=len(page["lines"]) < PAGE)
        if self.shown is not None:
            self.shown.show(self.log.texts, end=True)

    def _ask(self, take: Callable[[dict[str, Any]], None], **asked: Any) -> None:
        """One page at a time: it is taken in before the next one is asked for."""
        if self.busy:
            return
        self.busy = True

        def taken(answer: Any) -> None:
            self.busy = False
            if self.screen.there:
                take(answer.value.model_dump(mode="json"))

        def failed(error: Exception) -> None:
            self.busy = False
            self.screen.dashboard.complain(error)

        self.screen.dashboard.ask("GetJobLog", {"id": self.screen.job_id, **asked}, taken, failed)

    # ─── searching ────────────────────────────────────────────────────────────────────────────────

    def find(self, text: str) -> None:
        """Search the whole log, and what was printed beside it; empty text ends the search."""
        self.search = Search(text, [f"searching for {plain(text, limit=200)} …"], over=not text)
        if text:
            search = self.search
            self.screen.run_worker(lambda: self._search(search), thread=True, exit_on_error=False)

    def _search(self, search: Search) -> None:
        try:
            places, lines, more = self._matches(search, printed=False)
            if not more:
                _, printed, more = self._matches(search, printed=True)
                lines += [PRINTED, *printed] if printed else []
            lines = [*lines, *more] or [f"no line of the log holds {plain(search.text, limit=200)}"]
        except Exception as error:  # whatever it is, it is shown
            places, lines = [], [plain(str(error), limit=400)]
        self.screen.in_app(self._found, search, places, lines)

    def _matches(self, search: Search, *, printed: bool) -> tuple[list[tuple[int, int]], list[str], list[str]]:
        """(places, lines) of the log, or of what was printed, that hold the text; a line that says so when there are more."""
        page: dict[str, Any] = {"has_more": True}
        place, lines, places = dict[str, Any](), list[str](), list[tuple[int, int]]()
        while page["has_more"] and len(places) < MATCHES and search is self.search:
            page = self.screen.value(
                "GetJobLog", contains=search.text, printed=printed, limit=MATCHES - len(places), **place
            )
            place = {name: page[name] for name in ("attempt", "offset", "line")}
            places += [(line["attempt"], line["offset"]) for line in page["lines"]]
            lines += [
                f"{line['number']:>6} {words.clock(line['at'] or None)} {part}"
                for line in page["lines"]
                for part in plain(line["text"], limit=20_000, lines=True).splitlines()
            ]
        return places, lines, [f"… there are more than {MATCHES}: search for more"] if page["has_more"] else []

    def _found(self, search: Search, places: list[tuple[int, int]], lines: list[str]) -> None:
        if search is self.search:
            search.places, search.lines, search.over = places, lines, True
            self.screen.found()

    def step(self, step: int) -> None:
        """n, N: the next line that holds the text, or the one before, among the lines around it."""
        search = self.search
        if not search.places:
            self.screen.app.bell()
            return
        first = 0 if step > 0 else len(search.places) - 1
        search.at = first if search.at is None else (search.at + step) % len(search.places)
        place = search.places[search.at]
        self.screen.open("log")
        if self._go_to(place):
            return
        asked = {"id": self.screen.job_id, "attempt": place[0], "offset": place[1], "limit": AROUND}

        def taken(pages: tuple[dict[str, Any], dict[str, Any]]) -> None:
            before, after = pages
            lines = [*before["lines"], *after["lines"]]
            self.log.replace(lines, at_end=not after["has_more"], at_start=not before["has_more"])
            if self.shown is not None:
                self.shown.show(self.log.texts)
                self._go_to(place)

        def work() -> None:
            try:
                pages = self.screen.value("GetJobLog", before=True, **asked), self.screen.value("GetJobLog", **asked)
            except Exception as error:
                self.screen.in_app(self.screen.dashboard.complain, error)
            else:
                self.screen.in_app(taken, pages)

        self.screen.run_worker(work, thread=True, exit_on_error=False)

    def _go_to(self, place: tuple[int, int]) -> bool:
        line = self.log.place(*place)
        if line is not None and self.shown is not None:
            if len(self.shown.lines) != len(self.log.said):
                self.shown.show(self.log.texts)
            self.shown.search(self.search.text)
            self.shown.go_to(line)
        self.screen.tell_panes()
        return line is not None
