"""The parser of `fts`: an error is one line that says what comes nearest to what was typed, and where the rest is told."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from core.text import plain
from tui.cli.console import say, warn

if TYPE_CHECKING:
    from tui.cli.references import Listing


class Parser(argparse.ArgumentParser):
    """argparse's, but a mistake is told in a line instead of below thirty lines of options, and half a name is a mistake."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **{"allow_abbrev": False, **more})

    def error(self, message: str) -> NoReturn:
        """What is wrong with the words; exit code 2."""
        mark = "" if message.endswith("?") else ";"
        self.exit(2, plain(f"{self.prog}: {message}{mark} `{self.prog} --help` tells more", limit=2_000) + "\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Help and errors, to where the command prints."""
        if message:
            (say if file is sys.stdout else warn)(message, end="")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A command's own parser complains of its unknown options, since it knows the ones that there are."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and not self._subparsers:
            self.error(self._unknown(unknown[0]))
        return found, unknown

    def _unknown(self, word: str) -> str:
        known = [name for action in self._actions for name in action.option_strings]
        kind = "option" if word.startswith("-") else "place for"
        return f"there is no {kind} {word}{near(word.partition('=')[0], known)}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(each) for each in action.choices]
        if isinstance(action, argparse._SubParsersAction):
            self.error(f"there is no {self.prog} {value}{near(value, names)}")
        raise argparse.ArgumentError(action, f"{value!r} is none of {', '.join(names)}")


def near(word: str, known: Iterable[str]) -> str:
    """ "; did you mean …?" when something known comes near to the word."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), n=2)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def offer(action: argparse.Action, values: Iterable[str]) -> None:
    """What a shell may complete a word with, where the words are judged by rules and not here."""
    action.offered = tuple(values)  # type: ignore[attr-defined]


def offered(action: argparse.Action) -> tuple[str, ...]:
    """What may stand for a word: its choices, else what is offered."""
    known = action.choices or getattr(action, "offered", None) or ()
    return tuple(str(each) for each in known)


def refer(action: argparse.Action, listings: Iterable[Listing]) -> None:
    """Where the resources are listed that a word may name."""
    action.listings = tuple(listings)  # type: ignore[attr-defined]


def referred(action: argparse.Action) -> tuple[Listing, ...]:
    """Where what a word may name is listed."""
    return getattr(action, "listings", ())


def add_command(commands: Any, name: str, text: str, **more: Any) -> Parser:
    """A command whose help says at its top what the list of commands says of it."""
    made: Parser = commands.add_parser(name, help=text, **{"description": text, **more})
    return made


def add_group(commands: Any, name: str, text: str) -> Any:
    """A noun, whose verbs are listed when none is given; returns what its verbs are added to."""
    made = add_command(commands, name, text)
    made.set_defaults(run=lambda arguments: listed(made))
    return made.add_subparsers(dest="verb", metavar="VERB")


def listed(made: argparse.ArgumentParser) -> int:
    """Show the help where a word is missing; the exit code of wrong usage."""
    made.print_help(sys.stderr)
    return 2


class Version(argparse.Action):
    """--version; the package's metadata are read only then."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, **more)

    def __call__(self, parser: argparse.ArgumentParser, *words: Any) -> NoReturn:
        say(f"fts {version()}")
        parser.exit(0)


class Alone(argparse.Action):
    """An option of bare `fts`, which needs no parser; beside a command it has no meaning."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, **more)

    def __call__(self, parser: argparse.ArgumentParser, *words: Any) -> NoReturn:
        parser.error(f"{self.option_strings[0]} is for the dashboard: give it without a command, or behind `fts up`")


def version() -> str:
    """The installed version; 0 when run from a copy that nobody installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("fine-tuning-studio")
    except PackageNotFoundError:
        return "0"
