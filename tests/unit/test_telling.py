"""How a webhook and a command are told: bounded in time, and what jobs are called is never more than data."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from actors import delivering, posting
from actors.delivering import facts
from core.settings import BadSettings, Settings, read
from tests.hook import CANARY, SCRIPT, Hook

NEVER = threading.Event()


def test_what_jobs_are_called_is_data_to_a_command_and_never_more(studio_settings: Settings, tmp_path: Path) -> None:
    name = "$(touch /tmp/never)\n`id`; \x1b]52;c;x\x07"
    body = {"id": "n", "type": "job.ended", "text": name, "job": {"id": "j", "name": name + "\0"}}
    made = facts(studio_settings, body)
    assert made["FTS_JOB_NAME"] == name and "FTS_JOB_ERROR" not in made
    (tmp_path / "told.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "told.py")]
    delivering.tell(studio_settings.model_copy(update={"notify_command": command}), "command", body, NEVER)
    assert json.loads((tmp_path / "told.jsonl").read_text())["environment"]["FTS_JOB_NAME"] == name


def test_a_server_that_answers_a_byte_at_a_time_is_left_when_its_time_is_over() -> None:
    with Hook.serving() as hook:
        hook.wait = 30
        began = time.monotonic()
        with pytest.raises(posting.NotTold, match=r"no answer within 0\.5 s"):
            posting.post(hook.url, {"id": "n"}, None, 0.5)
    assert time.monotonic() - began < 20  # of the 30 that its bytes take


def test_a_command_that_does_not_end_is_ended_with_all_it_started(studio_settings: Settings, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"sleep 300 & echo $! > {pid}; wait"
    short = studio_settings.model_copy(update={"notify_command": ["/bin/sh", "-c", script], "notify_seconds": 1.0})
    with pytest.raises(posting.NotTold, match="did not end within 1 s"):
        delivering.tell(short, "command", {"id": "n", "type": "test", "text": ""}, NEVER)
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{pid.read_text().strip()}") and time.monotonic() < deadline:  # noqa: PTH110
        time.sleep(0.02)
    assert time.monotonic() < deadline
    with pytest.raises(posting.NotTold, match="can't be run: No such file"):
        gone = short.model_copy(update={"notify_command": ["/no/such/program"]})
        delivering.tell(gone, "command", {"id": "n", "type": "test", "text": ""}, NEVER)
    with pytest.raises(posting.NotTold, match=r"exit code 3 \(notify-command.log has what it printed"):
        loud = short.model_copy(update={"notify_command": ["/bin/sh", "-c", "echo it said this; exit 3"]})
        delivering.tell(loud, "command", {"id": "n", "type": "test", "text": ""}, NEVER)
    assert "it said this" in (studio_settings.root / "logs" / "notify-command.log").read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [("FTS_NOTIFY_WEBHOOK", f"ftp://{CANARY}/x"), ("FTS_NOTIFY_WEBHOOK", CANARY), ("FTS_NOTIFY_COMMAND", '[" "]')],
)
def test_a_setting_that_can_not_be_is_told_without_its_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=name) as told:
        read()
    assert CANARY not in str(told.value)
