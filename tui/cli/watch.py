"""Following jobs in a plain terminal or a log: progress lines, the end, the job's log."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import NotFound, Refused, StudioError
from core.messages import parse
from core.text import plain
from tui.cli import console, output, tables
from tui.cli.console import say, warn
from tui.cli.parsing import Parser, add_command, refer
from tui.cli.references import BATCH, COMPARISON, ENDPOINT, EXPORT, JOB, SCORED, Listing, by_name, hint
from tui.view import exported, words
from tui.view.failure import card

if TYPE_CHECKING:
    from core.client import StudioClient

PAGE = 1000  # lines that are asked for at once
EVERY = 5.0  # seconds between lines of progress
LAST = 30  # seconds in which a batch ends once its combinations have


# What a noun's job may be called by.
CALLED: dict[str, tuple[Listing, ...]] = {
    "job": (JOB,),
    "evaluation": (BATCH, SCORED),
    "export": (EXPORT,),
    "compare": (COMPARISON,),
    "endpoint": (ENDPOINT,),
}


def add(verbs: dict[str, Any]) -> None:
    """Declare `fts job|evaluation|export logs`, `events` and `wait`."""
    for noun, listings in CALLED.items():
        logs = _add(verbs[noun], "logs", "a job's log", listings)
        logs.add_argument("-f", "--follow", action="store_true", help="go on as the job does, until it ends")
        logs.add_argument("-n", "--lines", type=int, default=200, help="how many of the last lines")
        logs.add_argument(
            "-g",
            "--grep",
            type=_sought,
            metavar="TEXT",
            help="only lines of the whole log that hold this text, numbered",
        )
        logs.add_argument("--printed", action="store_true", help="what its processes and libraries printed instead")
        logs.add_argument("-o", "--output", choices=output.FORMS, default="table", help="json: an object a line")
        logs.set_defaults(run=_of(run_logs), noun=noun)
        events = _add(verbs[noun], "events", "what happened to a job", listings)
        events.add_argument("-o", "--output", choices=output.FORMS, default="table")
        events.set_defaults(run=_of(run_events), noun=noun)
        wait = _add(
            verbs[noun], "wait", "show progress and wait for the end; exit code 1 when it did not succeed", listings
        )
        wait.add_argument("-o", "--output", choices=output.FORMS, default="table", help="how its end is shown")
        wait.set_defaults(run=_of(run_wait), noun=noun)


def _add(verbs: Any, name: str, text: str, listings: tuple[Listing, ...]) -> Parser:
    made = add_command(verbs, name, text)
    refer(made.add_argument("id", help=listings[0].help), listings)
    return made


def _sought(text: str) -> str:
    """A text to look for, as long as the message takes it."""
    try:
        parse("GetJobLog", {"id": "", "contains": text})
    except Refused as error:
        raise argparse.ArgumentTypeError("; ".join(each.message for each in error.breaches)) from None
    return text


def _of(body: Callable[[StudioClient, str, argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """A command about one job, which the words name."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            with console.client() as client:
                return _named(client, arguments, body)
        except StudioError as error:
            return output.fail(error, arguments.output)

    return run


def _named(client: StudioClient, arguments: argparse.Namespace, body: Callable[..., int]) -> int:
    listings = CALLED[arguments.noun]
    try:
        return body(client, by_name(client, listings, arguments.id), arguments)
    except NotFound as error:
        code = output.fail(error, arguments.output)
        if repr(arguments.id) in error.message:
            warn(f"  hint: {hint(client, listings[0], arguments.id)}")
        return code


def run_wait(client: StudioClient, id: str, arguments: argparse.Namespace) -> int:
    """Wait for a job's end."""
    return wait_for(client, id, noun=arguments.noun, form=arguments.output)


def wait_for(client: StudioClient, id: str, *, noun: str = "job", form: str = "table") -> int:
    """Print progress until the job has ended; 0 when it succeeded. JSON and YAML show its end alone, progress is on stderr."""
    progress = say if form == "table" else warn
    told = ""
    printed = 0.0
    while True:
        job = state(client, id, noun)
        line = describe(job)
        if line != told and (
            time.monotonic() - printed >= EVERY or job.status.finished or told.split(" ")[0] != line.split(" ")[0]
        ):
            progress(line, flush=True)
            told, printed = line, time.monotonic()
        if job.status.finished:
            if form != "table":
                output.show(job.model_dump(mode="json"), form)
            else:
                _end(client, id, job)
            return 0 if job.status.value == "succeeded" else output.EXIT_FAILED
        time.sleep(0.5)


def _results(client: StudioClient, id: str) -> dict[str, Any]:
    """What came of a batch, once its files are written too: its last combination ends before it does."""
    from core.messages.results import GetEvaluationResults

    deadline = time.monotonic() + LAST
    while not (told := client.call(GetEvaluationResults(parent_job_id=id))).status.finished:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return told.model_dump(mode="json")


