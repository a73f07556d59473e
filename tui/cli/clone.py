"""`fts job clone`: a job like one that is there, with changes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from core.cloning import changed, next_name, request_of
from core.errors import StudioError
from core.messages.fine_tuning import GetFineTuningJob, StartFineTuningJob
from core.settings import settings
from core.text import plain
from tui.cli import console, output, verbs
from tui.cli.console import warn
from tui.cli.fields import add_options, payload
from tui.cli.parsing import add_command, refer
from tui.cli.references import JOB, by_name

if TYPE_CHECKING:
    from core.client import StudioClient

TEXT = "Start a job like one that is there; what is given takes the place of what it had."


def add(jobs: Any) -> None:
    """Declare `fts job clone`."""
    parser = add_command(jobs, "clone", TEXT, description=f"{TEXT} (StartFineTuningJob)")
    verbs.common(parser, command=True)
    refer(parser.add_argument("id", help=JOB.help), (JOB,))
    parser.add_argument("--wait", action="store_true", help="show progress and wait for the end")
    add_options(parser, StartFineTuningJob)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask for the job, rebuild its request, lay the changes over it, and send it."""
    try:
        with console.client() as client:
            id = by_name(client, (JOB,), arguments.id)
            fields = _request(client, id, payload(arguments, StartFineTuningJob))
    except StudioError as error:
        return output.fail(error, arguments.output)
    if arguments.output == "table":
        warn(plain(f"{fields['adapter_name']}, like {arguments.id}"))
    return verbs.request(arguments, "StartFineTuningJob", fields)


def _request(client: StudioClient, id: str, changes: dict[str, Any]) -> dict[str, Any]:
    job = client.call(GetFineTuningJob(id=id)).fine_tuning_job
    request = changed(request_of(job.model_dump(mode="json"), str(settings().adapters_root)), changes)
    if "adapter_name" not in request:
        request["adapter_name"] = next_name(job.adapter_name or job.name or "job", _taken(client))
    return request


def _taken(client: StudioClient) -> set[str]:
    """The names that jobs and adapters have."""
    jobs = client.rows("ListFineTuningJobs", "fine_tuning_jobs")
    adapters = client.rows("ListAdapters", "adapters")
    return {str(each.adapter_name) for each in jobs} | {str(each.name) for each in adapters}
