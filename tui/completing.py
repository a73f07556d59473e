"""What may come next in a command line, from the CLI's own parser. Knows nothing of Textual, and asks nobody.

Names of resources are what `names` knows of them so far; it is told which are wanted.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.text import plain
from tui.cli.parsing import offered, referred
from tui.cli.references import Listing

MOST = 200  # candidates
FILES = 500  # entries of a directory that are looked at
LONGEST = 80  # characters of a name that is typed; a longer one is called by its id
Named = tuple[str, str]  # (what may be typed, what it is)


@dataclass(frozen=True)
class Candidate:
    """What may stand in place of the last word: `text` as it is typed, `help` for people, both safe to show."""

    text: str
    help: str = ""
    more: bool = False  # it goes on: no space behind it


@dataclass(frozen=True)
class Typed:
    """A line, cut at its last word: the words before, what was typed of the last one, and where that begins."""

    words: list[str]
    last: str
    begins: int


def cut(line: str) -> Typed:
    """Cut as a shell does; quotes may be open."""
    words: list[str] = []
    word, begins, quote, inside = "", len(line), "", False
    escaped = False
    for at, char in enumerate(line):
        if not inside and not char.isspace():
            word, begins, inside = "", at, True
        if escaped:
            word, escaped = word + char, False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote, word = ("", word) if char == quote else (quote, word + char)
        elif char in "'\"" and inside:
            quote = char
        elif char.isspace():
            if inside:
                words.append(word)
            word, begins, inside = "", len(line), False
        else:
            word += char
    return Typed(words, word, begins)


@dataclass
class Place:
    """Where in the parser the last word stands."""

    parser: argparse.ArgumentParser
    given: set[str]  # options that were given
    action: argparse.Action | None  # what the word is for
    option: bool = False  # whether that is an option's value
    lost: bool = False  # a word before is no command


def place(parser: argparse.ArgumentParser, words: Sequence[str]) -> Place:
    """Follow the words before the last one."""
    found = Place(parser, set(), None)
    ahead = _positionals(parser)
    waiting: argparse.Action | None = None
    for word in words:
        if waiting is not None:
            waiting = None
        elif word.startswith("-") and len(word) > 1:
            option = parser_option(found.parser, word.partition("=")[0])
            found.given |= set(option.option_strings) if option else set()
            waiting = option if option is not None and _takes(option) and "=" not in word else None
        elif ahead and isinstance(ahead[0], argparse._SubParsersAction):
            below = ahead[0].choices.get(word)
            if below is None:
                return Place(found.parser, found.given, None, lost=True)
            found, ahead = Place(below, set(), None), _positionals(below)
        elif ahead and ahead[0].nargs not in ("*", "+"):
            ahead = ahead[1:]
    return Place(
        found.parser, found.given, waiting if waiting is not None else next(iter(ahead), None), waiting is not None
    )


def parser_option(parser: argparse.ArgumentParser, name: str) -> argparse.Action | None:
    """The option of that name."""
    return next((action for action in parser._actions if name in action.option_strings), None)


def _positionals(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings]


def _takes(action: argparse.Action) -> bool:
    return action.nargs != 0 and not isinstance(action, argparse.BooleanOptionalAction)


class Completer:
    """Candidates for a line. `names` gives what is known of a listing's resources that hold a text, `files` what is known to be
    in a directory (of the project, or with True of the one that the process is in), each with whether it is a directory."""

    def __init__(
        self,
        parser: argparse.ArgumentParser,
        pages: Mapping[str, str],
        names: Callable[[Listing, str], Iterable[Named]],
        files: Callable[[str, bool], Iterable[tuple[str, bool]]],
    ) -> None:
        self.parser, self.pages, self.names, self.files = parser, pages, names, files

    def candidates(self, line: str) -> tuple[Typed, list[Candidate]]:
        """The line as it is cut, and what its last word may become: what begins so first."""
        typed = cut(line)
        words = typed.words[1:] if typed.words[:1] == ["fts"] else typed.words
        found = place(self.parser, words)
        if typed.last.startswith("-") and not found.option:
            flag, equals, value = typed.last.partition("=")
            action = parser_option(found.parser, flag) if equals else None
            if action is None:
                return typed, fitting(typed.last, self._options(found))
            inner = fitting(value, self._values(action, value))
            return typed, [Candidate(f"{flag}={each.text}", each.help, each.more) for each in inner]
        pages = [Candidate(name, title) for name, title in self.pages.items()] if not typed.words else []
        values = self._values(found.action, typed.last) if found.action is not None else ()
        options = self._options(found) if not typed.last and typed.words and not found.option else ()
        return typed, fitting(typed.last, [*pages, *values, *options])

    def _options(self, found: Place) -> Iterator[Candidate]:
        for action in () if found.lost else found.parser._actions:
            again = isinstance(action, argparse._AppendAction)
            if action.option_strings and (again or not set(action.option_strings) & found.given):
                name = next((each for each in action.option_strings if each.startswith("--")), action.option_strings[0])
                yield Candidate(name, _line(action.help))

    def _values(self, action: argparse.Action, typed: str) -> Iterator[Candidate]:
        if isinstance(action, argparse._SubParsersAction):
            told = {choice.dest: choice.help or "" for choice in action._choices_actions}
            yield from (Candidate(name, _line(told.get(name))) for name in action.choices)
            return
        for each in offered(action):
            yield Candidate(_word(each), _line(action.help) if len(offered(action)) == 1 else "")
        for listing in referred(action):
            yield from (Candidate(_word(name), help) for name, help in self.names(listing, typed))
        if typed.startswith("@"):
            yield from self._files(typed[1:], "@")
        elif _is_file(action):
            yield from self._files(typed)

    def _files(self, typed: str, mark: str = "") -> Iterator[Candidate]:
        """Files whose paths begin so: of the project, behind an @ of the directory that one is in."""
        start = typed[: len(typed) - len(typed.rpartition("/")[2])]
        for name, further in self.files(start, bool(mark)):
            if not name.startswith(".") and plain(name, limit=LONGEST) == name:
                text = _word(f"{mark}{start}{name}") + "/" * further
                yield Candidate(text, "directory" * further, more=further)


def entries(directory: Path) -> list[tuple[str, bool]]:
    """The names in a directory, and whether each is a directory; none when it can't be read. Blocks as disks do."""
    try:
        found = [(path.name, path.is_dir()) for _, path in zip(range(FILES), directory.iterdir(), strict=False)]
    except (OSError, ValueError):
        return []
    return sorted(found)


