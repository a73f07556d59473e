"""The one lazy door to Cloudera's SDK: it is on no package index, so a studio does without unless it is asked for Cloudera's.

Only calls and fields are used that version 24.05 of the SDK is known to have. What is wrong with a call is one of three:
`Away` (nothing is known to be done; ask again), `Missing` (there is no such thing there) and `Declined` (it will not do it).
Calls that change nothing by being repeated are tried again for a while in here; what creates something is sent once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from core import cml_shapes as shapes
from core.cml_asking import Asking, Away, Declined, Missing
from core.cml_shapes import (
    Accelerator,
    ApplicationSeen,
    BuildSeen,
    DeploymentSeen,
    JobSeen,
    ModelSeen,
    NewBuild,
    NewJob,
    RunSeen,
    RunState,
    Template,
)
from core.errors import Unavailable
from core.settings import Settings
from core.text import plain

__all__ = [
    "Accelerator", "ApplicationSeen", "Away", "BuildSeen", "Cloudera", "Declined", "DeploymentSeen", "JobSeen", "Missing", "ModelSeen",
    "NewBuild", "NewJob", "Registered", "RunSeen", "RunState", "Template", "connect", "is_id",
]  # fmt: skip
SETTLED = 1.0  # seconds after which whoever read the project's variables before we wrote them has written too
WRITES = 5  # times that the project's variables are written before somebody else's program is taken to undo it
ID = re.compile(r"[a-z0-9]{4}(-[a-z0-9]{4}){3}")  # Cloudera's public identifiers
FALLBACK = "Accel_Finetuning_Base_Job"  # the training template by the name that the original studio made it under
NO_SDK = (
    "Cloudera's SDK (cmlapi) is not installed here: `pip install <workbench>/api/v2/python.tar.gz`, "
    "then start the studio again"
)
NO_KEY = "Cloudera's API can't be asked ({}); CDSW_API_URL, CDSW_APIV2_KEY and CDSW_PROJECT_ID must be set"


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


def connect(using: Settings) -> Cloudera:
    """The project that the studio runs in, at its workbench; nothing is sent yet. Raises Unavailable that says what is missing."""
    try:
        import cmlapi
    except ImportError:
        raise Unavailable(NO_SDK) from None
    url, key = urlsplit(using.cdsw_api_url or ""), using.cdsw_apiv2_key
    if not (url.scheme in ("http", "https") and url.netloc and key and using.cdsw_project_id):
        wanted = {
            "CDSW_API_URL": url.netloc, "CDSW_APIV2_KEY": key, "CDSW_PROJECT_ID": using.cdsw_project_id
        }  # fmt: skip
        missing = ", ".join(name for name, value in wanted.items() if not value) or "CDSW_API_URL is no URL"
        raise Unavailable(NO_KEY.format(f"missing: {missing}"))
    try:
        api = _trimmed(cmlapi.default_client(f"{url.scheme}://{url.netloc}", key.get_secret_value()))
    except ValueError as error:
        raise Unavailable(NO_KEY.format(plain(error, limit=200))) from None
    return Cloudera(api, using.cdsw_project_id, seconds=using.cml_seconds, secrets=using.secrets)


def _trimmed(api: Any) -> Any:
    """The SDK's client without its threads, which it has for calls that nobody makes, and without its HTTP library's own
    patience: that sleeps for as long as Retry-After says, and follows a redirection with the key in hand."""
    with suppress(AttributeError):  # other versions may be built differently, and do without
        api.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = False
        api.api_client.pool.close()
    return api


class Cloudera(Asking):
    """One project of a workbench. Every call has a time limit; raises Away, Missing, Declined as the module says."""

    # Jobs

    def template(self, *names: str) -> Template:
        """The job of the first of the names that there is one of, the oldest if several. Raises Missing that names them all."""
        for name in names:
            found = sorted(self._named(name), key=shapes.age)
            if found:
                return shapes.template(found[0])
        told = " or ".join(names)
        raise Missing(
            f"this project has no job {told} to make runs from; the studio's start in Cloudera ML makes it (docs/cloudera.md)"
        )

    def find_job(self, name: str) -> str | None:
        """The id of the job of exactly that name, the oldest if several; None without one."""
        found = sorted(self._named(name), key=shapes.age)
        return str(found[0].id) if found else None

    def jobs(self) -> Iterator[JobSeen]:
        """All jobs of the project."""
        for job in self.pages("the project's jobs", "list_jobs", "jobs", self.project):
            yield shapes.job_seen(job)

    def runtime(self, *scripts: str) -> tuple[str | None, tuple[str, ...]]:
        """Runtime and add-ons of an application that runs one of the scripts, else of a job that does; (None, ()) of neither."""
        for what, method in (("applications", "list_applications"), ("jobs", "list_jobs")):
            for each in self.pages(f"the project's {what}", method, what, self.project):
                if each.runtime_identifier and str(each.script or "").endswith(scripts):
                    return str(each.runtime_identifier), tuple(each.runtime_addon_identifiers or ())
        return None, ()

    def create_job(self, new: NewJob) -> str:
        """Make a job; its id. When the answer was lost (Away) it may be there: `find_job` tells."""
        body = {"project_id": self.project, **new.body}
        return self.made(self.ask(f"the job {new.name} to be made", "create_job", body, self.project, again=False))

    def update_job(self, job_id: str, changes: Mapping[str, Any]) -> None:
        """Change fields of a job, under the API's names."""
        self.ask(f"the job {job_id} to be changed", "update_job", dict(changes), self.project, job_id)

    def delete_job(self, job_id: str) -> None:
        """Remove a job with its runs; no matter if it is gone."""
        self.gone(f"the job {job_id} to be removed", "delete_job", self.project, job_id)

    def create_run(self, job_id: str, environment: Mapping[str, str]) -> RunSeen:
        """Start a run of a job with its own environment. When the answer was lost (Away) it may run: `runs` tells."""
        body = {"project_id": self.project, "job_id": job_id, "environment": dict(environment)}
        made = self.ask(f"a run of the job {job_id}", "create_job_run", body, self.project, job_id, again=False)
        self.made(made)
        return shapes.run_seen(made, job_id)

    def runs(self, job_id: str) -> list[RunSeen]:
        """All runs of a job, newest first."""
        options = {"sort": "-created_at"}
        found = self.pages(
            f"the runs of the job {job_id}", "list_job_runs", "job_runs", self.project, job_id, **options
        )
        return [shapes.run_seen(each, job_id) for each in found]

    def run(self, job_id: str, run_id: str) -> RunSeen:
        """One run as it is now."""
        found = self.ask(f"the run {run_id}", "get_job_run", self.project, job_id, run_id)
        self.made(found)
        return shapes.run_seen(found, job_id)

    def stop_run(self, job_id: str, run_id: str) -> None:
        """Ask for a run to be stopped, which takes it a while."""
        self.ask(f"the run {run_id} to be stopped", "stop_job_run", self.project, job_id, run_id)

    def _named(self, name: str) -> Iterator[Any]:
        """The jobs of exactly that name: Cloudera's filter finds parts of names too."""
        options = {"search_filter": json.dumps({"name": name})}
        for job in self.pages(f"the job {name}", "list_jobs", "jobs", self.project, **options):
            if job.name == name:
                yield job

    # Models

    def models(self) -> Iterator[ModelSeen]:
        """All models of the project."""
        yield from map(shapes.model_seen, self.pages("the project's models", "list_models", "models", self.project))

    def find_model(self, name: str) -> ModelSeen | None:
        """The model of exactly that name, the oldest if several; None without one."""
        options = {"search_filter": json.dumps({"name": name})}
        found = self.pages(f"the model {name}", "list_models", "models", self.project, **options)
        named = sorted((each for each in found if each.name == name), key=shapes.age)
        return shapes.model_seen(named[0]) if named else None

    def model(self, model_id: str) -> ModelSeen:
        """One model as it is now."""
        found = self.ask(f"the model {model_id}", "get_model", self.project, model_id)
        self.made(found)
        return shapes.model_seen(found)

    def create_model(self, name: str, description: str, *, authenticated: bool = True) -> ModelSeen:
        """Make a model. When the answer was lost (Away) it may be there: `find_model` tells."""
        body: dict[str, Any] = {"project_id": self.project, "name": name, "description": description}
        body["disable_authentication"] = not authenticated
        made = self.ask(f"the model {name} to be made", "create_model", body, self.project, again=False)
        self.made(made)
        return shapes.model_seen(made)

    def delete_model(self, model_id: str) -> None:
        """Remove a model with its builds; no matter if it is gone."""
        self.gone(f"the model {model_id} to be removed", "delete_model", self.project, model_id)

    def create_build(self, model_id: str, new: NewBuild) -> BuildSeen:
        """Have a model built, and deployed when that is done. When the answer was lost (Away): `builds` tells."""
        body = {"project_id": self.project, "model_id": model_id, **new.body}
        told = f"a build of the model {model_id}"
        made = self.ask(told, "create_model_build", body, self.project, model_id, again=False)
        self.made(made)
        return shapes.build_seen(made)

    def builds(self, model_id: str) -> list[BuildSeen]:
        """All builds of a model, the oldest first."""
        told = f"the builds of the model {model_id}"
        found = self.pages(told, "list_model_builds", "model_builds", self.project, model_id)
        return [shapes.build_seen(each) for each in sorted(found, key=shapes.age)]

    def deployments(self, model_id: str, build_id: str) -> list[DeploymentSeen]:
        """All deployments of a build, the oldest first."""
        told = f"the deployments of the build {build_id}"
        found = self.pages(told, "list_model_deployments", "model_deployments", self.project, model_id, build_id)
        return [shapes.deployment_seen(each) for each in sorted(found, key=shapes.age)]

    def stop_deployment(self, model_id: str, build_id: str, deployment_id: str) -> None:
        """Ask for a deployment to be stopped, which takes it a while; no matter if it is gone."""
        ids = (self.project, model_id, build_id, deployment_id)
        self.gone(f"the deployment {deployment_id} to be stopped", "stop_model_deployment", *ids)

    # The project

    def environment(self) -> dict[str, str]:
        """The project's environment variables, secrets among them. Raises Declined when they are not told.

        Whoever takes "not told" for "none" would remove them all with his next write.
        """
        found = self.ask("the project's environment", "get_project", self.project)
        self.made(found)
        try:
            if found.environment not in (None, ""):
                return shapes.mapping(found.environment)
        except ValueError:
            pass
        raise Declined(f"Cloudera's API does not tell the variables of the project {self.project}")

    def set_environment(self, changes: Mapping[str, str | None]) -> bool:
        """Set variables of the project, or remove those that become None; whether there was anything to change.

        The API only takes all variables at once, and has no way to say "unless somebody else did". So they are read right
        before they are written, nothing is written that stands already, and they are read again: when another writer took
        ours away in between, they are merged into what it wrote. They are read once more after a while, for whoever had read
        before we wrote may write later. Raises Away when somebody undoes it again and again.
        """
        for written in range(WRITES + 1):
            now = self.environment()
            if written and _stands(changes, now):
                self.sleep(SETTLED)
                now = self.environment()
            if _stands(changes, now):
                return written > 0
            wanted = {name: value for name, value in {**now, **changes}.items() if value is not None}
            body = {"environment": json.dumps(wanted)}
            self.ask("the project's environment to be set", "update_project", body, self.project, again=False)
        raise Away(f"another program sets the project's variables {', '.join(changes)} back again and again")

    def applications(self) -> list[ApplicationSeen]:
        """The project's applications, the oldest first."""
        found = self.pages("the project's applications", "list_applications", "applications", self.project)
        return [shapes.application_seen(each) for each in sorted(found, key=shapes.age)]

    def accelerators(self) -> list[Accelerator]:
        """The labels of nodes with GPUs; empty where the workbench has none."""
        found = self.ask("the accelerators' labels", "list_all_accelerator_node_labels")
        return [shapes.accelerator(each) for each in found.accelerator_node_label or []]

    # The registry

    def registered(self, model_id: str, run_id: str | None = None) -> Registered:
        """The version of a registered model that a run made, or the one that is listed first, as the original studio takes it.

        Raises Missing when it is not there.
        """
        model = self.ask(f"the registered model {model_id}", "get_registered_model", model_id)
        made = [each.model_version_metadata.mlflow_metadata for each in model.model_versions or []]
        chosen = next((each for each in made if run_id in (None, each.run_id)), None)
        if chosen is None:
            runs = ", ".join(each.run_id for each in made) or "none"
            raise Missing(
                f"{model_id} has no version{f' of the run {run_id}' if run_id else ''}; runs of its versions: {runs}"
            )
        told = f"experiment {chosen.experiment_id}"
        runs_of = (self.project, chosen.experiment_id)
        for run in self.pages(told, "list_experiment_runs", "experiment_runs", *runs_of):
            if run.id == chosen.run_id and run.artifact_uri:
                return Registered(model.model_id, model.name, chosen.run_id, chosen.experiment_id, run.artifact_uri)
        text = f"the run {chosen.run_id} of experiment {chosen.experiment_id}, which made {model_id}"
        raise Missing(f"{text}, has no files in this project ({self.project})")


def _stands(changes: Mapping[str, str | None], now: Mapping[str, str]) -> bool:
    return all(now.get(name) == value for name, value in changes.items())
