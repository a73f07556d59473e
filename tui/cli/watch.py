"""Following jobs in a plain terminal or a log: progress lines, the end, the job's log."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.text import plain
from tui.cli import output
from tui.cli.parsing import add_command
from tui.view import words

if TYPE_CHECKING:
    from core.client import StudioClient

EVERY = 5.0  # seconds between lines of progress


def add(verbs: dict[str, Any]) -> None:
    """Declare `fts job logs` and `fts job|evaluation wait`."""
    logs = add_command(verbs["job"], "logs", "a job's log")
    logs.add_argument("id", help="id, or the adapter's name")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as the job does, until it ends")
    logs.add_argument("-n", "--lines", type=int, default=200, help="how many of the last lines")
    logs.add_argument("-o", "--output", choices=output.FORMS, default="table", help="json: an object a line")
    logs.set_defaults(run=run_logs)
    events = add_command(verbs["job"], "events", "what happened to a job")
    events.add_argument("id", help="id, or the adapter's name")
    events.add_argument("-o", "--output", choices=output.FORMS, default="table")
    events.set_defaults(run=run_events)
    for noun in ("job", "evaluation"):
        wait = add_command(
            verbs[noun], "wait", "show progress and wait for the end; exit code 1 when it did not succeed"
        )
        wait.add_argument("id", help="id, or the adapter's name" if noun == "job" else "the batch's id")
        wait.add_argument("-o", "--output", choices=output.FORMS, default="table", help="how its end is shown")
        wait.set_defaults(run=run_wait, evaluation=noun == "evaluation")


def _job_id(client: StudioClient, text: str) -> str:
    from tui.cli.references import by_name

    return by_name(client, "fine_tuning_job_id", text)


def run_wait(arguments: argparse.Namespace) -> int:
    """Wait for a job's end."""
    from core.client import StudioClient

    try:
        with StudioClient() as client:
            id = arguments.id if arguments.evaluation else _job_id(client, arguments.id)
            return wait_for(client, id, evaluation=arguments.evaluation, form=arguments.output)
    except StudioError as error:
        return output.fail(error, arguments.output)


def wait_for(client: StudioClient, id: str, *, evaluation: bool, form: str = "table") -> int:
    """Print progress until the job has ended; 0 when it succeeded. JSON and YAML show its end alone, progress is on stderr."""
    progress = sys.stdout if form == "table" else sys.stderr
    told = ""
    printed = 0.0
    while True:
        job = state(client, id, evaluation=evaluation)
        line = describe(job)
        if line != told and (
            time.monotonic() - printed >= EVERY or job.status.finished or told.split(" ")[0] != line.split(" ")[0]
        ):
            print(line, file=progress, flush=True)
            told, printed = line, time.monotonic()
        if job.status.finished:
            if form != "table":
                output.show(job.model_dump(mode="json"), form)
            elif job.error is not None:
                print(plain(f"{job.error.message}\n{job.error.hint}", lines=True), file=sys.stderr)
            return 0 if job.status.value == "succeeded" else output.EXIT_FAILED
        time.sleep(0.5)


def state(client: StudioClient, id: str, *, evaluation: bool) -> Any:
    """The job's state; of an evaluation batch, that of its first unfinished row, else of its last."""
    if not evaluation:
        from core.messages.fine_tuning import GetFineTuningJob

        return client.call(GetFineTuningJob(id=id)).fine_tuning_job
    from core.errors import NotFound
    from core.messages.evaluation import ListEvaluationJobs

    rows = client.call(ListEvaluationJobs(parent_job_id=id)).evaluation_jobs
    if not rows:
        raise NotFound(f"there is no evaluation batch with id {id!r}")
    return next((row for row in rows if not row.status.finished), next((row for row in rows if row.error), rows[-1]))


def describe(job: Any) -> str:
    """A job's progress as one line."""
    parts = [job.status.value.replace("_", " ")]
    if job.waiting_for:
        parts.append(f"waiting for {job.waiting_for}")
        if starts := words.starts(job.might_start_at):
            parts.append(starts)
    if job.phase and not job.status.finished:
        parts.append(job.phase)
    if job.total_steps:
        parts.append(f"{bar(job.step / job.total_steps)} {job.step}/{job.total_steps}")
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


def run_logs(arguments: argparse.Namespace) -> int:
    """Print a job's log; with -f go on until the job has ended."""
    from core.client import StudioClient
    from core.messages.jobs import GetJobLog

    try:
        with StudioClient() as client:
            id = _job_id(client, arguments.id)
            page = client.call(GetJobLog(id=id, limit=max(1, min(1000, arguments.lines))))
            _print(page.lines, arguments.output)
            attempt, offset = page.attempt, page.offset
            while arguments.follow:
                ended = _ended(client, id)
                page = client.call(GetJobLog(id=id, attempt=attempt, offset=offset))
                _print(page.lines, arguments.output)
                attempt, offset = page.attempt, page.offset
                if ended and not page.has_more:
                    break
                if not page.lines:
                    time.sleep(0.3)
    except StudioError as error:
        return output.fail(error, arguments.output)
    return 0


def _ended(client: StudioClient, id: str) -> bool:
    from core.messages.fine_tuning import GetFineTuningJob

    return client.call(GetFineTuningJob(id=id)).fine_tuning_job.status.finished


def _print(lines: list[Any], form: str) -> None:
    for line in lines:
        print(_formed(line, form), flush=True)


def _formed(line: Any, form: str) -> str:
    """A line of the log as text, a JSON object, or an item of a YAML list: each is whole, since there may be more to come."""
    if form == "json":
        return json.dumps(line.model_dump(mode="json"))
    if form == "yaml":
        import yaml

        return str(yaml.safe_dump([line.model_dump(mode="json")], sort_keys=False)).rstrip()
    return f"{time.strftime('%H:%M:%S', time.localtime(line.at))} {plain(line.text, limit=100_000, lines=True)}"


def run_events(arguments: argparse.Namespace) -> int:
    """Print what happened to a job."""
    from core.client import StudioClient
    from core.messages.events import ListEvents

    try:
        with StudioClient() as client:
            page = client.call(ListEvents(resource_id=_job_id(client, arguments.id), limit=5000))
            output.show(page.model_dump(mode="json", include={"events"}), arguments.output)
    except StudioError as error:
        return output.fail(error, arguments.output)
    return 0
