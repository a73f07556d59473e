"""Where a command of the CLI prints, and whom it asks: this process's terminal and studio, or the dashboard that runs it.

A command prints by say() and warn() and takes its client from client(), so that the dashboard's `:` can run it in a
thread: nothing reaches the terminal that it draws on, and what changes something is asked about and refused as elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from core.text import plain

if TYPE_CHECKING:
    from core.client import StudioClient


@dataclass(frozen=True)
class Inside:
    """A dashboard that runs a command: what takes its text, how wide a line may be, its client, whether it only looks."""

    write: Callable[[str, bool], object]  # (text, whether it belongs on stderr)
    width: int
    client: Callable[[], AbstractContextManager[StudioClient]]
    readonly: bool = False


OURS = re.compile(r"(\x1b\[(?:[0-2]|1;3[1-6]|3[1-6])m|\r\x1b\[K)")  # plan's colours, and lines that are written anew
_INSIDE: ContextVar[Inside | None] = ContextVar("inside", default=None)


@contextmanager
def inside(dashboard: Inside) -> Iterator[None]:
    """Commands of this thread run inside a dashboard."""
    token = _INSIDE.set(dashboard)
    try:
        yield
    finally:
        _INSIDE.reset(token)


def host() -> Inside | None:
    """The dashboard that runs this command; None in a shell."""
    return _INSIDE.get()


def say(*values: Any, end: str = "\n", flush: bool = False) -> None:
    """What print() does to standard output."""
    _put(values, end, flush, error=False)


def warn(*values: Any, end: str = "\n", flush: bool = False) -> None:
    """What print() does to standard error."""
    _put(values, end, flush, error=True)


def _put(values: tuple[Any, ...], end: str, flush: bool, *, error: bool) -> None:
    """What a person looks at is made safe here, whatever was done before; a file or a pipe gets what it was given."""
    said = " ".join(map(str, values))
    if (there := _INSIDE.get()) is not None:
        there.write(_safe(said) + end, error)
        return
    to = sys.stderr if error else sys.stdout
    print(_safe(said) if to.isatty() else said, end=end, flush=flush, file=to)  # clean: scripts want it as it is


def _safe(text: str) -> str:
    """Without what a terminal obeys, but for the colours and the rewritten lines of our own."""
    return "".join(
        part if OURS.fullmatch(part) else plain(part, limit=len(part) * 10, lines=True) for part in OURS.split(text)
    )


def client() -> AbstractContextManager[StudioClient]:
    """The client of the studio."""
    if (there := _INSIDE.get()) is not None:
        return there.client()
    from core.client import StudioClient

    return StudioClient(program="fts")


def on_terminal() -> bool:
    """Whether colours and rewritten lines reach a terminal: standard output's, never a dashboard's."""
    return _INSIDE.get() is None and sys.stdout.isatty()


def called() -> str:
    """How `fts` is called here: by its place where the shell would not find it."""
    beside = Path(sys.executable).with_name("fts")
    if shutil.which("fts") is not None or not beside.exists():
        return "fts"
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)


def room() -> int | None:
    """How many cells a line has; None when the output goes into a file or pipe."""
    if (there := _INSIDE.get()) is not None:
        return there.width
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def standard_input() -> TextIO:
    """What is piped in; raises ValueError inside a dashboard, whose keys come that way."""
    if _INSIDE.get() is not None:
        raise ValueError("a dashboard has no standard input; name a file instead")
    return sys.stdin


def readable(path: str) -> str:
    """A file that the command reads; raises ValueError inside a dashboard that only looks, which may be a stranger's."""
    there = _INSIDE.get()
    if there is not None and there.readonly:
        raise ValueError("a dashboard that only looks (--readonly) reads no files")
    return path