def _end(client: StudioClient, id: str, job: Any) -> None:
    """What came of it: why it failed, the adapter or the model, or the scores side by side."""
    if job.error is not None:
        warn("\n".join(card(job.error.model_dump(mode="json"))))
    elif isinstance(getattr(job, "scores", None), dict):
        from tui.cli.scored import show_results

        show_results(_results(client, id))
        warn(f"`fts evaluation results {id} --all` tells every metric")
        warn(f"`fts evaluation rows {id} --order differs` shows the answers side by side")
    elif job.status.value == "succeeded" and getattr(job, "result", None) is not None:
        row = job.model_dump(mode="json")
        say(plain(f"{job.model_name} is at {exported.place(row)}"))
        warn(plain(exported.alike(row)))
    elif job.status.value == "succeeded" and getattr(job, "auto_add_adapter", False):
        for what, id in (("adapter", job.adapter_id), ("model", job.trained_model_id)):
            if id is not None:
                say(plain(f"the {what} is {job.adapter_name}: {id}"))


def state(client: StudioClient, id: str, noun: str = "job") -> Any:
    """The job's state; of an evaluation batch, that of its first unfinished row, else of its last."""
    if noun == "evaluation":
        rows = _batch(client, id)
        return next(
            (row for row in rows if not row.status.finished), next((row for row in rows if row.error), rows[-1])
        )
    if noun == "export":
        from core.messages.export import GetExportJob

        return client.call(GetExportJob(id=id)).export_job
    if noun == "compare":
        from core.messages.comparing import GetComparison

        return client.call(GetComparison(id=id, limit=1)).comparison
    if noun == "endpoint":
        from core.messages.endpoints import GetEndpoint

        return client.call(GetEndpoint(id=id)).endpoint
    from core.messages.fine_tuning import GetFineTuningJob

    return client.call(GetFineTuningJob(id=id)).fine_tuning_job


def _batch(client: StudioClient, id: str) -> list[Any]:
    from core.messages.evaluation import MOST_PAIRS, ListEvaluationJobs

    rows: list[Any] = client.call(ListEvaluationJobs(parent_job_id=id, limit=MOST_PAIRS)).evaluation_jobs
    if not rows:
        raise NotFound(f"there is no evaluation batch with id {id!r}")
    return rows


def describe(job: Any) -> str:
    """A job's progress as one line."""
    parts = [job.status.value.replace("_", " ")]
    if job.waiting_for:
        parts.append(f"waiting for {job.waiting_for}")
        if starts := words.starts(job.might_start_at):
            parts.append(starts)
    if job.held:
        parts.append(words.held(job.held.model_dump()))
    elif job.phase and not job.status.finished:
        parts.append(job.phase)
    if job.total_steps:
        parts.append(f"{bar(job.step / job.total_steps)} {job.step}/{job.total_steps}")
    if stop := words.stopped_early(job.model_dump()):
        parts.append(stop)
    if "loss" in job.last_metrics:
        parts.append(f"loss {job.last_metrics['loss']:.3f}")
    if job.tokens_per_second and not job.status.finished:
        parts.append(f"{job.tokens_per_second:.0f} tokens/s")
    if job.eta_seconds and not job.status.finished:
        parts.append(f"{job.eta_seconds:.0f} s left")
    return plain("  ".join(parts))


def bar(share: float, width: int = 20) -> str:
    """A progress bar of text."""
    full = round(max(0.0, min(1.0, share)) * width)
    return "█" * full + "░" * (width - full)


def run_logs(client: StudioClient, id: str, arguments: argparse.Namespace) -> int:
    """Print a job's log, or the lines of it that hold a text; with -f go on until the job has ended."""
    from core.messages.jobs import GetJobLog

    asked: dict[str, Any] = {"id": id, "contains": arguments.grep, "printed": arguments.printed}
    lines = PAGE if arguments.grep else arguments.lines
    page = client.call(GetJobLog(**asked, limit=max(1, min(PAGE, lines))))
    if not page.lines and not arguments.grep:
        warn(f"no log yet: {describe(state(client, id, arguments.noun))}")
    found = len(page.lines)
    _print(page.lines, arguments.output)
    while arguments.follow or page.has_more:
        ended = state(client, id, arguments.noun).status.finished
        page = client.call(
            GetJobLog(
                **asked,
                attempt=page.attempt,
                offset=page.offset,
                line=page.line if arguments.grep else None,
                limit=PAGE,
            )
        )
        found += len(page.lines)
        _print(page.lines, arguments.output)
        if ended and not page.has_more:
            break
        if not page.lines and not page.has_more:
            time.sleep(0.3)
    return output.EXIT_FAILED if arguments.grep and not found else 0


def _print(lines: list[Any], form: str) -> None:
    for line in lines:
        say(_formed(line, form), flush=True)


def _formed(line: Any, form: str) -> str:
    """A line of the log as text, a JSON object, or an item of a YAML list: each is whole, since there may be more to come."""
    if form == "json":
        return json.dumps(line.model_dump(mode="json"))
    if form == "yaml":
        import yaml

        return str(yaml.safe_dump([line.model_dump(mode="json")], sort_keys=False)).rstrip()
    number = "" if line.number is None else f"{line.number}: "
    when = time.strftime("%H:%M:%S ", time.localtime(line.at)) if line.at else ""
    return f"{number}{when}{plain(line.text, limit=100_000, lines=True)}"


def run_events(client: StudioClient, id: str, arguments: argparse.Namespace) -> int:
    """Print what happened to a job."""
    from core.messages.events import ListEvents

    page = client.call(ListEvents(resource_id=id, limit=5000))
    if not page.events:
        raise NotFound(f"nothing is known of a job with id {id!r}")
    events = page.model_dump(mode="json", include={"events"})
    if arguments.output == "table":
        tables.table(events["events"], ["at", "type", "message"])
    else:
        output.show(events, arguments.output)
    return 0
