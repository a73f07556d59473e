"""`fts runner --backend local|cml`: run a daemon in the foreground, as a Procfile does."""

from __future__ import annotations

import argparse
import os
import sys

from tui.cli.console import host, warn
from tui.cli.parsing import listed

BACKENDS = ("local", "cml")


def add(parser: argparse.ArgumentParser) -> None:
    """What the noun does without a verb."""
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        help="run a daemon here, until it is interrupted: local starts jobs on this host, cml as jobs of Cloudera ML",
    )
    parser.set_defaults(run=lambda arguments: _run(arguments, parser))


def _run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Become the daemon; without a backend the help, as of every noun."""
    if arguments.backend is not None:
        if host() is not None:  # it would become the daemon
            warn("a dashboard is no runner: run this in a shell")
            return 2
        command = [sys.executable, "-m", "gpu_runner.daemon", "--backend", arguments.backend]
        os.execv(command[0], command)
    return listed(parser)
