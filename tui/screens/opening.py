"""From a log to what it tells of: a job's own screen, or everything that is known of another resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.view.describe import described

if TYPE_CHECKING:
    from tui.app import Dashboard

# The table of what is told of -> the query that knows it, and the field of the reply.
QUERIES = {
    "datasets": ("GetDataset", "dataset"),
    "models": ("GetModel", "model"),
    "adapters": ("GetAdapter", "adapter"),
    "prompts": ("GetPrompt", "prompt"),
    "configs": ("GetConfig", "config"),
    "promotions": ("GetPromotion", "promotion"),
}
# What a job's id may belong to: it is asked for in turn, and opened on its own screen.
JOBS = (
    ("GetFineTuningJob", "show_job"),
    ("GetExportJob", "show_export"),
    ("GetEndpoint", "show_endpoint"),
    ("GetComparison", "show_comparison"),
)


def open_resource(dashboard: Dashboard, kind: str, id: str) -> None:
    """Open it; say so when it is not there any more."""
    if not id:
        dashboard.say("this is about nothing that could be opened")
    elif kind in QUERIES:
        name, field = QUERIES[kind]
        dashboard.ask(name, {"id": id}, lambda answer: _show(dashboard, field, answer))
    elif kind in ("runners", "notifications"):
        dashboard.go(kind)
    elif kind == "letters":
        from tui.screens.letter import LetterScreen

        dashboard.push_screen(LetterScreen(id))
    else:
        dashboard.run_worker(lambda: _find_job(dashboard, id), thread=True, exit_on_error=False)


def _show(dashboard: Dashboard, field: str, answer: Any) -> None:
    row = getattr(answer.value, field).model_dump(mode="json")
    dashboard.show_text(f"{field}: {row.get('name') or row['id']}", described(row))


def _find_job(dashboard: Dashboard, id: str) -> None:
    """In a thread: which kind of job has this id."""
    from core.errors import NotFound

    for name, way in JOBS:
        try:
            dashboard.studio.ask(name, {"id": id})
        except NotFound:
            continue
        except Exception as error:
            dashboard.from_thread(dashboard.complain, error)
            return
        dashboard.from_thread(getattr(dashboard, way), id)
        return
    try:
        rows, _ = dashboard.studio.rows("ListEvaluationJobs", "evaluation_jobs", parent_job_id=id, limit=1)
    except Exception as error:
        dashboard.from_thread(dashboard.complain, error)
        return
    if rows:
        dashboard.from_thread(dashboard.show_batch, id)
    else:
        dashboard.from_thread(dashboard.say, f"{id} is not there any more: only the logs tell of it")
