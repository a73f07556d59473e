"""`fts validate FILE…`: check messages in files by the rules that need no studio; every breach with its place."""

from __future__ import annotations

import argparse
from typing import Any

from core.text import plain
from core.types import ConfigType, Severity
from tui.cli import output
from tui.cli.commands import ALONE
from tui.cli.console import say, warn


def add(commands: Any) -> None:
    """Declare the command."""
    made = commands.add_parser(
        "validate",
        help=ALONE["validate"],
        description="Check YAML, JSON or JSON-lines files: {name: …, payload: {…}}, a list of them, several documents, "
        "or an Axolotl config. Every breach is told with its file, line, rule and field.",
    )
    made.add_argument("files", nargs="+", metavar="FILE", help="a file of messages; - for standard input")
    kinds = made.add_mutually_exclusive_group()
    kinds.add_argument(
        "--config",
        choices=[each.value for each in ConfigType],
        metavar="TYPE",
        help="take each file as a config of TYPE",
    )
    kinds.add_argument(
        "--axolotl", dest="config", action="store_const", const="axolotl", help="the same as --config axolotl"
    )
    forms = ("table", "json", "yaml", "sarif", "github")
    made.add_argument("-o", "--output", choices=forms, default="table", help="sarif and github are for CI")
    made.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong; 3 when something is, 2 when a file can't be opened."""
    from tui.cli.validate_files import check_file
    from tui.cli.validate_report import FORMS

    findings, messages, unopened = [], 0, False
    for path in arguments.files:
        try:
            checked = check_file(path, arguments.config)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            warn(plain(f"{path} can't be opened: {getattr(error, 'strerror', None) or error}"))
            unopened = True
            continue
        findings += checked.findings
        messages += checked.messages
    if told := FORMS[arguments.output](findings, messages):
        say(told)
    if unopened:
        return output.EXIT_USAGE
    return output.EXIT_REFUSED if any(each.breach.severity is Severity.ERROR for each in findings) else 0
