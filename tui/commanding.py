"""What is typed behind `:`, run by the CLI's own parser and functions, in a thread of this process.

What it prints is kept for the screen, whom it asks is this dashboard's studio, and what changes something is sent the way
that all of the dashboard's acts go: asked about when it destroys, refused when the dashboard only looks.
"""

from __future__ import annotations

import argparse
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

from core.client import Answer, StudioClient
from core.errors import StudioError
from core.messages import Command, Message
from core.text import plain
from tui.acting import question_of, told
from tui.cli import console
from tui.cli.commands import ALONE
from tui.cli.parsing import near
from tui.completing import place
from tui.history import History
from tui.view.pages import PAGES

if TYPE_CHECKING:
    from tui.app import Dashboard

Landing = Callable[[], None]
MOST = 2_000_000  # characters of what a command prints that are kept
# What a dashboard does not do: it is one already, or would have to hold still for it.
ELSEWHERE = {
    ("up",): "the studio is up: this is its dashboard",
    ("demo",): "the demo shows itself in a terminal of its own: run `fts demo` there",
    ("cloudera", "setup"): "the project is set up without a dashboard: run `fts cloudera setup` there",
    ("cloudera", "start"): "the studio is up: this is its dashboard",
    ("web",): "a dashboard does not serve others: run `fts web` in a shell",
}
# What destroys without a message to the studio, and is asked about.
ASKED = {
    ("down",): "Stop the studio that this dashboard shows? Jobs that train go on; `fts up` starts it again.",
    ("engine", "remove"): "Remove the engine from this host?",
}
# What writes on this machine, or tells a secret: not for a dashboard that only looks.
WRITES = {("down",), ("serve",), ("engine", "install"), ("engine", "remove"), ("evaluation", "export"), ("endpoint", "key")}  # fmt: skip
# Where the progress of a noun's job is seen.
SHOWN = {
    "job": "show_job",
    "evaluation": "show_batch",
    "export": "show_export",
    "endpoint": "show_endpoint",
    "compare": "show_comparison",
}
# Where one goes with what a message started: the method of the dashboard, and the id in the reply.
LANDINGS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "StartFineTuningJob": ("show_job", lambda value: str(value.fine_tuning_job.id)),
    "StartEvaluationJob": ("show_batch", lambda value: str(value.parent_job_id)),
    "StartComparison": ("show_comparison", lambda value: str(value.comparison.id)),
    "ExportModel": ("show_export", lambda value: str((value.export_job or value.endpoint).id)),
}


class Declined(Exception):
    """The question was answered with no."""


class Running:
    """One command: what it printed so far, how it ended, and a way to stop waiting for it."""

    def __init__(self, line: str, width: int) -> None:
        self.line, self.width = line, width
        self.lock = threading.Lock()
        self.pieces: list[str] = []
        self.printed = 0
        self.code: int | None = None  # None: it runs
        self.stopped = threading.Event()
        self.landing: Landing | None = None
        self.done = ""  # what the last act came to, in a word
        self.asking = False  # a question is open, which is all that is to be seen

    def write(self, text: str, error: bool) -> None:
        """Take what the command prints; who stopped waiting for it stops it here."""
        self.check()
        with self.lock:
            left = MOST - self.printed
            if left > 0:
                self.pieces.append(plain(text[:left], limit=MOST, lines=True))
                if len(text) > left:
                    self.pieces.append("\n… there is more: give --limit, or a file\n")
            self.printed += len(text)

    def check(self) -> None:
        """What ctrl+c is in a shell, once."""
        if self.stopped.is_set():
            self.stopped.clear()
            raise KeyboardInterrupt

    @property
    def text(self) -> str:
        """All that was printed, safe to show."""
        with self.lock:
            return "".join(self.pieces)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.code is not None


