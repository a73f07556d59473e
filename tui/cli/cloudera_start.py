"""The studio in a project of Cloudera ML: set up, and run as the project's application runs it (docs/cloudera.md)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from urllib.parse import urlsplit

from core import cml
from core.errors import StudioError
from core.facts import CONFIGS
from core.settings import Settings, settings
from core.text import plain
from tui.cli import output
from tui.cli.cloudera_setup import prepare
from tui.cli.console import say, warn
from tui.cli.home import Home

PORT = 50051  # where the original studio listened for the project's other pods
WAIT = 240.0  # seconds in which a pod before this one ends: a network's file system keeps its locks for a while
LOOK = 2.0
MLFLOW = 90.0  # seconds that MLflow may take to say whether it can use its store
NOWHERE = "this is no pod of Cloudera ML: CDSW_PROJECT_ID is not set (docs/cloudera.md)"
TRY = "from mlflow.tracking import MlflowClient as C; import sys; C(sys.argv[1]).search_experiments(max_results=1)"


def run_setup() -> int:
    """Set up; exit code 5 when Cloudera's API does not let it."""
    using = settings()
    if using.cdsw_project_id is None:
        warn(NOWHERE)
        return output.EXIT_USAGE
    return 0 if set_up(using) else output.EXIT_UNREACHABLE


def set_up(using: Settings) -> bool:
    """Make what is missing, and say so; False when it could not all be done."""
    try:
        for line in prepare(using, cml.connect(using)):
            say(plain(line, limit=500), flush=True)
    except (StudioError, ValueError) as error:
        warn(plain(f"{error}; then `fts cloudera setup` does it", limit=1_000))
        return False
    return True


def run_start() -> int:  # noqa: RET503  # it ends as another program
    """Become the studio of this project: whoever watches this process watches it. Jobs that run at Cloudera's go on meanwhile."""
    using = settings()
    if using.cdsw_project_id is None or using.cdsw_app_port is None:
        warn(NOWHERE if using.cdsw_project_id is None else "CDSW_APP_PORT is not set: only an application has a page")
        return output.EXIT_USAGE
    home = Home(using.root)
    home.prepare()
    if not alone(home):
        warn(
            plain(f"another pod ({home.read().get('host')}) runs the studio of {using.root}; stop it first", limit=500)
        )
        return output.EXIT_FAILED
    set_up(using)  # without it the studio is there all the same, and tells what can't run
    environment = {**os.environ, **for_pods(using), **tracking(using)}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "tui.cli.supervisor"], environment)


def alone(home: Home, wait: float = WAIT) -> bool:
    """Whether no other pod runs this studio; one that ends is waited for."""
    deadline, told = time.monotonic() + wait, False
    while home.supervised():
        if time.monotonic() > deadline:
            return False
        if not told:
            told = True
            say(plain(f"waiting for the pod before this one ({home.read().get('host')}) to end", limit=300), flush=True)
        time.sleep(LOOK)
    return True


def for_pods(using: Settings) -> dict[str, str]:
    """What the studio's processes are told: their directories, which processes, and where the queue listens for other pods."""
    told = {"FTS_HOME": str(using.root), "FTS_PROJECT": str(using.project.resolve())}
    if using.procfile is None:
        told["FTS_PROCFILE"] = str(CONFIGS / "cml" / "Procfile")
    if using.external_redis_url is None and using.queue_listen is None and using.cdsw_ip_address:
        told["FTS_QUEUE_LISTEN"] = f"{using.cdsw_ip_address}:{PORT}"
    return told


def tracking(using: Settings) -> dict[str, str]:
    """MLflow's store, where the one that the workbench names can't be used by this MLflow: the studio's own takes its place.

    Cloudera's plugin (cml://) belongs to the MLflow of its runtimes.
    """
    uri = using.tracking_uri
    if urlsplit(uri).scheme in ("sqlite", "http", "https", "file", "") or "FTS_MLFLOW_TRACKING_URI" in os.environ:
        return {}
    try:
        command = [sys.executable, "-c", TRY, uri]
        done = subprocess.run(command, capture_output=True, timeout=MLFLOW, check=False, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return {}
    except subprocess.TimeoutExpired:
        pass
    own = f"sqlite:///{using.root / 'mlflow.db'}"
    say(
        plain(f"MLflow can't use {uri} here: runs are kept in {own} (FTS_MLFLOW_TRACKING_URI names another)", limit=500)
    )
    return {"FTS_MLFLOW_TRACKING_URI": own}
