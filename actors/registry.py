"""The actors' door to model registries: MLflow's, and Cloudera's behind it. MLflow is imported late, in the slow queue's process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import urlopen

from core import cml
from core.errors import StudioError, Unavailable
from core.queue.connect import safe_text, safe_url
from core.settings import Settings

PATIENCE = 5  # seconds that a registry may take to say that it is there
FORMS = "NAME (its newest version), NAME/VERSION, NAME@ALIAS or models:/… of these"
LARGEST = 2**31 - 1  # what registries keep a version's number in
ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}
CLOSED = {"PERMISSION_DENIED", "UNAUTHENTICATED"}
# MLflow's own patience is made for training; here a person waits. Set before it is imported.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds
}


class Absent(ValueError):
    """What was asked for is not in the registry."""


@dataclass(frozen=True)
class Version:
    """A version of a registered model: `number` is what pins it; `artifacts` lists and fetches its files."""

    registered: str
    number: str
    source: str
    run_id: str | None
    experiment_id: str | None
    artifacts: Any

    def __str__(self) -> str:
        return f"{self.registered}/{self.number}"

    @property
    def key(self) -> dict[str, Any]:
        """The columns that tell this version from others."""
        return {"cml_registered_model_id": self.registered, "revision": self.number}

    @property
    def facts(self) -> dict[str, Any]:
        """The columns that say where a model or adapter came from."""
        runs = {"mlflow_run_id": self.run_id, "mlflow_experiment_id": self.experiment_id}
        return {**self.key, **runs, "source": self.source}


def find(settings: Settings, text: str) -> Version:
    """The version that an id means now. Raises ValueError when there is none, Unavailable when the registry is away.

    Inside Cloudera ML an id of Cloudera's shape, ID or ID/RUN, is looked up in its registry; all others in MLflow's.
    """
    id, _, run = text.strip().partition("/")
    if settings.cdsw_project_id is not None and cml.is_id(id):
        found = _of_cloudera(settings, id, run or None)
        with asking(settings, id):
            artifacts = _artifacts(settings, found.artifacts)
        source = safe_url(found.artifacts)
        return Version(found.model_id, found.run_id, source, found.run_id, found.experiment_id, artifacts)
    with asking(settings, text.strip()):
        return _of_mlflow(settings, *parsed(text))


def _of_cloudera(settings: Settings, id: str, run: str | None) -> cml.Registered:
    try:
        return cml.connect(settings).registered(id, run)
    except (cml.Away, cml.Declined) as error:
        raise Unavailable(f"{error}; send this again") from None


def parsed(text: str) -> tuple[str, int | None, str | None]:
    """(name, version, alias) of an id; no version and no alias: the newest. Raises Absent."""
    bare = text.strip().removeprefix("models:").lstrip("/")
    name, at, alias = bare.partition("@")
    name, slash, version = (name, "", "") if at else bare.partition("/")
    if not name.strip() or ":" in name or (at and not alias) or "/" in name + alias:
        raise Absent(f"{text!r} is no id of a model registry: {FORMS}")
    if not slash or version == "latest":
        return name, None, alias or None
    if not (version.isascii() and version.isdecimal()):
        raise Absent(f"{text!r}: a version is a number, not {version!r}; an id is {FORMS}")
    if len(version) > len(str(LARGEST)) or int(version) > LARGEST:
        raise Absent(f"{name} has no version {version}")
    return name, int(version), None


def reach(uri: str) -> None:
    """Raise Unavailable when a server does not answer; a file or a database of ours always does."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return
    health = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/health", "", ""))
    try:
        with urlopen(health, timeout=PATIENCE):
            return
    except HTTPError as error:
        if error.code < 500:
            return  # it is there; Cloudera's answers 404 or asks for a token
        reason = f"it answers {error.code}"
    except (URLError, OSError, ValueError) as error:
        reason = str(getattr(error, "reason", None) or error)
    raise Unavailable(
        f"the MLflow server at {safe_url(uri)} can't be reached ({reason}); start it or set MLFLOW_TRACKING_URI, then send this again"
    )


def _of_mlflow(settings: Settings, name: str, number: int | None, alias: str | None) -> Version:
    _there(settings.registry_uri, name)
    client = _client(settings)
    if alias is not None:
        found = client.get_model_version_by_alias(name, alias)
    elif number is not None:
        found = client.get_model_version(name, str(number))
    else:
        found = _newest(client, name)
    if found.status != "READY":
        raise Absent(
            f"{name}/{found.version} is not ready ({found.status}): {found.status_message or 'no reason told'}"
        )
    uri = _place(settings, client, client.get_model_version_download_uri(name, found.version))
    experiment = _experiment(client, found.run_id) if found.run_id else None
    artifacts = _artifacts(settings, uri)
    return Version(name, str(found.version), safe_url(found.source), found.run_id or None, experiment, artifacts)


def _there(uri: str, name: str) -> None:
    """Refuse what is surely not there before MLflow is imported, which would make an empty database."""
    reach(uri)
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.exists():
        raise Absent(
            f"{name} was not found: no model registry was made at {uri} yet (MLFLOW_REGISTRY_URI names another)"
        )


def _place(settings: Settings, client: Any, uri: str) -> str:
    """Where a version's files lie. For a path of a run MLflow's own look-up hides why a download failed: it is resolved here.

    What a run logged as a model lies beside the run's artifacts, under the model's own id.
    """
    if not uri.startswith("runs:/"):
        return uri
    from mlflow.utils.uri import append_to_uri_path

    run_id, _, path = uri.removeprefix("runs:/").partition("/")
    run = client.get_run(run_id).info
    own = str(append_to_uri_path(run.artifact_uri, path))
    if "'" in path or _artifacts(settings, own).list_artifacts(None):
        return own
    token = None
    while True:
        page = client.search_logged_models([run.experiment_id], f"name = '{path}'", page_token=token)
        for model in page:
            if model.source_run_id == run_id:
                return str(model.artifact_location)
        if not (token := page.token):
            return own


def _newest(client: Any, name: str) -> Any:
    quote = '"' if "'" in name else "'"
    found = client.search_model_versions(f"name={quote}{name}{quote}", max_results=1, order_by=["version_number DESC"])
    if not found:
        raise Absent(f"{name} was not found in the model registry, or has no version")
    return found[0]


def _experiment(client: Any, run_id: str) -> str | None:
    """The experiment of a run; None when the run is gone, which its model may outlive."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run_id).info.experiment_id)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return None


def _client(settings: Settings) -> Any:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    return MlflowClient(settings.tracking_uri, settings.registry_uri)


def _artifacts(settings: Settings, uri: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(uri, tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri)


@contextmanager
def asking(settings: Settings, id: str) -> Iterator[None]:
    """Say what errors mean that come of asking for `id`: it is not there (Absent), or the registry is away (Unavailable)."""
    try:
        yield
    except (StudioError, Absent):
        raise
    except Exception as error:  # MLflow's, its database's, its HTTP library's, a missing library for a kind of store
        code, text = getattr(error, "error_code", None), safe_text(str(error).partition("\n")[0])
        if code in ABSENT:
            raise Absent(f"{id} was not found in the model registry: {text}") from None
        hint = "; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, let the studio in"
        told = f"({type(error).__name__}: {text}){hint if code in CLOSED else ''}"
        where = safe_url(settings.registry_uri)
        raise Unavailable(f"the model registry at {where} can't be read just now {told}") from error