class Door:
    """The studio's client, as a command inside the dashboard has it."""

    def __init__(self, dashboard: Dashboard, running: Running) -> None:
        self.dashboard, self.running = dashboard, running

    def ask(self, message: Message[Any], *, key: str | None = None, timeout: float | None = None) -> Answer[Any]:
        """Queries go straight; what changes something goes the way of all acts."""
        self.running.check()
        if not isinstance(message, Command):
            return self.dashboard.studio.put(message, timeout, key)  # type: ignore[no-any-return]
        name = type(message).__name__
        question = question_of(message)
        if question and not self.dashboard.readonly:
            agree(self.dashboard, self.running, f"{question}\n\n:{self.running.line}", message)
        answer: Answer[Any] = self.dashboard.acting.perform(message, key, timeout)
        self.running.done = told(name, answer)
        if name in LANDINGS:
            method, id = LANDINGS[name]
            self.running.landing = lambda: getattr(self.dashboard, method)(id(answer.value))
        return answer

    def call(self, message: Message[Any], *, key: str | None = None, timeout: float | None = None) -> Any:
        """The reply's value."""
        return self.ask(message, key=key, timeout=timeout).value

    def send(self, message: Message[Any], *, key: str | None = None) -> None:
        """Nobody waits for the reply; here it comes at once."""
        self.ask(message, key=key)

    rows = StudioClient.rows

    def follow_job(self, job_id: str, records_id: str = "0-0", *, block: float = 1.0) -> Iterator[Any]:
        """A job's records, until one stops waiting for them."""
        for entry in self.dashboard.studio.client.follow_job(job_id, records_id, block=block):
            self.running.check()
            yield entry


def agree(dashboard: Dashboard, running: Running, question: str, message: Message[Any] | None = None) -> None:
    """Ask in the app, from the command's thread; raises Declined on no, or when nobody is there to answer."""
    answered, yes = threading.Event(), [False]

    def take(answer: bool | None) -> None:
        yes[0] = bool(answer)
        answered.set()

    def ask() -> None:
        from tui.acting import as_code
        from tui.screens.confirm import ConfirmScreen

        fields = message.model_dump(mode="json", exclude_unset=True) if message is not None else {}
        code = (lambda: as_code(type(message).__name__, [fields])) if message is not None else None
        dashboard.push_screen(ConfirmScreen(question, code), take)

    running.asking = True
    dashboard.from_thread(ask)
    while not answered.wait(0.2):
        if dashboard.studio.closing.is_set():
            break
    running.asking = False
    if not yes[0]:
        raise Declined


