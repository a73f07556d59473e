"""`fts overview`: the page Home in a shell."""

from __future__ import annotations

import argparse

from core.errors import StudioError
from core.messages.overview import GetOverview
from tui.cli import console, output
from tui.cli.console import say
from tui.cli.plan import drawn
from tui.view import overview

WIDE = 120  # cells where nobody's terminal tells how many


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print the sections."""
    try:
        with console.client() as client:
            told = client.call(GetOverview()).model_dump(mode="json")
    except StudioError as error:
        return output.fail(error, arguments.output)
    if arguments.output != "table":
        output.show(told, arguments.output)
        return 0
    width = console.room() or WIDE
    say(overview.summary(told))
    for line in overview.drawn(overview.sections(told, compact=width), width):
        say(drawn(line.spans).rstrip())
    return 0
