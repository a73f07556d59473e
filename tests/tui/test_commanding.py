"""`:` does all that the CLI does, inside the dashboard: nothing reaches the terminal behind it, nothing stops or ends it."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.errors import NotFound, Refused
from core.messages import REGISTRY, Command
from core.rules import Breach
from core.settings import settings
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, job
from tests.tui.test_dashboard import PATIENCE, shown, until
from tui.app import Dashboard
from tui.cli.commands import ALONE, FIRST
from tui.cli.main import parser
from tui.commanding import ELSEWHERE, Running
from tui.screens.confirm import ConfirmScreen
from tui.screens.job import JobScreen
from tui.screens.listing import ListScreen
from tui.screens.output import OutputScreen
from tui.view import pages
from tui.widgets.prompt import PromptLine

Leaf = tuple[tuple[str, ...], argparse.ArgumentParser]


def leaves(made: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Every command of the parser."""
    below = [action for action in made._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield path, made
    for action in below:
        for name, each in action.choices.items():
            yield from leaves(each, (*path, name))


def least(leaf: Leaf) -> str:
    """The shortest line that the command's parser takes."""
    path, made = leaf
    words = list(path)
    for action in made._actions:
        values = {"--to": "rows.csv", "priority": "1", "row": "1", "number": "1"}
        name = next(iter(action.option_strings), action.dest.removeprefix("positional_"))
        value = str(next(iter(action.choices))) if action.choices else values.get(name, "x")
        if action.option_strings and action.required:
            words += [action.option_strings[0], value]
        elif not action.option_strings and action.nargs not in ("?", "*"):
            words.append(value)
    return shlex.join(words)


LEAVES = list(leaves(parser()))


def not_here(*_: Any) -> Any:
    """What takes an hour or stops the studio is not for a test."""
    from tui.cli.installing import NotInstalled

    raise NotInstalled("not in a test")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("FTS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FTS_REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tui.cli.engine.install_pins", not_here)
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


def board(studio: FakeStudio, **how: Any) -> Dashboard:
    return Dashboard(make=lambda: studio, **how)


async def ready(pilot: Pilot[None]) -> Dashboard:
    await until(pilot, lambda: "adapter-run" in shown(pilot.app))
    assert isinstance(pilot.app, Dashboard)
    return pilot.app


async def ended(pilot: Pilot[None], running: Running) -> Running:
    """The command's end; what it asks is answered with no."""
    deadline = time.monotonic() + PATIENCE
    while not running.over:
        assert time.monotonic() < deadline, f"{running.line} does not end: {running.text}"
        await asyncio.sleep(0.01)
        if isinstance(pilot.app.screen, ConfirmScreen):
            await pilot.press("n")
    return running


async def typed(pilot: Pilot[None], line: str) -> None:
    """A line, as if it were typed, and enter."""
    await pilot.press("colon")
    pilot.app.screen.query_one(PromptLine).value = line
    await pilot.press("enter")


async def test_every_command_of_the_parser_is_run_by_the_line_and_none_prints_blocks_or_leaves(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.cli.up.stop", lambda *_: pytest.fail("nobody said yes"))
    studio, longest = filled(), 0.0
    async with board(studio).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        app.commanding.parser()
        for leaf in LEAVES:
            running = app.commanding.run(least(leaf))
            deadline = time.monotonic() + PATIENCE
            while not running.over:
                assert time.monotonic() < deadline, f"{running.line} does not end: {running.text}"
                began = time.monotonic()
                await pilot.pause(0.005)
                longest = max(longest, time.monotonic() - began)
                if isinstance(app.screen, ConfirmScreen):
                    await pilot.press("n")
            assert running.text.strip() or running.landing, f"{running.line} says nothing"
            assert "Traceback (most" not in running.text and "usage:" not in running.text, running.text
            assert running.code in (0, 1, 2, 3, 4, 5), running.line
            assert running.code != 2 or leaf[0] in ELSEWHERE or leaf[0] == ("validate",), running.text
            assert app.is_running and app._exit is False
    assert capfd.readouterr() == ("", "")
    assert longest < 5, "a command held the keys up"
    assert len(LEAVES) > 100


def test_no_command_of_one_word_is_taken_for_the_beginning_of_a_page() -> None:
    assert {path[0] for path, _ in LEAVES if len(path) == 1 and pages.find(path[0])} <= set(ALONE)


async def test_the_first_word_of_a_line_is_completed_without_the_parser_and_goes_to_a_page_without_it() -> None:
    told = {each.dest: each.help for each in parser()._subparsers._group_actions[0]._choices_actions}  # type: ignore[union-attr]
    assert told == FIRST
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        await pilot.press("colon", *"datas", "tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, ListScreen) and app.screen.kind.name == "datasets")
        await pilot.press("colon", *"eva")
        await until(pilot, lambda: FIRST["evaluation"] in shown(app))
        assert app.commanding.made is None
        await pilot.press(*"luation can")
        await until(pilot, lambda: "cancel" in shown(app) and app.commanding.made is not None)


async def test_a_command_that_changes_something_is_an_act_and_a_read_only_dashboard_refuses_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui.cli.up.stop", lambda *_: pytest.fail("it only looks"))
    studio = filled()
    async with board(studio, readonly=True).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        for leaf in LEAVES:
            await ended(pilot, app.commanding.run(least(leaf)))
        changed = [each for each in studio.asked if isinstance(each, Command)]
        assert not changed and not app.acting.made
        for name, kind in REGISTRY.items():
            if issubclass(kind, Command):
                line = shlex.join(["send", name, "--json", "{}"])
                running = await ended(pilot, app.commanding.run(line))
                assert running.code == 3, running.text
        assert not [each for each in studio.asked if isinstance(each, Command)]


@pytest.mark.parametrize("readonly", [False, True])
async def test_a_dashboard_becomes_no_runner_and_one_that_only_looks_tells_no_key(
    monkeypatch: pytest.MonkeyPatch, *, readonly: bool
) -> None:
    monkeypatch.setattr("os.execv", lambda *_: pytest.fail("the dashboard would be gone"))
    monkeypatch.setattr("tui.cli.accesskey.access_key", lambda row: pytest.fail("it only looks"))
    async with board(filled(), readonly=readonly).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        for backend in ("local", "cml"):
            running = await ended(pilot, app.commanding.run(f"runner --backend {backend}"))
            assert running.code == 2 and "in a shell" in running.text
        running = await ended(pilot, app.commanding.run("endpoint key x"))
        assert running.code != 0 and ("--readonly" in running.text) == readonly


async def test_a_noun_and_a_name_open_what_is_called_so() -> None:
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        await typed(pilot, "job adapter-done")
        await until(pilot, lambda: isinstance(app.screen, JobScreen) and app.screen.job_id == "done")
        running = await ended(pilot, app.commanding.run("job nothing-like-it"))
        assert running.code == 4 and "nothing-like-it" in running.text


async def test_what_destroys_is_asked_about_and_no_does_nothing() -> None:
    studio = filled()
    async with board(studio).run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot)
        await typed(pilot, "job cancel adapter-run")
        await until(pilot, lambda: "Cancel the job run?" in shown(pilot.app))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "fts job cancel run" in shown(pilot.app))
        await pilot.press("n")
        await until(pilot, lambda: "nothing was done" in shown(pilot.app))
        assert not [each for each in studio.asked if type(each).__name__ == "CancelJob"]
        await pilot.press("escape")
        await typed(pilot, "job cancel adapter-run")
        await until(pilot, lambda: "Cancel the job run?" in shown(pilot.app))
        await pilot.press("y")
        await until(pilot, lambda: [each for each in studio.asked if type(each).__name__ == "CancelJob"])
        await until(pilot, lambda: pilot.app.acting.made[-1].name == "CancelJob")  # type: ignore[attr-defined]


async def test_a_table_is_read_in_a_screen_and_a_word_where_one_is() -> None:
    studio = filled()
    async with board(studio).run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot)
        await typed(pilot, "dataset list")
        await until(pilot, lambda: isinstance(pilot.app.screen, OutputScreen) and "project_csv" in shown(pilot.app))
        assert ":dataset list" in shown(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ListScreen))
        await typed(pilot, "--version")
        await until(pilot, lambda: "fts 0" in shown(pilot.app) or "fts 1" in shown(pilot.app))
        assert isinstance(pilot.app.screen, ListScreen)


