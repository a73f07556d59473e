"""`fts`: the whole studio from a command line. Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found, 5 unreachable."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

EPILOG = "exit codes: 0 done, 1 failed, 2 usage, 3 refused (every breach is printed), 4 not found, 5 studio unreachable"


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    words = sys.argv[1:] if words is None else list(words)
    try:
        sys.exit(_dashboard() if not words else _command(words))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _dashboard() -> int:
    """Bare `fts`: attach to the studio of this directory, or say how to start one. Nothing heavy is imported before the first frame."""
    from core.queue.embedded import socket_path

    home = os.environ.get("FTS_HOME", ".app")
    from pathlib import Path

    if "FTS_REDIS_URL" not in os.environ and not socket_path(Path(home)).exists():
        print(
            f"no studio is up in {Path(home).resolve()}\n\n  fts up      start one here, and open the dashboard\n  fts demo    see the main job work, from data to a fine-tuned model\n  fts --help  everything else",
            file=sys.stderr,
        )
        return 5
    if not sys.stdout.isatty():
        print("the dashboard needs a terminal; `fts --help` lists the commands for scripts", file=sys.stderr)
        return 2
    from tui.app import run

    run()
    return 0


def _command(words: list[str]) -> int:
    arguments = parser().parse_args(words)
    code: int = arguments.run(arguments)
    return code


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from tui.cli import up, verbs, watch

    made = argparse.ArgumentParser(
        prog="fts",
        description="Fine Tuning Studio: a control room for fine-tuning language models. Without a command: the dashboard.",
        epilog=EPILOG,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up.add(commands)
    watch.add(verbs.add_verbs(commands))
    _send(commands)
    _tools(commands)
    return made


def _send(commands: Any) -> None:
    from tui.cli import verbs

    send = commands.add_parser("send", help="send any message as JSON")
    send.add_argument("name", help="the message's name, such as AddDataset")
    send.add_argument("--json", default="{}", help="its fields")
    verbs.common(send, command=True)
    send.set_defaults(run=verbs.send)


def _tools(commands: Any) -> None:
    from tui.cli import completion, output, validate

    schema = commands.add_parser("schema", help="the JSON Schema of a message, or of all")
    schema.add_argument("name", nargs="?", help="a message's name")
    schema.add_argument("-o", "--output", choices=output.FORMS, default="json", help="table: what there is, in short")
    schema.set_defaults(run=_lazily("schema"))
    validate.add(commands)
    completion.add(commands)
    doctor = commands.add_parser("doctor", help="look at this machine and say what is missing")
    doctor.add_argument("-o", "--output", choices=output.FORMS, default="table", help="how the findings are shown")
    doctor.set_defaults(run=_lazily("doctor"))
    demo = commands.add_parser("demo", help="the main job, end to end, with a real small model")
    demo.add_argument("--plain", action="store_true", help="progress as lines, even on a terminal")
    demo.set_defaults(run=_lazily("demo"))


def _lazily(module: str) -> Any:
    def run(arguments: argparse.Namespace) -> int:
        from importlib import import_module

        code: int = import_module(f"tui.cli.{module}").run(arguments)
        return code

    return run


if __name__ == "__main__":
    main()
