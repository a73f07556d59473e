"""`fts compare ask`: a question to a session, and its answers as they are generated."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.errors import NotFound, StudioError
from core.hearing import Hearing
from core.messages import parse
from core.messages.comparing import (
    BASE,
    Answer,
    AskComparison,
    AskedQuestion,
    ComparisonMetadata,
    ComparisonReply,
    GetComparison,
    StopAnswers,
)
from core.text import plain
from tui.cli import console, output, verbs
from tui.cli.console import say, warn
from tui.cli.fields import add_options, as_text, payload
from tui.cli.parsing import add_command, refer
from tui.cli.references import COMPARISON, by_name, hint
from tui.cli.watch import describe

if TYPE_CHECKING:
    from core.client import StudioClient

AGAIN = 2.0  # seconds without a piece after which the session is asked how it is
LIMIT = 1_000_000  # characters of an answer


def add(compare: Any) -> None:
    """Declare `fts compare ask`."""
    summary = "ask a session, and show the answers as they are generated"
    parser = add_command(compare, "ask", summary, description=f"{summary} (AskComparison)")
    verbs.common(parser, command=True)
    refer(parser.add_argument("id", help="id of a session, or its beginning"), (COMPARISON,))
    parser.add_argument("prompt", nargs="?", help="the text as the model is to read it; @FILE takes it from a file")
    parser.add_argument(
        "--voice", action="append", metavar="NAME", help="who answers: base, or an adapter's name; again for each"
    )
    add_options(parser, AskComparison, without=("id", "prompt", "voices"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print what comes; exit code 1 when one could not answer. Ctrl-C stops the answers."""
    fields = {**payload(arguments, AskComparison), "id": arguments.id}
    if arguments.prompt is not None:
        fields["prompt"] = as_text(arguments.prompt)
    try:
        if arguments.dry_run:
            return verbs.dry_run("AskComparison", fields, arguments.output)
        with console.client() as client:
            return _ask(client, arguments, fields)
    except StudioError as error:
        return output.fail(error, arguments.output)


def _ask(client: StudioClient, arguments: argparse.Namespace, fields: dict[str, Any]) -> int:
    id = by_name(client, (COMPARISON,), arguments.id)
    try:
        session = client.call(GetComparison(id=id, limit=1)).comparison
    except NotFound as error:
        code = output.fail(error, arguments.output)
        warn(f"  hint: {hint(client, COMPARISON, arguments.id)}")
        return code
    if arguments.voice:
        fields["voices"] = [_voice(session, each) for each in arguments.voice]
    message: AskComparison = parse("AskComparison", {**fields, "id": id})  # type: ignore[assignment]
    asked = client.ask(message, key=arguments.key, timeout=arguments.timeout).value
    question = _heard(client, id, asked.number, Shown(session) if arguments.output == "table" else None)
    if arguments.output != "table":
        output.show(question.model_dump(mode="json"), arguments.output)
    return output.EXIT_FAILED if any(each.error for each in question.answers.values()) else 0


def _voice(session: ComparisonMetadata, name: str) -> str:
    """The voice of that name; an unknown one goes as it is, for the studio to judge."""
    names = {"base": BASE, **{each.name: each.id for each in session.adapters if each.name}}
    return names.get(name, name)