async def test_a_mistake_is_told_above_the_line_which_stays_to_be_mended() -> None:
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await typed(pilot, "job cancle x")
        await until(pilot, lambda: "did you mean cancel?" in shown(pilot.app))
        line = pilot.app.screen.query_one(PromptLine)
        assert line.display and line.value == "job cancle x" and pilot.app.focused is line
        await pilot.press("backspace", "backspace")
        await until(pilot, lambda: "did you mean" not in shown(pilot.app))
        await pilot.press("escape")
        await typed(pilot, "job show 'open")
        await until(pilot, lambda: "a quote is open" in shown(pilot.app))


async def test_what_the_studio_refuses_is_told_with_every_breach() -> None:
    studio = filled()
    studio.refusal = [Breach(rule="FT-099", field="dataset_id", message=f"no such dataset {HOSTILE}"[:150])]
    async with board(studio).run_test(size=(120, 30)) as pilot:
        await ready(pilot)
        await typed(pilot, "job submit --adapter-name x --base-model m1 --dataset d1 --prompt p1 --num-epochs 0")
        await until(pilot, lambda: "FT-" in shown(pilot.app))
        assert "\x1b" not in shown(pilot.app) and "\u202e" not in shown(pilot.app)


async def test_a_job_that_is_submitted_waited_for_or_followed_is_seen_on_its_own_screen() -> None:
    studio = filled()
    async with board(studio).run_test(size=(120, 30)) as pilot:
        await ready(pilot)
        for line in ("job wait adapter-run", "job logs -f adapter-run"):
            await typed(pilot, line)
            await until(pilot, lambda: isinstance(pilot.app.screen, JobScreen) and "691 rows" in shown(pilot.app))
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, ListScreen))
        await typed(pilot, "job wait nothing-like-it")
        await until(pilot, lambda: "nothing-like-it" in shown(pilot.app) and "not_found" in shown(pilot.app))