class Commanding:
    """The command line's memory and its runs. The parser is made when a command goes on, in a thread."""

    def __init__(self, dashboard: Dashboard) -> None:
        from core.settings import settings

        self.dashboard = dashboard
        self.history = History(settings().root / "dashboard" / "history")
        self.runs: list[Running] = []
        self.made: argparse.ArgumentParser | None = None
        self.making = threading.Lock()

    def parser(self) -> argparse.ArgumentParser:
        """The CLI's parser. Takes a third of a second the first time: call it in a thread."""
        from tui.cli.main import parser

        with self.making:
            if self.made is None:
                self.made = parser()
            return self.made

    def knows(self, word: str) -> bool:
        """Whether a word is a command by itself, and no beginning of a page's name."""
        return word in ALONE

    def run(self, line: str) -> Running:
        """Run a line; what comes of it is shown by `self.dashboard`, which looks after the Running."""
        room = getattr(self.dashboard.screen, "room", self.dashboard.size.width)  # beside the sidebar
        running = Running(line, max(40, room - 4))
        self.runs = [each for each in self.runs if not each.over] + [running]
        threading.Thread(target=self._run, args=(running,), name=f"command {line[:20]}", daemon=True).start()
        return running

    def close(self) -> None:
        """The dashboard is left: what waits for something stops, and what is being sent has a moment to be."""
        for running in self.runs:
            running.stopped.set()

    def _run(self, running: Running) -> None:
        there = console.Inside(
            running.write,
            running.width,
            lambda: cast(AbstractContextManager[StudioClient], nullcontext(Door(self.dashboard, running))),
            self.dashboard.readonly,
        )
        code = 1
        try:
            with console.inside(there):
                code = self._obey(running)
        except KeyboardInterrupt:
            code = 130
        except Declined:
            code = self._tell(running, "nothing was done")
        except BaseException as error:  # whatever a command throws, it is shown, and the dashboard goes on
            code = self._tell(running, f"{type(error).__name__}: {error}")
        finally:
            running.code = code

    def _tell(self, running: Running, text: str) -> int:
        running.stopped.clear()
        running.write(f"{text}\n", True)
        return 1

    def _obey(self, running: Running) -> int:
        arguments = self._read(running)
        if isinstance(arguments, int):
            return arguments
        path = tuple(filter(None, (getattr(arguments, "command", None), getattr(arguments, "verb", None))))
        if reason := ELSEWHERE.get(path):
            console.warn(reason)
            return 2
        if self.dashboard.readonly and path in WRITES:
            raise self.dashboard.studio.refusal()
        if path in ASKED:
            agree(self.dashboard, running, ASKED[path])
        if path[-1:] == ("wait",) or getattr(arguments, "follow", False):
            return self._watch(running, arguments)
        if getattr(arguments, "wait", False):
            arguments.wait = False  # its own screen shows how it goes on
        return _called(arguments)

    def _read(self, running: Running) -> argparse.Namespace | int:
        """The words as the parser reads them, or the exit code of help and mistakes."""
        try:
            words = shlex.split(running.line)
        except ValueError as error:
            console.warn(f"{error}: a quote is open" if "quot" in str(error) else error)
            return 2
        words = words[1:] if words[:1] == ["fts"] else words
        known = commands(self.parser())
        if len(words) > 1 and words[0] not in known and words[0].removesuffix("s") in known:
            words[0] = words[0].removesuffix("s")  # a page's name: `:jobs list`
        if (
            len(words) == 2
            and words[0] in SHOWN
            and words[1] not in self._verbs(words[0])
            and words[1][:1] not in ("", "-")
        ):
            return argparse.Namespace(noun=words[0], id=words[1], command=words[0], verb="wait")  # `job NAME` opens it
        if words and not words[0].startswith("-") and words[0] not in known:
            places = [*known, *(page.name for page in PAGES)]
            console.warn(f"there is no :{plain(words[0], limit=40)}{near(words[0], places)}; tab lists what there is")
            return 2
        try:
            return self.parser().parse_args(words)
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else 2

    def _verbs(self, noun: str) -> list[str]:
        """What can be done with a noun's resources."""
        return commands(place(self.parser(), [noun]).parser)

    def _watch(self, running: Running, arguments: argparse.Namespace) -> int:
        """Waiting and following is what the job's own screen is for."""
        from tui.cli import output
        from tui.cli.references import by_name, hint
        from tui.cli.watch import CALLED, state

        noun, client = arguments.noun, Door(self.dashboard, running)
        try:
            id = by_name(cast(StudioClient, client), CALLED[noun], arguments.id)
            state(cast(StudioClient, client), id, noun)
        except StudioError as error:
            code = output.fail(error, "table")
            if repr(arguments.id) in str(error):
                console.warn(f"  hint: {hint(cast(StudioClient, client), CALLED[noun][0], arguments.id)}")
            return code
        running.landing = lambda: getattr(self.dashboard, SHOWN[noun])(id)
        return 0


def commands(parser: argparse.ArgumentParser) -> list[str]:
    """The words that a line may begin with."""
    return (
        [name for action in parser._subparsers._group_actions for name in action.choices or ()]
        if parser._subparsers
        else []
    )


def _called(arguments: argparse.Namespace) -> int:
    """Run what was parsed, as `fts` does."""
    from tui.cli.main import obeyed

    try:
        return obeyed(arguments)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except StudioError as error:
        from tui.cli import output

        return output.fail(error, "table")
