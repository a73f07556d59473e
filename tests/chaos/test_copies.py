"""A copy of a registry's files that is cut short by kill -9 is nobody's: it goes, and the command is done when it comes again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.answering import answer
from actors.desk import Desk
from actors.ticking import RETAIN_EVERY, tick
from tests.handlers.work import say
from tests.registries import PLAIN, Registry

pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow", "ignore::DeprecationWarning")


def test_a_copy_that_was_killed_is_freed_and_made_again_for_the_same_key(
    desk: Desk, valkey_url: str, tmp_path: Path
) -> None:
    (tmp_path / "registry").mkdir()
    registry = Registry(tmp_path / "registry")
    registry.add("tiny", PLAIN)
    desk.settings.mlflow_tracking_uri = registry.uri
    payload = {"type": "model_registry", "model_registry_id": "tiny", "name": "tiny"}
    settings = {
        "FTS_HOME": str(desk.settings.home),
        "FTS_PROJECT": str(tmp_path),
        "FTS_REDIS_URL": valkey_url,
        "FTS_NAMESPACE": desk.settings.namespace,
        "FTS_MLFLOW_TRACKING_URI": registry.uri,
    }
    command = [sys.executable, "-m", "tests.chaos.dying_copies", json.dumps(payload), "key"]
    died = subprocess.run(command, env={**os.environ, **settings}, timeout=60)
    assert died.returncode == -signal.SIGKILL
    (left,) = (desk.settings.artifacts_root / "registry").iterdir()
    assert {each.name for each in left.iterdir()} == {"lock", "draft", "tiny-1"}
    tick(desk, RETAIN_EVERY * 10)
    assert not left.exists()
    assert answer(desk, "AddModel", payload, "key")["ok"]
    tick(desk, RETAIN_EVERY * 11)
    (model,) = say(desk, "ListModels", type="model_registry")["models"]
    assert {each.name for each in Path(model["location"]).iterdir()} == set(PLAIN)
