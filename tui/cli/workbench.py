"""`fts workbench`: what is known of the workbench of Cloudera ML that the studio runs in."""

from __future__ import annotations

import argparse

from core.errors import StudioError
from core.messages.workbench import GetWorkbench
from tui.cli import console, output
from tui.cli.console import say
from tui.view.workbench import described


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print what is known."""
    asked = GetWorkbench(jobs=arguments.jobs, experiments=arguments.experiments)
    try:
        with console.client() as client:
            told = client.call(asked).model_dump(mode="json")
    except StudioError as error:
        return output.fail(error, arguments.output)
    if arguments.output != "table":
        output.show(told, arguments.output)
        return 0
    for line in described(told):
        say(line)
    return 0
