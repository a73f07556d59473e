"""`fts engine install|list|remove`: engines that have an environment of their own on this host (core/engines.py)."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core import engines
from core.settings import settings
from core.text import plain
from tui.cli import output
from tui.cli.commands import ALONE
from tui.cli.console import say, warn
from tui.cli.installing import NotInstalled, install_pins

NEEDED = {"axolotl": 10}  # GiB that must be free: the environment, and what is downloaded beside it
PYTHON = (3, 11)  # what the pins are for


def add(commands: Any) -> None:
    """Declare the command and its verbs."""
    from tui.cli.parsing import add_command, add_group

    verbs = add_group(commands, "engine", ALONE["engine"])
    for name, text, run in (
        ("install", "install an engine on this host; one that broke off goes on", install),
        ("remove", "remove an engine from this host", remove),
    ):
        verb = add_command(verbs, name, text)
        verb.add_argument("name", choices=engines.KNOWN, help="the engine")
        verb.set_defaults(run=run)
    listing = add_command(verbs, "list", "tell which engines there are, and which are installed here")
    listing.add_argument("-o", "--output", choices=output.FORMS, default="table", help="how they are shown")
    listing.set_defaults(run=list_all)


def install(arguments: argparse.Namespace) -> int:
    """Make the engine's environment, and say that it is there when all of it is."""
    name, using = arguments.name, settings()
    directory = engines.place(using, name)
    found = engines.installed(using, name)
    if found is not None and found.current:
        say(f"{name} {found.version} is installed in {directory}")
        return 0
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _alone(directory):
            _room(directory, name)
            environment = directory / f"venv-{engines.pins_hash(name)}"
            python = install_pins(name, environment, directory / "install.log")
            _mark(directory, name, python)
            left = _sweep(directory, keep=environment)
    except (NotInstalled, OSError) as error:
        warn(plain(f"{name} is not installed: {error}", limit=5_000, lines=True))
        return output.EXIT_FAILED
    say(f"{name} {engines.version(name)} is installed in {directory}; runners of this host offer it from now on")
    for each in left:
        say(f"{each} is still used by a job; `fts engine install {name}` removes it later")
    return 0


def list_all(arguments: argparse.Namespace) -> int:
    """Every engine, installed or not."""
    rows = []
    for name in engines.KNOWN:
        found = engines.installed(settings(), name)
        state = "no" if found is None else "yes" if found.current else "yes, by older pins"
        place = str(engines.place(settings(), name)) if found else ""
        rows.append(
            {
                "name": name,
                "version": found.version if found else engines.version(name),
                "installed": state,
                "place": place,
            }
        )
    if arguments.output == "table":
        for row in rows:
            say(plain(f"{row['name']:<12} {row['version']:<10} installed: {row['installed']:<20} {row['place']}"))
    else:
        output.show({"engines": rows}, arguments.output)
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Take the engine away: first that it is there, then its files."""
    name = arguments.name
    directory = engines.place(settings(), name)
    if not directory.exists():
        say(f"{name} is not installed here")
        return 0
    try:
        with _alone(directory):
            if users := _users(directory):
                raise NotInstalled(f"{users} processes run in it: wait for its jobs, or cancel them")
            (directory / engines.MARKER).unlink(missing_ok=True)
            shutil.rmtree(directory)
    except (NotInstalled, OSError) as error:
        warn(plain(f"{name} is not removed: {error}"))
        return output.EXIT_FAILED
    say(f"{name} is removed from {directory}")
    return 0


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """No other install or removal at the same time. Raises NotInstalled."""
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotInstalled("another `fts engine` is at work on it") from None
        yield


def _room(directory: Path, name: str) -> None:
    if sys.version_info[:2] != PYTHON:
        raise NotInstalled(f"its pins are for Python {'.'.join(map(str, PYTHON))}; run the studio with that")
    free = shutil.disk_usage(directory).free / 2**30
    if free < NEEDED[name]:
        raise NotInstalled(f"it needs {NEEDED[name]} GiB, and {free:.0f} GiB are free for {directory}")


def _mark(directory: Path, name: str, python: Path) -> None:
    """Say that it is there: a file that is whole or not there."""
    marker = {
        "name": name,
        "version": engines.version(name),
        "python": str(python.relative_to(directory)),
        "pins": engines.pins_hash(name),
    }
    draft = directory / f".{engines.MARKER}"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(marker, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(directory / engines.MARKER)


def _sweep(directory: Path, keep: Path) -> list[Path]:
    """Remove the environments of older pins; those in use are returned."""
    older = [path for path in directory.glob("venv-*") if path != keep]
    used = [path for path in older if _users(path)]
    for path in older:
        if path not in used:
            shutil.rmtree(path, ignore_errors=True)
    return used


def _users(directory: Path) -> int:
    """How many processes were started from below a directory."""
    import psutil

    commands = (process.info["cmdline"] or [""] for process in psutil.process_iter(["cmdline"]))
    return sum(str(words[0]).startswith(f"{directory}/") for words in commands)
