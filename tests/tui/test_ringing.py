"""The terminal is told of jobs that end: once, of those that one wants to know of, and in words that do nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, NOW
from tests.tui.test_dashboard import shown, until
from tui.app import Dashboard
from tui.ringing import Ringer, sequence, words

ESC = "\x1b"


def ended(id: str, type: str = "JobSucceeded", number: int = 1, **data: Any) -> dict[str, Any]:
    told = {"kind": "fine_tuning", "name": f"adapter-{id}", **data}
    return {"id": number, "type": type, "kind": "jobs", "resource_id": id, "at": NOW, "data": told}


class Terminal:
    """What stands for a dashboard: what it says, and what its terminal is sent."""

    def __init__(self, *watched: str) -> None:
        self.watched = set(watched)
        self.said: list[str] = []
        self.sent: list[str] = []

    def say(self, text: str, severity: str = "information") -> None:
        self.said.append(f"{severity}: {text}")

    def to_terminal(self, sequence: str) -> None:
        self.sent.append(sequence)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def ringer(terminal: Terminal, how: str = "bell", which: str = "all") -> Ringer:
    made: Any = terminal
    return Ringer(made, how, which)


def test_each_end_rings_once_and_what_is_no_end_does_not() -> None:
    terminal = Terminal()
    made = ringer(terminal)
    made.take([ended("a", "JobStarted"), ended("p", kind="plan"), ended("e", kind="endpoint")])
    assert terminal.said == terminal.sent == []
    made.take([ended("a")])
    made.take([ended("a")])
    assert terminal.sent == ["\a"] and terminal.said == ["information: adapter-a succeeded"]
    made.rang = -10.0
    made.take([ended("a", "JobFailed", 2), ended("e", "JobFailed", 3, kind="endpoint")])
    assert terminal.sent == ["\a", "\a"] and terminal.said[1] == "error: adapter-a failed, adapter-e failed"


def test_a_sweep_that_ends_is_one_bell_and_a_count() -> None:
    terminal = Terminal()
    made = ringer(terminal)
    for start in (0, 50):
        made.take([ended(str(n), "JobFailed" if n % 10 == 0 else "JobSucceeded", n) for n in range(start, start + 50)])
    assert terminal.sent == ["\a"]
    assert terminal.said[0] == "error: 50 jobs ended: 45 succeeded, 5 failed"


def test_only_jobs_that_were_opened_ring_when_one_wants_it_so() -> None:
    terminal = Terminal("b")
    made = ringer(terminal, which="watched")
    made.take([ended("a"), ended("b")])
    assert terminal.said == ["information: adapter-b succeeded"]
    quiet = Terminal()
    ringer(quiet, "off").take([ended("a")])
    assert quiet.said and not quiet.sent


def test_words_go_through_what_stands_between_and_hold_nothing_that_a_terminal_obeys() -> None:
    text = words([ended("x", name=HOSTILE)])
    for how, mark in (("osc9", "9;fts: "), ("osc777", "777;notify;Fine Tuning Studio;")):
        plain = sequence(how, text, {"TERM": "xterm"})
        assert plain.startswith(f"{ESC}]{mark}") and plain.endswith("\a")
        inner = plain[2:-1]
        assert ESC not in inner and "\a" not in inner and "\u202e" not in inner and len(inner) < 200
        assert inner.count(";") == mark.count(";")
        tmux = sequence(how, text, {"TERM": "tmux-256color", "TMUX": "/tmp/x,1,0"})
        assert tmux == f"{ESC}Ptmux;{ESC}{plain}{ESC}\\"
        assert sequence(how, text, {"TERM": "screen", "STY": "1.x"}) == f"{ESC}P{plain}{ESC}\\"
    assert sequence("bell", text, {"TMUX": "x", "TERM": "tmux"}) == "\a"


async def test_a_dashboard_rings_for_what_ends_while_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTS_NOTIFY_TERMINAL", "osc9")
    monkeypatch.setenv("FTS_NOTIFY_JOBS", "watched")
    sent: list[str] = []
    monkeypatch.setattr(Dashboard, "to_terminal", lambda self, sequence: sent.append(sequence))
    studio = filled()
    dashboard = Dashboard("run", make=lambda: studio)
    async with dashboard.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: "691 rows" in shown(dashboard))
        for id in ("other", "run"):
            _happened(studio, ended(id))
        await until(pilot, lambda: "adapter-run succeeded" in shown(dashboard))
        assert sent == [f"{ESC}]9;fts: adapter-run succeeded\a"] and "adapter-other" not in shown(dashboard)


def _happened(studio: FakeStudio, event: dict[str, Any]) -> None:
    from core.events import Event

    studio.events.put(Event.model_validate({**event, "prev": 0}))


def test_tmux_takes_what_is_handed_on() -> None:
    """What tmux would hand to its terminal is the sequence itself, with every escape as it was."""
    made = sequence("osc9", "a job ended", {"TERM": "tmux-256color", "TMUX": "x"})
    body = made.removeprefix(f"{ESC}Ptmux;").removesuffix(f"{ESC}\\").replace(ESC * 2, ESC)
    assert body == f"{ESC}]9;fts: a job ended\a"
