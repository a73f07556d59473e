"""`fts`: the whole studio from a command line. Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found, 5 unreachable."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

EPILOG = """\
A studio belongs to the directory that it was started in, where it keeps its files in .app: run fts there too, or let
FTS_HOME name another studio's .app. Names work where ids do, and @FILE where a text does.

exit codes: 0 done, 1 failed, 2 usage, 3 refused (every breach is printed), 4 not found, 5 the studio, or something
that it needs, can't be reached"""


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    words = sys.argv[1:] if words is None else list(words)
    try:
        looking = words == ["--readonly"]
        sys.exit(_dashboard(readonly=looking) if looking or not words else _command(words))
    except KeyboardInterrupt:
        sys.exit(130)
    except ValueError as error:
        sys.exit(_told(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _told(error: ValueError) -> int:
    """A setting that can't be read is told in a line; any other error is a fault of ours, with its traceback."""
    from core.settings import BadSettings
    from core.text import plain

    if not isinstance(error, BadSettings):
        raise error
    print(plain(error, lines=True), file=sys.stderr)
    return 2


def _dashboard(*, readonly: bool) -> int:
    """Bare `fts`: attach to the studio of this directory, or say how to start one. Nothing heavy is imported before the first frame."""
    from core.queue.embedded import announced

    home = os.environ.get("FTS_HOME", ".app")
    from pathlib import Path

    from core.text import plain

    if "FTS_REDIS_URL" not in os.environ and not announced(Path(home)):
        print(
            f"no studio is up in {plain(Path(home).resolve())}\n\n  fts up      start one here, and open the dashboard\n  fts demo    see the main job work, from data to a fine-tuned model\n  fts --help  everything else",
            file=sys.stderr,
        )
        return 5
    if not sys.stdout.isatty():
        print("the dashboard needs a terminal; `fts --help` lists the commands for scripts", file=sys.stderr)
        return 2
    from tui.app import run

    return run(readonly=readonly)


def _command(words: list[str]) -> int:
    return obeyed(parser().parse_args(words))


def obeyed(arguments: argparse.Namespace) -> int:
    """Do what was parsed; the exit code."""
    try:
        code: int = arguments.run(arguments)
    except ValueError as error:
        code = _refused(error, getattr(arguments, "output", "table"))
    return code


def _refused(error: ValueError, form: str) -> int:
    """A message that can't be made of the words is told by its fields, like one that is refused; other errors go on."""
    from pydantic import ValidationError

    from core.errors import Refused
    from core.messages import REGISTRY
    from core.messages.shape import shape_breaches
    from tui.cli import output

    kind = REGISTRY.get(error.title) if isinstance(error, ValidationError) else None
    if kind is None or not isinstance(error, ValidationError):
        raise error
    return output.fail(Refused.because(shape_breaches(error, kind)), form)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from tui.cli import accesskey, again, clone, cloudera, compare, plan, runner, scored, serve, up, verbs, watch, web
    from tui.cli.parsing import Alone, Parser, Version

    made = Parser(
        prog="fts",
        description="Fine Tuning Studio: a control room for fine-tuning language models. Without a command: the dashboard.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action=Version, help="tell the version and exit")
    made.add_argument("--readonly", action=Alone, help="open a dashboard that only looks: nothing that changes is sent")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up.add(commands)
    nouns = verbs.add_verbs(commands)
    watch.add(nouns)
    clone.add(nouns["job"])
    plan.add(nouns["job"])
    scored.add(nouns["evaluation"])
    compare.add(nouns["compare"])
    again.add(nouns["message"])
    accesskey.add(nouns["endpoint"])
    serve.add(commands)
    web.add(commands)
    cloudera.add(commands)
    runner.add(commands.choices["runner"])
    _send(commands)
    _tools(commands)
    return made


def _send(commands: Any) -> None:
    from core.messages import REGISTRY
    from tui.cli import verbs
    from tui.cli.commands import ALONE
    from tui.cli.fields import as_json
    from tui.cli.parsing import add_command, offer

    send = add_command(commands, "send", ALONE["send"])
    offer(send.add_argument("name", help="the message's name, such as AddDataset"), REGISTRY)
    send.add_argument(
        "--json",
        type=as_json,
        default={},
        help="its fields, an object; @FILE takes them from a file, @- from standard input",
    )
    verbs.common(send, command=True)
    send.set_defaults(run=verbs.send)


def _tools(commands: Any) -> None:
    from core.messages import REGISTRY
    from tui.cli import completion, engine, output, validate
    from tui.cli.commands import ALONE
    from tui.cli.parsing import add_command, offer

    schema = add_command(commands, "schema", ALONE["schema"])
    offer(schema.add_argument("name", nargs="?", help="a message's name"), REGISTRY)
    schema.add_argument("-o", "--output", choices=output.FORMS, default="json", help="table: what there is, in short")
    schema.set_defaults(run=_lazily("schema"))
    validate.add(commands)
    completion.add(commands)
    engine.add(commands)
    doctor = add_command(commands, "doctor", ALONE["doctor"])
    doctor.add_argument("-o", "--output", choices=output.FORMS, default="table", help="how the findings are shown")
    doctor.set_defaults(run=_lazily("doctor"))
    glance = add_command(commands, "overview", ALONE["overview"])
    glance.add_argument("-o", "--output", choices=output.FORMS, default="table", help="how it is shown")
    glance.set_defaults(run=_lazily("overview"))
    bench = add_command(commands, "workbench", ALONE["workbench"])
    bench.add_argument(
        "--jobs", nargs="+", default=[], metavar="ID", help="ids of Cloudera's jobs whose pages are wanted"
    )
    bench.add_argument("--experiments", nargs="+", default=[], metavar="NAME", help="MLflow's, likewise")
    bench.add_argument("-o", "--output", choices=output.FORMS, default="table", help="how it is shown")
    bench.set_defaults(run=_lazily("workbench"))
    demo = add_command(commands, "demo", ALONE["demo"])
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