@pytest.mark.parametrize("raised", [NotFound(HOSTILE), Refused(HOSTILE), RuntimeError(HOSTILE), SystemExit(7)])
async def test_whatever_a_command_throws_or_prints_is_shown_safely_and_the_dashboard_goes_on(
    raised: BaseException, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from tui.cli import console

    def thrown(arguments: Any) -> int:
        for _ in range(30):
            console.say(HOSTILE[:300])
        raise raised

    monkeypatch.setattr("tui.cli.doctor.run", thrown)
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await typed(pilot, "doctor")
        await until(pilot, lambda: isinstance(pilot.app.screen, OutputScreen) and "[red]" in shown(pilot.app))
        assert "failed, exit code" in shown(pilot.app)
        assert "\x1b" not in shown(pilot.app) and "\u202e" not in shown(pilot.app) and "\x07" not in shown(pilot.app)
    assert capfd.readouterr() == ("", "")


async def test_one_that_takes_long_is_shown_as_it_goes_and_stopped_by_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.cli import console

    def slow(arguments: Any) -> int:
        for number in range(100_000):
            console.say(f"line {number}")
            time.sleep(0.01)
        return 0

    monkeypatch.setattr("tui.cli.doctor.run", slow)
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        await typed(pilot, "doctor")
        await until(pilot, lambda: isinstance(app.screen, OutputScreen) and "x stops it" in shown(app))
        await until(pilot, lambda: "line 5" in shown(app))
        await pilot.press("x")
        await until(pilot, lambda: "stopped" in shown(app))
        assert app.commanding.runs[-1].code == 130
        await pilot.press("Y")
        await pilot.press("e")
        await until(pilot, lambda: app.screen.query_one(PromptLine).value == "doctor")


async def test_leaving_the_dashboard_waits_for_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.cli import console

    def endless(arguments: Any) -> int:
        while True:
            console.say("on and on")
            time.sleep(0.05)

    monkeypatch.setattr("tui.cli.doctor.run", endless)
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        running = app.commanding.run("doctor")
        await until(pilot, lambda: running.text)
    deadline = time.monotonic() + PATIENCE
    while not running.over and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert running.code == 130


async def test_names_are_completed_and_earlier_lines_come_back(home: Path) -> None:
    studio = filled()
    studio.rows["fine_tuning_jobs"] = [job("run"), job("evil", adapter_name=HOSTILE)]
    async with board(studio).run_test(size=(80, 24), notifications=True) as pilot:
        app = await ready(pilot)
        await pilot.press("colon", *"job pau", "tab")
        line = app.screen.query_one(PromptLine)
        await until(pilot, lambda: line.value == "job pause ")
        await pilot.press("a")
        await until(pilot, lambda: "▸" not in shown(app) and "adapter-run" in shown(app).splitlines()[-4])
        await pilot.press("tab")
        await until(pilot, lambda: line.value.strip() == "job pause adapter-run")
        await pilot.press("enter")
        await until(pilot, lambda: studio.job("run").status.value == "paused")
        await until(pilot, lambda: not line.display)
        await pilot.press("colon", "up")
        await until(pilot, lambda: line.value.strip() == "job pause adapter-run")
        await pilot.press("down")
        await until(pilot, lambda: line.value == "")
        await pilot.press("escape")
    assert (home / "dashboard" / "history").read_text().strip() == "job pause adapter-run"


async def test_keys_typed_at_once_behind_the_colon_are_the_commands_own() -> None:
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        await pilot.press("colon", *"datasets", "enter")
        await until(pilot, lambda: isinstance(app.screen, ListScreen) and app.screen.kind.name == "datasets")
        await pilot.press("colon", *"q", "enter")
        await until(pilot, lambda: app._exit)


async def test_a_candidate_is_taken_by_a_click() -> None:
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        await pilot.press("colon", *"job pau")
        line = app.screen.query_one(PromptLine)
        await until(pilot, lambda: line.helper is not None and line.helper.completer is not None)
        await until(pilot, lambda: "pause" in shown(app))
        await pilot.click("#candidates", offset=(5, 0))
        await until(pilot, lambda: line.value == "job pause " and app.focused is line)


async def test_what_is_typed_faster_than_the_parser_is_made_is_obeyed_in_its_order() -> None:
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        line = app.screen.query_one(PromptLine)
        line.open(":")
        line.value = "dataset li"
        line.action_complete(1)  # before anything is drawn
        line.value = "dataset li -o json"
        line.post_message(line.Submitted(line, line.value))
        await until(pilot, lambda: isinstance(app.screen, OutputScreen) and "project_csv" in shown(app))
        assert ":dataset list -o json" in shown(app)
        await pilot.press("escape")
        await typed(pilot, "datasets list -o yaml")
        await until(pilot, lambda: isinstance(app.screen, OutputScreen) and "type: project_csv" in shown(app))


async def test_the_line_keeps_the_keys_when_a_screen_asked_for_them_earlier_and_goes_at_a_click_elsewhere() -> None:
    async with board(filled()).run_test(size=(80, 24)) as pilot:
        app = await ready(pilot)
        line = app.screen.query_one(PromptLine)
        await pilot.press("colon")
        app.screen.focus_first()  # type: ignore[attr-defined]
        await pilot.pause()
        await until(pilot, lambda: app.focused is line)
        await pilot.press(*"data")
        await until(pilot, lambda: line.value == "data")
        line.opened -= 1_000
        await pilot.click("StudioTable", offset=(5, 2))
        await until(pilot, lambda: not line.display)
