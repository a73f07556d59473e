"""A job's log as far as it is read: a stretch of it, which grows at both ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from core.loglines import told
from core.text import plain
from tui.view import words

LONGEST = 20_000  # characters of a line
MOST = 12_000  # lines that are kept


class Said(NamedTuple):
    """A line of the screen, and the place of the log at which its line ends."""

    attempt: int
    offset: int
    text: str


@dataclass
class JobLog:
    """Lines in order. `at_end`: nothing follows but what is yet to come; `at_start`: nothing comes before."""

    said: list[Said] = field(default_factory=list)
    at_end: bool = True
    at_start: bool = False

    def replace(self, lines: Iterable[Mapping[str, Any]], *, at_end: bool, at_start: bool) -> None:
        """Another stretch (core.messages.jobs.LogLine as plain data)."""
        self.said, self.at_end, self.at_start = [each for line in lines for each in said(line)], at_end, at_start

    def renew(self, lines: Sequence[Mapping[str, Any]], *, page: int) -> None:
        """The newest `page` lines, asked for anew, between what is here before and after them; who reads elsewhere stays there."""
        if not self.at_end or not lines:
            return
        first, last = ((each["attempt"], each["offset"]) for each in (lines[0], lines[-1]))
        before = [each for each in self.said if (each.attempt, each.offset) < first]
        after = [each for each in self.said if (each.attempt, each.offset) > last]
        joined = len(before) < len(self.said) - len(after)  # one line of both: nothing is missing in between
        self.at_start = self.at_start if joined and before else len(lines) < page
        self.said = [*(before if joined else []), *(each for line in lines for each in said(line)), *after]

    def before(self, lines: Iterable[Mapping[str, Any]], *, at_start: bool) -> list[str]:
        """Earlier lines; those that are new."""
        new = [each for line in lines for each in said(line)]
        self.said, self.at_start = [*new, *self.said], at_start
        return [each.text for each in new]

    def after(self, lines: Iterable[Mapping[str, Any]], *, at_end: bool) -> list[str]:
        """Later lines; those that are new."""
        new = [each for line in lines for each in said(line)]
        self.said, self.at_end = [*self.said, *new], at_end
        return [each.text for each in new]

    def take(self, attempt: int, record: Mapping[str, Any], end: int) -> list[str]:
        """A record that was written just now; its lines, when they are the next ones here."""
        if not self.at_end:
            return []
        new = [Said(attempt, int(record.get("offset") or end), text) for text in log_lines(record)]
        self.said += new
        if len(self.said) > MOST:
            self.said, self.at_start = self.said[-MOST // 2 :], False
        return [each.text for each in new]

    def place(self, attempt: int, offset: int) -> int | None:
        """Which line of the screen ends the log's line of that place; None when it is not among them."""
        return next(
            (index for index, each in enumerate(self.said) if (each.attempt, each.offset) == (attempt, offset)), None
        )

    @property
    def texts(self) -> list[str]:
        """What is shown."""
        return [each.text for each in self.said]


def said(line: Mapping[str, Any]) -> list[Said]:
    """A line of the log as it is shown: several where it holds line breaks."""
    clock = f"{words.clock(line['at'])} " if line["at"] else ""
    text = _marked(line["text"], raised=line.get("level") == "warning")
    return [Said(line["attempt"], line["offset"], f"{clock}{part}") for part in text.splitlines()]


def log_lines(record: Mapping[str, Any]) -> list[str]:
    """A record as lines of the log; most records have none."""
    line = told(record)
    if line is None:
        return []
    return [
        f"{words.clock(record.get('at'))} {text}" for text in _marked(line[1], raised=line[0] == "warning").splitlines()
    ]


def _marked(text: str, *, raised: bool) -> str:
    return plain(("▲ " if raised else "") + text, limit=LONGEST, lines=True)