def _is_file(action: argparse.Action) -> bool:
    """Whether it takes a path: by what it is called."""
    called = f"{action.metavar or ''} {action.dest}".lower()
    return any(each in called for each in ("file", "path", "location", "_dir"))


def fitting(typed: str, found: Iterable[Candidate]) -> list[Candidate]:
    """What begins as was typed; where nothing does, what holds it. Each once, and nothing when all of it is typed."""
    wanted = typed.casefold()
    each_once = {each.text: each for each in found}.values()
    begins = [each for each in each_once if _bare(each.text).casefold().startswith(wanted)]
    if not begins and len(wanted) > 1:
        begins = [each for each in each_once if wanted in f"{_bare(each.text)} {each.help}".casefold()]
    return [] if len(begins) == 1 and begins[0].text == typed else begins[:MOST]


def _bare(text: str) -> str:
    """A word as it is meant, without the quotes that it is typed with."""
    return cut(text).last if text[:1] in "'\"" else text


def _word(text: str) -> str:
    return shlex.quote(text)


def _line(text: str | None) -> str:
    return plain(" ".join((text or "").replace("%%", "%").split()), limit=200)


def taken(line: str, typed: Typed, candidate: Candidate) -> str:
    """The line with the candidate in place of its last word."""
    return line[: typed.begins] + candidate.text + ("" if candidate.more else " ")


def nameable(rows: Iterable[Mapping[str, object]], listing: Listing) -> Iterator[Named]:
    """How each row is typed: by its name where that can be typed, else by its id."""
    for row in rows:
        id = str(row[listing.id])
        name = next((str(row[each]) for each in listing.names if row.get(each)), "")
        typeable = name and len(name) <= LONGEST and plain(name) == name and not name.startswith(("-", "@"))
        yield (name, plain(id, limit=40)) if typeable else (id, plain(name, limit=LONGEST))
