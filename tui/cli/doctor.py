"""`fts doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator

from core import engines, scripts
from core.errors import StudioError
from core.settings import Settings, settings
from core.text import plain
from tui.cli import output
from tui.cli.console import say

Finding = tuple[str, str, str]  # ok | note | bad, what, detail
TRAINING = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets", "mlflow")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 when something is bad."""
    findings = [finding for look in LOOKS for finding in look(settings())]
    if arguments.output != "table":
        rows = [{"state": state, "what": what, "detail": detail} for state, what, detail in findings]
        output.show({"findings": rows}, arguments.output)
        return int(any(state == "bad" for state, _, _ in findings))
    for state, what, detail in findings:
        say(plain(f"{ {'ok': '✓', 'note': '•', 'bad': '✗'}[state] } {what:<18} {detail}"))
    return int(any(state == "bad" for state, _, _ in findings))


def _python(using: Settings) -> Iterator[Finding]:
    yield ("ok" if sys.version_info >= (3, 11) else "bad", "Python", platform.python_version())


def _server(using: Settings) -> Iterator[Finding]:
    if using.external_redis_url is not None:
        yield "ok", "queue", "FTS_REDIS_URL names a server"
        return
    from core.queue.embedded import NoServer, binary

    try:
        yield "ok", "Valkey", binary()
    except NoServer as error:
        yield "bad", "Valkey", str(error)


def _training(using: Settings) -> Iterator[Finding]:
    missing = [name for name in TRAINING if importlib.util.find_spec(name) is None]
    if missing:
        yield (
            "note",
            "training",
            f"this machine can't train: {', '.join(missing)} missing (pip install 'fine-tuning-studio[train]')",
        )
    else:
        yield "ok", "training", "all libraries are installed"


def _engines(using: Settings) -> Iterator[Finding]:
    for name in engines.KNOWN:
        found = engines.installed(using, name)
        again = f"`fts engine install {name}` brings it"
        if found is not None and found.current:
            yield "ok", name, f"{found.version}, {found.python}"
        elif found is not None:
            yield "note", name, f"{found.version}, made by other pins than this version's: {again} up to date"
        elif engines.place(using, name).exists():
            yield "note", name, f"its install broke off: {again} to its end"
        else:
            yield "note", name, f"not installed: {again}"


def _scripts(using: Settings) -> Iterator[Finding]:
    there = using.scripts_root.is_dir()
    told = (
        f"{len(scripts.listed(using.scripts_root))} in {using.scripts_root}"
        if there
        else f"no directory {using.scripts_root}"
    )
    yield "ok" if there else "note", "scripts", told


def _gpus(using: Settings) -> Iterator[Finding]:
    found = shutil.which("nvidia-smi")
    yield ("ok", "GPU", found) if found else ("note", "GPU", "no NVIDIA driver: jobs with num_gpu 0 run on the CPU")


def _disk(using: Settings) -> Iterator[Finding]:
    place = next(path for path in (using.artifacts_root, *using.artifacts_root.parents) if path.exists())
    free = shutil.disk_usage(place).free / 2**30
    yield "ok" if free > 5 else "bad", "disk", f"{free:.0f} GiB free for {using.artifacts_root}"


def _cloudera(using: Settings) -> Iterator[Finding]:
    """Inside a workbench: whether jobs can be run there."""
    if using.cdsw_project_id is None:
        return
    from core import cml

    try:
        door = cml.connect(using)
        for names in ((using.cml_training_template, cml.FALLBACK), (using.cml_evaluation_template,)):
            found = door.template(*names)
            yield "ok", "Cloudera ML", f"template job {found.name} runs {found.script}, {found.runtime or 'no runtime'}"
    except cml.Missing as error:
        yield "bad", "Cloudera ML", f"{error}; `fts cloudera setup` makes what is missing"
    except cml.Declined as error:
        again = "; start the application again: its pod gets a key anew" if error.status in (401, 403) else ""
        yield "bad", "Cloudera ML", f"{error}{again}"
    except (StudioError, ValueError) as error:
        yield "bad", "Cloudera ML", str(error)


def _home(using: Settings) -> Iterator[Finding]:
    place = next(path for path in (using.root, *using.root.parents) if path.exists())
    yield "ok" if os.access(place, os.W_OK) else "bad", "FTS_HOME", str(using.root)


def _token(using: Settings) -> Iterator[Finding]:
    told = "set" if using.hub_token else "not set: private and gated repositories of the Hub stay closed"
    yield "ok" if using.hub_token else "note", "Hub token", told


def _studio(using: Settings) -> Iterator[Finding]:
    from core.client import StudioClient
    from core.messages.runners import ListRunners
    from core.queue.connect import safe_url
    from core.queue.embedded import announced

    if using.external_redis_url is None and not announced(using.root):
        yield "note", "studio", f"not up; {using.started_by}"
        return
    try:
        with StudioClient(using, program="fts") as client:
            runners = client.call(ListRunners(), timeout=3).runners
    except StudioError as error:
        yield "bad", "studio", str(error)
        return
    told = f"{len(runners)} runner{'' if len(runners) == 1 else 's'}"
    yield "ok", "studio", f"answers at {safe_url(using.redis_url)}; {told}"
    for runner in runners:
        state = "ok" if runner.status == "online" else "note"
        yield (
            state,
            "runner",
            f"{runner.host}: {runner.status}, {runner.cpus} cores, {runner.memory:.0f} GiB, {len(runner.gpus)} GPUs",
        )


LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python,
    _server,
    _training,
    _engines,
    _scripts,
    _gpus,
    _disk,
    _home,
    _token,
    _cloudera,
    _studio,
)
