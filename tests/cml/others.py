"""The project, applications, the registry, experiments, labels, runtimes; and the calls of version 1 that pages are made of."""

from __future__ import annotations

import json
from typing import Any

from tests.cml.cloud import OWNER, RUNTIME, USER, Cloud, Row, new_id, page, stamp, text_of
from tests.cml.faults import Refused
from tests.cml.jobs import Jobs

OF_APPLICATION = (
    "name",
    "description",
    "script",
    "subdomain",
    "cpu",
    "memory",
    "nvidia_gpu",
    "kernel",
    "runtime_identifier",
)


class Others:
    """The calls about everything else. `cloud.lock` is held by who calls."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def get_project(self, query: dict[str, str], body: Row, project: str) -> Row:
        return self.cloud.state["project"]

    def update_project(self, query: dict[str, str], body: Row, project: str) -> Row:
        row = self.cloud.state["project"]
        if "environment" in body:
            self._check_environment(body["environment"])
        row |= {name: body[name] for name in ("environment", "name", "description") if name in body} | {
            "updated_at": stamp()
        }
        return row

    @staticmethod
    def _check_environment(text: Any) -> None:
        try:
            found = json.loads(text)
        except (TypeError, ValueError):
            found = None
        if not isinstance(found, dict):
            raise Refused(400, "environment must be the JSON text of an object")

    # Applications.

    def list_applications(self, query: dict[str, str], body: Row, project: str) -> Row:
        return page("applications", self.cloud.state["applications"].values(), query, self._application)

    def create_application(self, query: dict[str, str], body: Row, project: str) -> Row:
        row = {name: body.get(name) for name in OF_APPLICATION} | {
            "id": new_id(), "status": "APPLICATION_RUNNING", "created_at": stamp(), "updated_at": stamp(),
            "environment": body.get("environment") or {}, "bypass_authentication": body.get("bypass_authentication", False),
        }  # fmt: skip
        self.cloud.state["applications"][row["id"]] = row
        return self._application(row)

    def get_application(self, query: dict[str, str], body: Row, project: str, application: str) -> Row:
        return self._application(self.cloud.get("applications", application))

    def update_application(self, query: dict[str, str], body: Row, project: str, application: str) -> Row:
        row = self.cloud.get("applications", application)
        row |= {name: body[name] for name in OF_APPLICATION if name in body} | {"updated_at": stamp()}
        return self._application(row)

    def restart_application(self, query: dict[str, str], body: Row, project: str, application: str) -> Row:
        row = self.cloud.get("applications", application)
        row["status"] = "APPLICATION_RUNNING"
        return self._application(row)

    def stop_application(self, query: dict[str, str], body: Row, project: str, application: str) -> Row:
        row = self.cloud.get("applications", application)
        row["status"] = "APPLICATION_STOPPED"
        return self._application(row)

    def _application(self, row: Row) -> Row:
        return row | {"creator": USER, "environment": text_of(row["environment"])}

    # Registry and experiments.

    def list_registered_models(self, query: dict[str, str], body: Row) -> Row:
        return page("models", self.cloud.state["registered"].values(), query, self._details)

    def _details(self, row: Row) -> Row:
        return {name: value for name, value in row.items() if name != "model_versions"}

    def get_registered_model(self, query: dict[str, str], body: Row, model: str) -> Row:
        return self.cloud.get("registered", model)

    def create_registered_model(self, query: dict[str, str], body: Row) -> Row:
        return self.register(body["model_name"], body["project_id"], body["experiment_id"], body["run_id"])

    def register(self, name: str, project: str, experiment: str, run: str) -> Row:
        """Make a version of a model, which a run made; of a new model when none is called so."""
        rows = self.cloud.state["registered"]
        found = next((row for row in rows.values() if row["name"] == name), None)
        row = found or {
            "model_id": new_id(),
            "name": name,
            "owner": USER,
            "visibility": "PUBLIC",
            "created_at": stamp(),
            "model_versions": [],
        }
        number = len(row["model_versions"]) + 1
        of_mlflow = {"experiment_id": experiment, "run_id": run, "metrics": [], "params": [], "tags": []}
        version = {
            "model_id": row["model_id"],
            "model_version_id": new_id(),
            "version_name": name,
            "number": number,
            "status": "READY",
        }
        version["model_version_metadata"] = {
            "mlops_type": "MLFLOW",
            "project_id": project,
            "mlflow_metadata": of_mlflow,
        }
        row["model_versions"].insert(0, version)
        rows[row["model_id"]] = row | {"updated_at": stamp(), "count": number, "next_page_token": ""}
        return rows[row["model_id"]]

    def list_experiments(self, query: dict[str, str], body: Row, project: str) -> Row:
        return page("experiments", self.cloud.state["experiments"].values(), query, lambda row: row)

    def create_experiment(self, query: dict[str, str], body: Row, project: str) -> Row:
        row = {"id": new_id(), "project_id": project, "name": body["name"], "lifecycle_stage": "active", "created_at": stamp(),
               "artifact_location": body.get("artifact_location", ""), "tags": [], "user": USER}  # fmt: skip
        self.cloud.state["experiments"][row["id"]] = row
        return row

    def get_experiment(self, query: dict[str, str], body: Row, project: str, experiment: str) -> Row:
        return self.cloud.get("experiments", experiment)

    def list_experiment_runs(self, query: dict[str, str], body: Row, project: str, experiment: str) -> Row:
        self.cloud.get("experiments", experiment)
        runs = [run for run in self.cloud.state["experiment_runs"].values() if run["experiment_id"] == experiment]
        return page("experiment_runs", runs, query, lambda row: row)

    def create_experiment_run(self, query: dict[str, str], body: Row, project: str, experiment: str) -> Row:
        of = self.cloud.get("experiments", experiment)
        id = new_id()
        row = {"id": id, "experiment_id": experiment, "status": "EXPERIMENT_RUN_RUNNING", "start_time": stamp(), "user": USER,
               "artifact_uri": f"{of['artifact_location']}/{id}/artifacts",
               "data": {"metrics": [], "params": [], "tags": [], "files": []}}  # fmt: skip
        self.cloud.state["experiment_runs"][id] = row
        return row

    def get_experiment_run(self, query: dict[str, str], body: Row, project: str, experiment: str, run: str) -> Row:
        return self.cloud.get("experiment_runs", run, experiment_id=experiment)

    def get_experiment_run_metrics(
        self, query: dict[str, str], body: Row, project: str, experiment: str, run: str, metric: str
    ) -> Row:
        row = self.cloud.get("experiment_runs", run, experiment_id=experiment)
        return {"metrics": [each for each in row["data"]["metrics"] if each["key"] == metric]}

    def log_experiment_run_batch(
        self, query: dict[str, str], body: Row, project: str, experiment: str, run: str
    ) -> Row:
        row = self.cloud.get("experiment_runs", run, experiment_id=experiment)
        for name in ("metrics", "params", "tags"):
            row["data"][name] += [
                each | ({"step": str(each["step"])} if "step" in each else {}) for each in body.get(name) or []
            ]
        return {}

    # The workbench.

    def list_all_accelerator_node_labels(self, query: dict[str, str], body: Row) -> Row:
        return page("accelerator_node_label", self.cloud.labels, query, lambda row: row)

    def list_runtimes(self, query: dict[str, str], body: Row) -> Row:
        row = {"image_identifier": RUNTIME, "editor": "JupyterLab", "kernel": "Python 3.11", "edition": "Standard",
               "full_version": "2024.05.1-b8", "status": "ENABLED"}  # fmt: skip
        return page("runtimes", [row], query, lambda row: row)

    # Version 1.

    def v1_jobs(self, query: dict[str, str], body: Row, owner: str, project: str) -> list[Row]:
        return [self._v1_job(row, owner, project) for row in self.cloud.state["jobs"].values()]

    def _v1_job(self, row: Row, owner: str, project: str) -> Row:
        runs = Jobs(self.cloud).runs_of(row["id"])
        latest = {"latest": {"status": runs[-1]["status"].removeprefix("ENGINE_").lower()}} if runs else {}
        page = f"{self.cloud.base}/{owner}/{project}/jobs/{row['id']}"
        return {
            "public_identifier": row["id"],
            "name": row["name"],
            "html_url": page,
            "created_at": row["created_at"],
            **latest,
        }

    def v1_usage(self, query: dict[str, str], body: Row, owner: str) -> Row:
        if owner != OWNER:
            raise Refused(404, f"user {owner} not found")
        return {"cluster": self.cloud.usage}

    def v1_site(self, query: dict[str, str], body: Row) -> Row:
        return self.cloud.site
