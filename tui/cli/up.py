"""`fts up`, `fts down`, `fts status`: the studio of this directory."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import Any

import psutil

from core.errors import StudioError
from core.queue import far
from core.settings import Settings, settings
from core.text import plain
from tui.cli import console, output, tables
from tui.cli.commands import ALONE
from tui.cli.console import say, warn
from tui.cli.home import Home, alive
from tui.cli.parsing import add_command
from tui.cli.procfile import GRACE
from tui.cli.supervisor import stop

READY_SECONDS = 30.0
TRIES = 3  # ends of a process after which it is not waited for


def add(commands: Any) -> None:
    """Declare the commands."""
    up = add_command(commands, "up", ALONE["up"])
    up.add_argument("--detach", action="store_true", help="start it and come back")
    up.add_argument("--readonly", action="store_true", help="the dashboard only looks: nothing that changes is sent")
    up.set_defaults(run=run_up)
    down = add_command(commands, "down", ALONE["down"])
    down.add_argument(
        "--drain", action="store_true", help="first let the runners save checkpoints and give their jobs back"
    )
    down.set_defaults(run=run_down)
    status = add_command(commands, "status", ALONE["status"])
    status.add_argument("-o", "--output", choices=output.FORMS, default="table")
    status.set_defaults(run=run_status)


def run_up(arguments: argparse.Namespace) -> int:
    """Start the studio unless it is up; then the dashboard, or its log where there is no terminal."""
    using = settings()
    home = Home(using.root)
    if not (arguments.detach or sys.stdout.isatty() or home.supervised() or _elsewhere(using, home)):
        return _foreground(using) if _possible(using, home) and _here(using) else output.EXIT_UNREACHABLE
    if not start(using, home):
        return output.EXIT_UNREACHABLE
    if arguments.detach or not sys.stdout.isatty():
        return 0
    return open_dashboard(readonly=arguments.readonly)


def _foreground(using: Settings) -> int:
    """Without a terminal the supervisor is this process: for systemd, containers and scripts."""
    from tui.cli.supervisor import main

    say(f"the studio of {using.root} runs in the foreground; its logs are in {using.root / 'logs'}", flush=True)
    main()
    return 0


def start(using: Settings, home: Home) -> bool:
    """Start the supervisor and wait until the studio answers; says what it does, and what to look at when it fails."""
    if not _possible(using, home):
        return False
    if host := _elsewhere(using, home):
        say(f"the studio of {using.root} runs on {plain(host, limit=200)}")
        return True
    if home.supervised():
        say(f"the studio of {using.root} is up")
    elif not _here(using):
        return False
    else:
        say(f"starting the studio of {using.root}", flush=True)
        if far.elsewhere(using.root) is not None:
            far.forget(using.root)  # it did not answer; what starts now is waited for here
        with (home.logs / "supervisor.log").open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", "tui.cli.supervisor"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "FTS_HOME": str(using.root), "FTS_PROJECT": str(using.project.resolve())},
            )  # fmt: skip
    return _ready(using, home)


def _possible(using: Settings, home: Home) -> bool:
    """Whether there is a place for the studio's files, and the queue's server when that is another one; says what is not."""
    try:
        home.prepare()
    except OSError as error:
        told = f"can't make {error.filename or using.root}: {error.strerror}; FTS_HOME names another directory"
        warn(plain(told, limit=1_000))
        return False
    if using.external_redis_url is None:
        return True
    from core.queue.connect import away, connect, safe_url

    try:
        connect(using.redis_url).ping()
    except away():
        warn(f"no server answers at {safe_url(using.redis_url)}, which FTS_REDIS_URL names")
        return False
    return True


def _here(using: Settings) -> bool:
    """Whether a studio is to be started here; a session of a workbench would keep its application from starting, and take its jobs."""
    if using.cdsw_project_id is None or using.procfile is not None:
        return True
    warn(
        "this project's studio is an application: start it under Applications in Cloudera ML (docs/cloudera.md);"
        " FTS_PROCFILE names what is to run here instead"
    )
    return False


def _elsewhere(using: Settings, home: Home) -> str | None:
    """The other host that runs this studio: one that shares FTS_HOME, and whose studio answers."""
    from core.client import StudioClient
    from core.messages.runners import ListRunners

    host = home.elsewhere()
    if host is None:
        return None
    try:
        with StudioClient(using, program="fts") as client:
            client.call(ListRunners(), timeout=5)
    except StudioError:
        return None
    return host


def _ready(using: Settings, home: Home) -> bool:
    from core.client import StudioClient
    from core.messages.runners import ListRunners

    deadline = time.monotonic() + READY_SECONDS
    with StudioClient(using, program="fts") as client:
        while time.monotonic() < deadline and not _failing(home):
            try:
                client.call(ListRunners(), timeout=2)
            except StudioError:
                time.sleep(0.1)
                continue
            say("the studio answers", flush=True)
            return True
    for name in _failing(home):
        told = f"{name} does not stay up, its log says: {_last_line(home, name)}"
        warn(plain(told, limit=1_000))
    told = f"the studio does not answer; the logs in {home.logs} tell more, and `fts down` ends the tries"
    warn(told)
    return False


def _failing(home: Home) -> list[str]:
    """The processes that ended again and again."""
    told = home.read().get("processes", {})
    return [name for name, process in told.items() if process.get("restarts", 0) >= TRIES and not process.get("pid")]


def _last_line(home: Home, name: str) -> str:
    with (home.logs / f"{name}.log").open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 10_000))
        lines = log.read().decode("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "nothing")


def open_dashboard(job: str | None = None, *, readonly: bool = False) -> int:
    """The dashboard in front; the studio goes on behind it when it is left."""
    from tui.app import run

    code = run(open_job=job, readonly=readonly)
    fts = console.called()
    say(f"the studio goes on; `{fts}` opens the dashboard again, `{fts} down` stops the studio")
    return code


def run_down(arguments: argparse.Namespace) -> int:
    """Stop the supervisor, which stops the rest; clean up after one that was killed."""
    using = settings()
    home = Home(using.root)
    told = home.read()
    if not told:
        say(f"the studio of {using.root} is not up")
        return 0
    if host := _elsewhere(using, home):
        warn(f"the studio of {using.root} runs on {plain(host, limit=200)}; stop it there")
        return output.EXIT_FAILED
    if arguments.drain:
        _drain(using)
    stop(_supervisor(home), sum(GRACE.values()) + 10)
    for name, process in reversed(list(home.read().get("processes", {}).items())):
        if process.get("pid"):
            stop(alive(process["pid"], process["started"]), GRACE.get(name, 10))
    home.state.unlink(missing_ok=True)
    say("the studio is down")
    if left := _training(using):
        say(
            f"{left} training process{'es' if left > 1 else ''} on this host will go on; the next `fts up` takes them over"
        )
    return 0


def _supervisor(home: Home) -> psutil.Process | None:
    """The supervisor, when there is one; one that has only now begun gets the time to say who it is."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        told = home.read()
        found = alive(told["pid"], told["started"]) if told else None
        if found is not None or not home.supervised() or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _drain(using: Settings) -> None:
    from core.client import StudioClient
    from core.messages.runners import DrainRunner, ListRunners

    with StudioClient(using, program="fts") as client:
        try:
            for runner in client.call(ListRunners(), timeout=5).runners:
                if runner.status == "online":
                    client.call(DrainRunner(id=runner.id))
            while any(
                runner.jobs for runner in client.call(ListRunners(), timeout=5).runners if runner.status == "draining"
            ):
                say("waiting for jobs to save their checkpoints", flush=True)
                time.sleep(2)
        except StudioError as error:
            warn(error)


