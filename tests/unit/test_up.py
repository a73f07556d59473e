"""A studio that does not come up says which process failed and why, in a line and soon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import Settings
from tui.cli import up
from tui.cli.home import Home
from tui.cli.supervisor import Supervisor


def test_what_does_not_stay_up_is_named_with_the_last_line_of_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path)
    home.prepare()
    ended = {"command": [], "restarts": 3, "last_code": 1}
    home.write({"pid": 1, "started": 0, "processes": {"actors": ended, "valkey": {**ended, "restarts": 0, "pid": 1}}})
    (home.logs / "actors.log").write_text("x" * 20_000 + "\nTraceback\n\x1b[31mthe disk is full\n\n")
    assert not up._ready(Settings(home=tmp_path), home)
    told = capsys.readouterr().err
    assert "actors does not stay up, its log says: \\x1b[31mthe disk is full" in told
    assert "valkey" not in told and "fts down" in told


def test_a_home_that_cant_be_made_is_told_with_the_setting_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert not up.start(Settings(home=tmp_path / "file"), Home(tmp_path / "file"))
    assert "FTS_HOME" in capsys.readouterr().err


def test_a_server_of_another_that_is_away_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTS_REDIS_URL", "redis://:secret@localhost:1/0")
    assert not up.start(Settings(home=tmp_path), Home(tmp_path))
    told = capsys.readouterr().err
    assert "FTS_REDIS_URL" in told and "secret" not in told


def test_actors_without_their_database_say_so_in_a_line(tmp_path: Path) -> None:
    url = "postgresql+psycopg://studio:secret@localhost:1/none"
    environment = {**os.environ, "FTS_HOME": str(tmp_path), "FTS_DATABASE_URL": url}
    done = subprocess.run(
        [sys.executable, "-m", "actors.app", "commands"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "FTS_DATABASE_URL" in done.stderr and "Traceback" not in done.stderr and "secret" not in done.stderr


def test_a_supervisor_on_a_full_disk_tends_its_processes_and_writes_them_down_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(content: object) -> None:
        raise OSError(28, "No space left on device")

    home = Home(tmp_path)
    home.prepare()
    supervisor = Supervisor(home, Settings(home=tmp_path))
    monkeypatch.setattr(supervisor, "_may_start", lambda process: False)
    monkeypatch.setattr(home, "write", full)
    supervisor._tell()
    supervisor._look()
    assert home.read() == {}
    assert capsys.readouterr().out.count("can't be written down") == 1
    monkeypatch.undo()
    monkeypatch.setattr(supervisor, "_may_start", lambda process: False)
    supervisor._look()
    assert home.read()["pid"] == os.getpid()
    (home.logs / "actors.log").mkdir()  # as a full disk: it can't be opened
    monkeypatch.setattr(supervisor, "_may_start", lambda process: process.line.name == "actors")
    supervisor._look()
    assert next(each for each in supervisor.processes if each.line.name == "actors").running is None
