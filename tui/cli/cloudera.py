"""`fts cloudera setup|start`: the studio in a project of Cloudera ML (docs/cloudera.md). What it takes is imported when it is asked for."""

from __future__ import annotations

import argparse
from typing import Any

from tui.cli.commands import ALONE
from tui.cli.parsing import add_command, add_group


def add(commands: Any) -> None:
    """Declare the command and its verbs."""
    verbs = add_group(commands, "cloudera", ALONE["cloudera"])
    for name, text, run in (
        ("setup", "make what the project needs to run jobs: template jobs, and where its other pods find the studio", setup),
        ("start", "set up, then run the whole studio and its page in the foreground, as the project's application does", start),
    ):  # fmt: skip
        add_command(verbs, name, text).set_defaults(run=run)


def setup(arguments: argparse.Namespace) -> int:
    """Set up; exit code 5 when Cloudera's API does not let it."""
    from tui.cli.cloudera_start import run_setup

    return run_setup()


def start(arguments: argparse.Namespace) -> int:
    """Become the studio of this project."""
    from tui.cli.cloudera_start import run_start

    return run_start()
