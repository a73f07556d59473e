"""`fts message again`: what was sent once is sent once more, as it was or with changes."""

from __future__ import annotations

import argparse
from typing import Any

from core.errors import Conflict, StudioError
from core.masking import MASK, holds_mask
from core.messages.sent import GetMessage
from core.text import plain
from tui.cli import console, output, verbs
from tui.cli.console import warn
from tui.cli.fields import as_json
from tui.cli.parsing import add_command

TEXT = "Send a message of the log once more, with a key of its own: it is done again."


def add(messages: Any) -> None:
    """Declare `fts message again`."""
    parser = add_command(messages, "again", TEXT)
    verbs.common(parser, command=True)
    parser.add_argument("id", help="its id in `fts message list`")
    parser.add_argument(
        "--json",
        type=as_json,
        default={},
        help="fields that take the place of what it had; @FILE takes them from a file",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask for it, lay the changes over it, and send it."""
    try:
        with console.client() as client:
            message = client.call(GetMessage(id=arguments.id)).message
        if not isinstance(message.payload, dict):
            raise Conflict(
                f"the log does not keep the fields of message {message.id}: they were {message.bytes:,} bytes"
            )
        fields = {**message.payload, **arguments.json}
        if holds_mask(fields):
            raise Conflict(f"its secrets are not in the log: give what stands as {MASK} with --json")
    except StudioError as error:
        return output.fail(error, arguments.output)
    if arguments.output == "table":
        warn(plain(f"{message.name} once more"))
    return verbs.request(arguments, message.name, fields)
