"""What is copied reaches the clipboard of the terminal in front, through whatever stands between, and is said."""

from __future__ import annotations

import base64
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.text import plain
from tests.tui.fake import filled
from tests.tui.rows import HOSTILE, answered, job, session
from tests.tui.test_dashboard import PATIENCE, shown, until
from tui import copying
from tui.app import Dashboard
from tui.copying import handed_on, kept, multiplexer


def taken(written: str) -> str:
    """What a terminal takes of what was written: the text of its OSC 52, of which nothing else is left."""
    found = re.fullmatch(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", written)
    assert found, repr(written[:200])
    return base64.b64decode(found[1]).decode()


def through_tmux(written: str) -> str:
    """What tmux hands on: the string without its wrapping, in which every escape is doubled."""
    inner = re.fullmatch(r"\x1bPtmux;((?:[^\x1b]|\x1b\x1b)*)\x1b\\", written)
    assert inner, repr(written[:200])
    return inner[1].replace("\x1b\x1b", "\x1b")


def through_screen(written: str) -> str:
    """What screen hands on: its strings one behind another, each short."""
    strings = re.findall(r"\x1bP((?:(?!\x1b\\).)*)\x1b\\", written, re.S)
    assert "".join(f"\x1bP{each}\x1b\\" for each in strings) == written and max(map(len, strings)) < 256
    return "".join(strings)


@pytest.mark.parametrize("text", ["", "an id", "長 👩‍🚀", "x" * 20_000, HOSTILE, "a\nb"])
def test_tmux_and_screen_hand_the_text_on_whole(text: str) -> None:
    assert taken(through_tmux(handed_on(text, {"TMUX": "/tmp/tmux-0/default,1,0"}))) == text
    assert taken(through_screen(handed_on(text, {"STY": "1.pts"}))) == text
    assert handed_on(text, {"TERM": "xterm-256color"}) == ""


@pytest.mark.parametrize(
    ("environ", "between"),
    [
        ({"TERM": "xterm-256color"}, ""),
        ({"TERM": "screen-256color", "TMUX": "x"}, "tmux"),
        ({"TERM": "screen", "STY": "x"}, "screen"),
        ({"TERM": "screen.xterm-256color", "STY": "x", "TMUX": "x"}, "screen"),
        ({"TERM": "tmux-256color", "STY": "x", "TMUX": "x"}, "tmux"),
        ({"TERM": "tmux-256color"}, "tmux"),  # tmux on this side, the dashboard on the other
    ],
)
def test_what_stands_between_is_told_by_the_environment(environ: dict[str, str], between: str) -> None:
    assert multiplexer(environ) == between


@pytest.fixture
def wrote(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the terminal got of copies."""
    written: list[str] = []
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.delenv("STY", raising=False)
    monkeypatch.setattr(Dashboard, "hand_over", lambda self, text, further: written.append(text))
    return written


async def test_the_row_under_the_cursor_is_copied_and_what_it_offers_next(wrote: list[str]) -> None:
    studio = filled()
    studio.rows["fine_tuning_jobs"] = [job("run", adapter_name=HOSTILE)]
    async with Dashboard(make=lambda: studio).run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "[red]" in shown(pilot.app))
        await pilot.press("Y")
        await until(pilot, lambda: "copied the id run" in shown(pilot.app))
        await pilot.press("Y", "Y")
        await until(pilot, lambda: "copied the row as JSON" in shown(pilot.app))
        await pilot.press("Y")
        await until(pilot, lambda: len(wrote) == 4)
    assert wrote[0] == wrote[3] == "run"
    assert wrote[1].startswith("[red]\\x1b]52;c;") and not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", "".join(wrote))


async def test_a_text_that_is_read_is_copied_whole_by_one_key(wrote: list[str]) -> None:
    async with Dashboard(make=filled).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("y")
        await until(pilot, lambda: "runner: gpu-host" in shown(pilot.app))
        await pilot.press("y")
        await until(pilot, lambda: wrote)
    assert wrote[0].startswith("name: null\n") and "adapter_name: adapter-run" in wrote[0]


async def test_marking_by_mouse_and_ctrl_c_copies_instead_of_leaving(wrote: list[str]) -> None:
    async with Dashboard(make=filled).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("y")
        await until(pilot, lambda: "runner: gpu-host" in shown(pilot.app))
        await pilot.mouse_down("#text", offset=(0, 0))
        await pilot.hover("#text", offset=(10, 1))
        await pilot.mouse_up("#text", offset=(10, 1))
        await until(pilot, lambda: pilot.app.marked)  # type: ignore[attr-defined]
        marked = pilot.app.marked  # type: ignore[attr-defined]
        await pilot.press("ctrl+c")
        await until(pilot, lambda: wrote == [marked])
        assert pilot.app.is_running
        await pilot.press("ctrl+c")
        await until(pilot, lambda: pilot.app._exit)


async def test_what_no_clipboard_takes_goes_into_a_file_of_its_owner(
    wrote: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from core.settings import settings

    monkeypatch.setenv("FTS_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    try:
        async with Dashboard(make=filled).run_test(size=(160, 30), notifications=True) as pilot:
            await until(pilot, lambda: "adapter-run" in shown(pilot.app))
            pilot.app.copy("x" * (copying.MOST + 1), "a log")  # type: ignore[attr-defined]
            await until(pilot, lambda: "no clipboard takes a log here" in shown(pilot.app))
    finally:
        settings.cache_clear()
    looking = tmp_path / "looking"
    monkeypatch.setenv("FTS_HOME", str(looking))
    settings.cache_clear()
    async with Dashboard(make=filled, readonly=True).run_test(size=(160, 30), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        pilot.app.copy("x" * (copying.MOST + 1), "a log")  # type: ignore[attr-defined]
        await until(pilot, lambda: "writes no file" in shown(pilot.app))
    settings.cache_clear()
    assert not (looking / "copied.txt").exists()
    file = tmp_path / "home" / "copied.txt"
    assert not wrote and file.stat().st_size == copying.MOST + 1 and file.stat().st_mode & 0o077 == 0
    assert kept("short", tmp_path / "home") == file and file.read_text() == "short"


# ─── the bytes ────────────────────────────────────────────────────────────────────────────────────

PROGRAM = """
from tests.tui.fake import filled
from tests.tui.rows import HOSTILE, answered, job, session
from tui.app import Dashboard

studio = filled()
studio.rows["fine_tuning_jobs"] = [job("run", adapter_name=HOSTILE)]
Dashboard(make=lambda: studio, page="jobs").run()
"""


class Terminal:
    """The dashboard in a terminal of its own; `got` is every byte that it wrote."""

    def __init__(self, **environ: str) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY", "TERM")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
            start_new_session=True, env={**kept, **environ}, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        os.close(theirs)
        self.master, self.got = ours, b""

    def until(self, there: Callable[[bytes], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not there(self.got):
            assert time.monotonic() < deadline, self.got[-3_000:]
            if select.select([self.master], [], [], 0.2)[0]:
                self.got += os.read(self.master, 65_536)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


WRAPPED = rb"\x1bP(?:(?!\x1b\\).|(?<=\x1b)\x1b)*?\x1b\\"  # a string for what stands between
PLAINLY = rb"\x1b\]52;c;[A-Za-z0-9+/=]*\x07"


@pytest.mark.parametrize("between", ["", "tmux", "screen"])
def test_a_terminal_gets_copies_whole_and_what_stands_between_gets_them_too(between: str) -> None:
    environ = {"": {"TERM": "xterm-256color"}, "tmux": {"TERM": "screen-256color", "TMUX": "/tmp/x,1,0"}}
    terminal = Terminal(**environ.get(between, {"TERM": "screen", "STY": "1.pts"}))
    try:
        terminal.until(lambda got: b"red]" in got)
        os.write(terminal.master, b"YYY")
        terminal.until(lambda got: b"as JSON" in got and got.rindex(b"as JSON") > got.rindex(b"\x1b]52;c;"))
    finally:
        terminal.end()
    strings = [found.decode() for found in re.findall(WRAPPED, terminal.got, re.DOTALL)]
    bare = re.sub(WRAPPED, b"", terminal.got, flags=re.DOTALL)
    texts = [taken(found.decode()) for found in re.findall(PLAINLY, bare)]
    assert texts[:2] == ["run", plain(HOSTILE, limit=20_000)] and texts[2].startswith("{") and len(texts) == 3
    assert bare.count(b"\x1b]52") == 3 and not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", "".join(texts))
    if between == "tmux":
        assert [taken(through_tmux(each)) for each in strings] == texts
    elif between == "screen":
        assert [taken(each) for each in re.findall(PLAINLY.decode(), through_screen("".join(strings)))] == texts
    else:
        assert not strings


async def test_of_marked_rows_all_ids_are_copied(wrote: list[str]) -> None:
    async with Dashboard(make=filled, page="jobs").run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("space", "space", "Y")
        await until(pilot, lambda: wrote)
    assert sorted(wrote[0].splitlines()) == ["done", "run"]


async def test_a_question_and_its_answers_are_copied_from_a_comparison(wrote: list[str]) -> None:
    studio = filled()
    studio.rows["comparisons"], studio.questions = [session()], [answered()]
    async with Dashboard(make=lambda: studio).run_test(size=(120, 30)) as pilot:
        pilot.app.show_comparison("c-1")  # type: ignore[attr-defined]
        await until(pilot, lambda: "where is my parcel" in shown(pilot.app))
        await pilot.press("escape", "Y")
        await until(pilot, lambda: wrote)
    assert "where is my parcel" in wrote[0] and "── tickets-r16\ntrack_parcel" in wrote[0]
