"""What the demo says at its end, on terminals of any width."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core.messages.results import AnswerRow
from tui.cli import console, tables
from tui.cli.demo import COLUMNS, side_by_side


@pytest.mark.parametrize("room", [60, 80, 120, 200])
def test_the_adapters_answers_stand_beside_the_models_whatever_the_width(room: int) -> None:
    said = {"base": "You can track your parcel with the number in the mail", "own": "track_parcel"}
    known = {"prompt": f"Support ticket: {'where is my parcel ' * 5}", "expected": "track_parcel", "correct": {}}
    rows = [AnswerRow.model_validate({**known, "row": row, "answers": said, "scores": {}}) for row in range(3)]
    lines = list(tables.lines(COLUMNS, side_by_side(rows, "base", "own", room), room))
    assert lines[0].split() == ["ticket", "expected", "base", "model", "adapter"]
    assert all(len(line) <= room and line.endswith("track_parcel") for line in lines[1:])


def test_fts_is_called_by_its_place_where_the_shell_does_not_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / ".venv" / "bin" / "fts"
    beside.parent.mkdir(parents=True)
    beside.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(beside.with_name("python")))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert console.called() == ".venv/bin/fts"
    monkeypatch.setenv("PATH", str(beside.parent))
    assert console.called() == "fts"