def _training(using: Settings) -> int:
    """How many jobs still run: their locks are held."""
    import fcntl

    count = 0
    for path in using.artifacts_root.glob("jobs/*/*/lock"):
        with path.open("rb") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                count += 1
    return count


def run_status(arguments: argparse.Namespace) -> int:
    """What runs; exit code 5 when something does not."""
    using = settings()
    home = Home(using.root)
    if host := _elsewhere(using, home):
        say(f"the studio of {using.root} runs on {plain(host, limit=200)}, and answers")
        return 0
    rows = [_row(home, name, told) for name, told in home.read().get("processes", {}).items()]
    if not rows:
        warn(f"the studio of {using.root} is not up; {using.started_by}")
        return output.EXIT_UNREACHABLE
    if not home.supervised():
        warn("the supervisor is gone; `fts up` starts another, which takes the processes over")
    if arguments.output == "table":
        tables.table(rows)
    else:
        output.show({"home": str(using.root), "supervised": home.supervised(), "processes": rows}, arguments.output)
    return 0 if all(row["state"] == "running" for row in rows) and home.supervised() else output.EXIT_UNREACHABLE


def _row(home: Home, name: str, told: dict[str, Any]) -> dict[str, Any]:
    process = alive(told["pid"], told["started"]) if told.get("pid") else None
    minutes = (time.time() - process.create_time()) / 60 if process else None
    return {
        "name": name,
        "state": "running" if process else "waiting to restart",
        "pid": process.pid if process else None,
        "minutes": minutes,
        "restarts": told.get("restarts", 0),
        "memory": f"{process.memory_info().rss >> 20} MiB" if process else None,
        "log": str(home.logs / f"{name}.log"),
    }
