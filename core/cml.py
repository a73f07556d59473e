"""The one lazy door to Cloudera's SDK: it is on no package index, so a studio does without unless it is asked for Cloudera's.

Only calls and fields are used that version 24.05 of the SDK is known to have. It reads CDSW_API_URL and CDSW_APIV2_KEY itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from core.errors import Unavailable

PAGE = 100
ID = re.compile(r"[a-z0-9]{4}(-[a-z0-9]{4}){3}")  # Cloudera's public identifiers


class Registered(NamedTuple):
    """A version of a model in Cloudera's registry: the run that made it, and where that keeps its files (a URI)."""

    model_id: str
    name: str
    run_id: str
    experiment_id: str
    artifacts: str


def is_id(text: str) -> bool:
    """Whether the text has the shape of an id of Cloudera's."""
    return ID.fullmatch(text) is not None


def client() -> Any:
    """The SDK's client; raises Unavailable that says what is missing."""
    try:
        import cmlapi
    except ImportError:
        text = "Cloudera's SDK (cmlapi) is not installed here: `pip install <workbench>/api/v2/python.tar.gz`, then start the studio again"
        raise Unavailable(text) from None
    try:
        return cmlapi.default_client()
    except ValueError as error:
        raise Unavailable(
            f"Cloudera's API can't be asked ({error}); CDSW_API_URL and CDSW_APIV2_KEY must be set"
        ) from None


def registered(api: Any, project_id: str, model_id: str, run_id: str | None = None) -> Registered:
    """The version that a run made, or the one that is listed first, as the original studio takes it.

    Raises ValueError when it is not there, Unavailable when Cloudera's API does not answer.
    """
    with _asking(f"the registered model {model_id}"):
        model = api.get_registered_model(model_id)
    made = [each.model_version_metadata.mlflow_metadata for each in model.model_versions or []]
    chosen = next((each for each in made if run_id in (None, each.run_id)), None)
    if chosen is None:
        runs = ", ".join(each.run_id for each in made) or "none"
        raise ValueError(
            f"{model_id} has no version{f' of the run {run_id}' if run_id else ''}; runs of its versions: {runs}"
        )
    for run in _runs(api, project_id, chosen.experiment_id):
        if run.id == chosen.run_id and run.artifact_uri:
            return Registered(model.model_id, model.name, chosen.run_id, chosen.experiment_id, run.artifact_uri)
    text = f"the run {chosen.run_id} of experiment {chosen.experiment_id}, which made {model_id}"
    raise ValueError(f"{text}, has no files in this project ({project_id})")


def _runs(api: Any, project_id: str, experiment_id: str) -> Iterator[Any]:
    token: dict[str, str] = {}
    while True:
        with _asking(f"experiment {experiment_id}"):
            page = api.list_experiment_runs(project_id, experiment_id, page_size=PAGE, **token)
        yield from page.experiment_runs or []
        if not page.next_page_token or page.next_page_token == token.get("page_token"):
            return
        token = {"page_token": page.next_page_token}


@contextmanager
def _asking(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the SDK's, which has a status, or its HTTP library's
        status = getattr(error, "status", None)
        if status == 404:
            raise ValueError(f"{what} was not found at Cloudera's") from None
        hint = "; CDSW_APIV2_KEY may have run out" if status in (401, 403) else ""
        told = f"answers {status}" if status else f"can't be reached ({type(error).__name__})"
        raise Unavailable(f"Cloudera's API {told} when asked for {what}{hint}; send this again") from error