class Shown:
    """Prints answers one below the other, each piece as it comes; who speaks beside another is printed after it."""

    def __init__(self, session: ComparisonMetadata) -> None:
        self.session = session
        self.rowed = False  # the row that was drawn is told
        self.headed = set[str]()
        self.over = set[str]()
        self.printed = ""  # of the one that speaks

    def show(self, question: AskedQuestion) -> None:
        """What is new."""
        if question.random and question.prompt is not None and not self.rowed:
            self._row(question)
        for voice in question.voices:
            if voice in self.over:
                continue
            answer = question.answers.get(voice, Answer())
            if answer.text or answer.done:
                self._piece(voice, answer)
            if not answer.done:
                return
            self._end(voice, answer)

    def _row(self, question: AskedQuestion) -> None:
        self.rowed = True
        note = "" if question.held_out else ", which may have been trained on"
        say(f"row {question.row}{note}:\n{plain(question.prompt, limit=LIMIT, lines=True)}")
        if question.expected:
            say(f"expected: {plain(question.expected, limit=LIMIT, lines=True)}")

    def _piece(self, voice: str, answer: Answer) -> None:
        if voice not in self.headed:
            say(f"── {plain(self.session.voice(voice))}", flush=True)
            self.headed.add(voice)
            self.printed = ""
        begun = answer.text.startswith(self.printed)  # else another attempt says it anew
        new = answer.text[len(self.printed) :] if begun else f"\n{answer.text}"
        say(plain(new, limit=LIMIT, lines=True), end="", flush=True)
        self.printed = answer.text

    def _end(self, voice: str, answer: Answer) -> None:
        say()
        self.over.add(voice)
        if answer.error:
            warn(f"{plain(self.session.voice(voice))} failed: {plain(answer.error)}")
        else:
            warn(f"   {ending(answer)}")


def ending(answer: Answer) -> str:
    """How an answer ended, and how long it took."""
    rate = f", {answer.tokens / answer.seconds:.1f} tokens/s" if answer.seconds else ""
    first = f", the first after {answer.first_seconds:.2f} s" if answer.first_seconds is not None else ""
    why = {"eos": "", "length": ", cut at max_new_tokens", "stopped": ", stopped"}.get(answer.reason or "", "")
    return f"{answer.tokens} tokens in {answer.seconds:.2f} s{rate}{first}{why}"


def show_session(value: Mapping[str, Any]) -> None:
    """A page of questions, each with its answers below it."""
    reply = ComparisonReply.model_validate(value)
    for question in reply.questions:
        say(f"\n{question.number}: {plain(question.prompt or 'a row is being drawn', limit=LIMIT, lines=True)}")
        if question.expected:
            say(f"expected: {plain(question.expected, limit=LIMIT, lines=True)}")
        for voice, answer in question.answers.items():
            how = f"failed: {answer.error}" if answer.error else ending(answer)
            say(f"── {plain(reply.comparison.voice(voice))}  ({plain(how)})")
            say(plain(answer.text, limit=LIMIT, lines=True))
    if reply.has_more:
        warn(f"there are more: --before {reply.questions[0].number}")


def _heard(client: StudioClient, id: str, number: int, shown: Shown | None) -> AskedQuestion:
    """The question when all its answers are done."""
    hearing, told = Hearing(), ""
    try:
        while True:
            reply = _asked(client, id, number)
            hearing.begin(reply)
            if reply.comparison.status.value != "running" and (line := describe(reply.comparison)) != told:
                warn(line, flush=True)
                told = line
            question = hearing.questions[number]
            if shown is not None:
                shown.show(question)
            if question.done:
                return question
            if _follow(client, id, reply.records_id, hearing, number, shown):
                return hearing.questions[number]
    except KeyboardInterrupt:
        client.call(StopAnswers(id=id, number=number))
        raise


def _asked(client: StudioClient, id: str, number: int) -> ComparisonReply:
    return client.call(GetComparison(id=id, before=number + 1, limit=1))


def _follow(client: StudioClient, id: str, records_id: str, hearing: Hearing, number: int, shown: Shown | None) -> bool:
    """Hear pieces until all is said; False when none came for a while, or one is missing."""
    heard = time.monotonic()
    for entry in client.follow_job(id, records_id, block=0.5):
        if entry is not None and number in hearing.take([entry]):
            heard = time.monotonic()
            if shown is not None:
                shown.show(hearing.questions[number])
            if hearing.questions[number].done:
                return True
        if time.monotonic() - heard > AGAIN:
            return False
    return False
