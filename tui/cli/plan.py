"""`fts job plan`: what would come of a training, before it is started."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.errors import NotFound, Refused, StudioError
from core.messages import parse
from core.messages.jobs import CancelJob
from core.messages.planning import GetPlan, PlanFineTuningJob, PlanReply
from tui.cli import console, output, verbs
from tui.cli.console import say, warn
from tui.cli.fields import add_options, payload
from tui.cli.parsing import add_command
from tui.cli.references import hints, resolve
from tui.view import planned

if TYPE_CHECKING:
    from core.client import StudioClient

LOOK = 0.2  # seconds between looks at the plan
WIDEST = 120  # cells of an example
# What a meaning is on a terminal (SGR), where there is one.
CODES = {
    "right": "32",
    "second": "1;35",
    "dim": "2",
    "good": "1;32",
    "bad": "1;31",
    "wait": "33",
    "bar": "36",
    "busy": "1;36",
    "title": "1",
    "bold": "1",
}


def add(jobs: Any) -> None:
    """Declare `fts job plan`."""
    summary = "what would come of a training: rows, tokens, examples, steps, memory, time, where it fits"
    parser = add_command(jobs, "plan", summary, description=f"{summary} (PlanFineTuningJob)")
    verbs.common(parser, command=True)
    add_options(parser, PlanFineTuningJob)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Have the plan made, wait for it, and show it; exit code 1 when it fails as the training would."""
    fields = payload(arguments, PlanFineTuningJob)
    try:
        if arguments.dry_run:
            return verbs.dry_run("PlanFineTuningJob", fields, arguments.output)
        with console.client() as client:
            return _run(client, arguments, fields)
    except StudioError as error:
        return output.fail(error, arguments.output)


def _run(client: StudioClient, arguments: argparse.Namespace, fields: dict[str, Any]) -> int:
    try:
        message = parse("PlanFineTuningJob", resolve(client, fields, "PlanFineTuningJob"))
        answer = client.ask(message, key=arguments.key, timeout=arguments.timeout)
    except (Refused, NotFound) as error:
        code = output.fail(error, arguments.output)
        for text in hints(client, fields, "PlanFineTuningJob", error.message):
            warn(f"  hint: {text}")
        return code
    output.notes(answer.breaches)
    return _show(_made(client, answer.value), arguments.output)


def _made(client: StudioClient, reply: PlanReply) -> PlanReply:
    """The plan at its end; what it does meanwhile is told on stderr, and who stops waiting stops it."""
    told = ""
    try:
        while not reply.status.finished:
            now = f"waiting for {reply.waiting_for}" if reply.waiting_for else reply.phase or reply.status.value
            if now != told:
                warn(now, flush=True)
                told = now
            time.sleep(LOOK)
            reply = client.call(GetPlan(id=reply.id))
    except KeyboardInterrupt:
        client.send(CancelJob(id=reply.id))
        raise
    return reply


def _show(reply: PlanReply, form: str) -> int:
    if form != "table":
        output.show(reply.model_dump(mode="json"), form)
    elif reply.plan is not None:
        width = min(console.room() or WIDEST, WIDEST)
        for line in planned.whole(reply.plan.model_dump(mode="json"), width):
            say(drawn(line))
    elif reply.error is not None:
        warn(f"{reply.error.message}\n{reply.error.hint}".strip())
    else:
        warn(f"the plan was {reply.status.value}")
    return 0 if reply.plan is not None else output.EXIT_FAILED


def drawn(line: Sequence[tuple[str, str]]) -> str:
    """Pieces of text with what they mean, coloured where that is seen."""
    if not console.on_terminal():
        return "".join(text for text, _ in line).rstrip()
    return "".join(f"\x1b[{CODES[meaning]}m{text}\x1b[0m" if meaning in CODES else text for text, meaning in line)
