"""What is opened once a form was sent: the job that it started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tui.app import Dashboard


def open_made(dashboard: Dashboard, message: str, value: Any, key: str | None) -> None:
    """Open what the message made, where there is more to see than a row of a list; `key` is a new endpoint's."""
    if message == "StartFineTuningJob":
        dashboard.show_job(value.fine_tuning_job.id)
    elif message == "StartEvaluationJob":
        dashboard.show_batch(value.parent_job_id)
    elif message == "StartComparison":
        dashboard.show_comparison(value.comparison.id)
    elif message == "ExportModel":
        if value.endpoint is not None:
            dashboard.show_endpoint(value.endpoint.id)
        else:
            dashboard.show_export(value.export_job.id)
    elif message == "StartEndpoint":
        dashboard.show_endpoint(value.endpoint.id, key)


def made_id(value: Any) -> str:
    """The id of the resource that a reply tells of."""
    return next((each.id for _, each in value if hasattr(each, "id")), "")
