"""What the command line prints fits the terminal, is whole in a pipe, and lets nothing foreign through."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rich.cells import cell_len

from tui.cli import output
from tui.cli.tables import lines
from tui.view.describe import described

ID = "6288abf2-d83d-45b9-8d0f-8944710f24b3"
ROWS: list[dict[str, Any]] = [
    {"name": "tickets", "type": "project_csv", "id": ID, "location": "/a/very/long/path/" * 6},
    {"name": "東京の質問と答え", "type": "huggingface", "id": "default-dataset-sql", "location": "x"},
]
NAMES = ["name", "type", "id", "location"]


@pytest.mark.parametrize("room", [20, 40, 60, 80, 120, 160, 400])
def test_no_line_is_longer_than_the_terminal_and_no_id_is_cut_in_the_middle(room: int) -> None:
    shown = list(lines(NAMES, ROWS, room))
    assert all(cell_len(line) <= room for line in shown)
    ids = [line.split()[2] for line in shown[1:] if len(line.split()) > 2]
    assert set(ids) <= {ID, ID[:8], "default-dataset-sql"} | {line.split()[-1] for line in shown}
    assert (ID in shown[1]) == (room == 400)


def test_a_pipe_gets_everything() -> None:
    head, first, second = lines(NAMES, ROWS, None)
    assert head.split() == NAMES
    assert first.split() == ["tickets", "project_csv", ID, ROWS[0]["location"]]
    assert cell_len(second.split("huggingface")[0]) == cell_len(first.split("project_csv")[0])


@pytest.mark.parametrize("room", [30, 60, 100])
def test_a_reason_is_wrapped_and_never_cut(room: int) -> None:
    reason = "a row with this id exists and is kept; it differs in location and in everything else"
    rows = [{"table": "datasets", "id": ID, "outcome": "skipped", "reasons": [reason]}]
    shown = list(lines(list(rows[0]), rows, room))
    assert all(cell_len(line) <= room for line in shown)
    assert " ".join(" ".join(shown).split()).replace("datasets ", "").endswith(reason.split(" ", 3)[3])
    for word in reason.split():
        assert any(word in line for line in shown)


def test_times_sizes_lists_and_mappings_read_as_people_write_them() -> None:
    now = 1_700_000_000.0
    told = described(
        {
            "created_at": now,
            "bytes": 538_090_408,
            "features": ["a", "b"],
            "free": {"cpus": 2.0, "gpus": 0, "memory": 23.54},
        }
    )
    assert told.split("\n") == [
        f"created_at  {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now))}",
        "bytes       513.2 MiB",
        "features    a, b",
        "free        cpus 2, gpus 0, memory 23.5 GiB",
    ]


def test_a_runner_is_called_alike_in_the_lists_of_runners_and_of_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    runner = {"id": ID, "host": "gpu-host", "status": "online", "cpus": 2, "memory": 23.54, "free": {"memory": 23.54}}
    output.show({"runners": [runner]}, "table")
    heading, told = capsys.readouterr().out.splitlines()
    assert heading.startswith("runner ") and told.startswith("gpu-host ") and told.count("23.5 GiB") == 2
    job = {"name": "a", "status": "running", "runner_id": ID, "runner": "gpu-host"}
    output.show({"fine_tuning_jobs": [job], "has_more": False}, "table")
    heading, told = capsys.readouterr().out.splitlines()
    assert heading.endswith("runner") and told.endswith("gpu-host")


def test_texts_of_several_lines_stand_below_their_name_and_blanks_at_ends_can_be_seen() -> None:
    told = described({"input": "Ticket: {a}\nAction:", "completion": " {b}", "preview": [{"a": "x y"}, {"a": "z w"}]})
    assert told.split("\n") == [
        "input:",
        "    Ticket: {a}",
        "    Action:",
        "completion  ' {b}'",
        "preview:",
        '    {"a": "x y"}',
        '    {"a": "z w"}',
    ]


def test_a_draft_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 100 + "end"
    output.show({"prompt": {"name": "p", "prompt_template": f"{long}\n{{a}}"}, "style": "chat", "why": long}, "table")
    told = capsys.readouterr().out
    assert told.count("end") == 2 and "{a}" in told and "…" not in told


def test_a_page_that_has_more_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    output.show({"datasets": [{"name": "a", "id": "x"}], "has_more": True}, "table")
    told = capsys.readouterr()
    assert "--after x" in told.err and "more" not in told.out


def test_answers_stand_side_by_side_with_who_gave_them(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "row": 0,
        "prompt": "Q\nA:",
        "expected": "yes",
        "answers": {"1": "", "2": "yes"},
        "correct": {"1": False, "2": True},
        "scores": {"1": {"f1": 0.25}, "2": {}},
    }
    output.show({"combinations": {"1": "tiny", "2": "tiny + act"}, "rows": [row], "total": 1}, "table")
    told = capsys.readouterr().out
    assert "✗ tiny (f1 25.0)  (nothing)" in told and "✓ tiny + act      yes" in told and "   A:" in told


def test_an_import_tells_last_what_needs_a_look(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"table": "datasets", "index": at, "id": f"d{at}", "outcome": outcome, "reasons": []}
        for at, outcome in enumerate(("failed", "skipped", "mended"), 1)
    ]
    tables = [{"table": "datasets", "inserted": 0, "mended": 1, "skipped": 1, "failed": 1}]
    output.show({"preview": True, "tables": tables, "rows": rows, "more_rows": 0, "ignored_tables": []}, "table")
    told = capsys.readouterr().out
    assert told.index("skipped") < told.index("mended") < told.index("failed") < told.index("tables:")
    assert "more_rows" not in told


def test_keys_and_values_of_others_reach_no_terminal_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;x\x07"
    fields = {"column_types": {evil: "string", "other": "a b"}, "name": f"{evil}\n{evil}", "preview": [{evil: evil}]}
    output.show({"dataset": fields}, "table")
    output.show({"datasets": [fields]}, "table")
    output.show(
        {
            "combinations": {"1": evil},
            "rows": [{"row": 0, "prompt": evil, "expected": evil, "answers": {"1": evil}, "correct": {}, "scores": {}}],
            "total": 1,
        },
        "table",
    )
    score = {"value": 0.5, "low": 0.4, "high": 0.6, "verdict": None}
    result = {
        "id": "1",
        "combination": evil,
        "baseline": True,
        "status": "succeeded",
        "rows": 3,
        "scores": {evil: score},
    }
    failed = {**result, "id": "2", "status": "failed", "error": evil, "scores": {}}
    told = {"results": [result, failed], "metrics": [evil], "notes": [evil], "files": [evil], "mlflow_experiment": evil}
    output.show(told, "table")
    output.show({**told, "results": [result, {**result, "id": "3"}]}, "table")
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err and "x1b" in shown.out
