"""Models, their builds and deployments: a deployment that is up is a process that answers for the built function."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.cml import pods
from tests.cml.cloud import USER, Cloud, Row, new_id, page, stamp, text_of
from tests.cml.faults import Refused

MOVING = ("pending", "deploying", "stopping")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Models:
    """The calls about models. `cloud.lock` is held by who calls, but for `answer`."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def list_models(self, query: dict[str, str], body: Row, project: str) -> Row:
        return page("models", filter(self._visible, self.cloud.state["models"].values()), query, self._model)

    def _visible(self, row: Row) -> bool:
        return time.time() >= row["born"] + self.cloud.delays.visible

    def create_model(self, query: dict[str, str], body: Row, project: str) -> Row:
        if not body.get("name"):
            raise Refused(400, "name is required")
        if any(row["name"] == body["name"] for row in self.cloud.state["models"].values()):
            raise Refused(409, f"a model called {body['name']} exists in this project")
        row = {
            "id": new_id(), "name": body["name"], "description": body.get("description", ""), "access_key": f"m{new_id()}",
            "auth_enabled": not body.get("disable_authentication", False), "deletion_status": "", "visibility": "private",
            "created_at": stamp(), "updated_at": stamp(), "crn": f"crn:cdp:ml:us-west-1:workspace/{new_id()}", "born": time.time(),
        }  # fmt: skip
        self.cloud.state["models"][row["id"]] = row
        return self._model(row)

    def get_model(self, query: dict[str, str], body: Row, project: str, model: str) -> Row:
        return self._model(self.cloud.get("models", model))

    def update_model(self, query: dict[str, str], body: Row, project: str, model: str) -> Row:
        row = self.cloud.get("models", model)
        row |= {name: body[name] for name in ("name", "description", "visibility") if name in body}
        return self._model(row)

    def delete_model(self, query: dict[str, str], body: Row, project: str, model: str) -> Row:
        self.cloud.get("models", model)
        for deployment in self.of("deployments", model_id=model):
            self._end(deployment)
            del self.cloud.state["deployments"][deployment["id"]]
        for build in self.of("builds", model_id=model):
            del self.cloud.state["builds"][build["id"]]
        del self.cloud.state["models"][model]
        return {}

    def of(self, table: str, **where: str) -> list[Row]:
        """The rows that are of a model, or a build."""
        rows = self.cloud.state[table].values()
        return [row for row in rows if all(row[name] == value for name, value in where.items())]

    def _model(self, row: Row) -> Row:
        shown = {name: value for name, value in row.items() if name != "born"}
        return shown | {"creator": USER, "project": {"public_identifier": self.cloud.state["project"]["id"]}}

    # Builds.

    def list_model_builds(self, query: dict[str, str], body: Row, project: str, model: str) -> Row:
        self.cloud.get("models", model)
        found = filter(self._visible, self.of("builds", model_id=model))
        return page("model_builds", found, query, self._build)

    def create_model_build(self, query: dict[str, str], body: Row, project: str, model: str) -> Row:
        self.cloud.get("models", model)
        if not body.get("file_path") or not body.get("function_name"):
            raise Refused(400, "file_path and function_name are required")
        names = ("comment", "file_path", "function_name", "kernel", "runtime_identifier")
        row = {name: body.get(name, "") for name in names} | {
            "id": new_id(), "model_id": model, "status": "pending", "created_at": stamp(), "updated_at": stamp(), "built_at": None,
            "crn": f"crn:cdp:ml:us-west-1:workspace/{new_id()}", "since": time.time(), "born": time.time(), "fails": self.cloud.builds_fail,
            "deploy": body.get("auto_deployment_config") or {} if body.get("auto_deploy_model") else None,
        }  # fmt: skip
        self.cloud.state["builds"][row["id"]] = row
        return self._build(row)

    def get_model_build(self, query: dict[str, str], body: Row, project: str, model: str, build: str) -> Row:
        return self._build(self.cloud.get("builds", build, model_id=model))

    def _build(self, row: Row) -> Row:
        return {name: value for name, value in row.items() if name not in {"since", "born", "fails", "deploy"}} | {
            "creator": USER
        }

    # Deployments.

    def list_model_deployments(self, query: dict[str, str], body: Row, project: str, model: str, build: str) -> Row:
        self.cloud.get("builds", build, model_id=model)
        return page("model_deployments", self.of("deployments", build_id=build), query, self._deployment)

    def create_model_deployment(self, query: dict[str, str], body: Row, project: str, model: str, build: str) -> Row:
        if self.cloud.get("builds", build, model_id=model)["status"] != "built":
            raise Refused(400, f"build {build} is not built")
        return self._deployment(self._deploy(model, build, body))

    def _deploy(self, model: str, build: str, body: Row) -> Row:
        row = {
            "id": new_id(), "model_id": model, "build_id": build, "project_id": self.cloud.state["project"]["id"],
            "cpu": body.get("cpu") or 1.0, "memory": body.get("memory") or 2.0, "nvidia_gpu": body.get("nvidia_gpus") or 0,
            "environment": body.get("environment") or {}, "replicas": body.get("replicas") or 1, "status": "pending",
            "created_at": stamp(), "updated_at": stamp(), "since": time.time(), "pod": None, "port": None,
        }  # fmt: skip
        self.cloud.state["deployments"][row["id"]] = row
        return row

    def get_model_deployment(
        self, query: dict[str, str], body: Row, project: str, model: str, build: str, deployment: str
    ) -> Row:
        return self._deployment(self.cloud.get("deployments", deployment, build_id=build))

    def stop_model_deployment(
        self, query: dict[str, str], body: Row, project: str, model: str, build: str, deployment: str
    ) -> Row:
        row = self.cloud.get("deployments", deployment, build_id=build)
        if row["status"] not in {"stopped", "failed"}:
            if row["pod"]:
                pods.terminate(row["pod"])
            row |= {"status": "stopping", "since": time.time()}
        return self._deployment(row)

    def restart_model_deployment(
        self, query: dict[str, str], body: Row, project: str, model: str, build: str, deployment: str
    ) -> Row:
        row = self.cloud.get("deployments", deployment, build_id=build)
        self._end(row)
        row |= {"status": "pending", "since": time.time()}
        return self._deployment(row)

    def _deployment(self, row: Row) -> Row:
        shown = {name: value for name, value in row.items() if name not in {"since", "pod", "port"}}
        return shown | {"deployer": USER, "environment": text_of(row["environment"])}

    def _end(self, deployment: Row) -> None:
        if deployment["pod"]:
            pods.kill(deployment["pod"])
        deployment |= {"pod": None, "port": None}

    # How they advance.

    def advance(self) -> bool:
        """Let time pass; whether something changed."""
        builds = [row for row in self.cloud.state["builds"].values() if row["status"] in {"pending", "building"}]
        rows = [row for row in self.cloud.state["deployments"].values() if row["status"] in (*MOVING, "deployed")]
        return any([*(self._advance_build(row) for row in builds), *(self._advance_deployment(row) for row in rows)])

    def _advance_build(self, row: Row) -> bool:
        if time.time() < row["since"] + self.cloud.delays.building:
            return False
        if row["status"] == "pending":
            row |= {"status": "building", "since": time.time()}
        elif row["fails"] or not (self.cloud.project / row["file_path"]).is_file():
            row |= {"status": "build failed", "updated_at": stamp()}
        else:
            row |= {"status": "built", "built_at": stamp(), "updated_at": stamp()}
            if row["deploy"] is not None:
                self._deploy(row["model_id"], row["id"], row["deploy"])
        return True

    def _advance_deployment(self, row: Row) -> bool:
        before, waited = row["status"], time.time() - row["since"]
        alive = row["pod"] is not None and pods.lives(row["pod"])
        if before == "pending":
            if waited >= self.cloud.delays.deploying:
                self._start(row)
                row |= {"status": "deploying", "since": time.time()}
        elif before == "stopping":
            if not alive or waited >= self.cloud.delays.grace:
                self._end(row)
                row |= {"status": "stopped", "stopped_at": stamp()}
        elif not alive:
            self._end(row)
            row |= {"status": "failed"}
        elif before == "deploying" and (self.directory(row) / "ready").exists():
            row |= {"status": "deployed"}
        return row["status"] != before

    def directory(self, deployment: Row) -> Path:
        """Where a deployment's log is kept."""
        return self.cloud.directory / "deployments" / deployment["id"]

    def _start(self, row: Row) -> None:
        build = self.cloud.get("builds", row["build_id"])
        directory, row["port"] = self.directory(row), free_port()
        (directory / "ready").unlink(missing_ok=True)
        words = [
            str(pods.HERE / "serving.py"),
            str(directory),
            build["file_path"],
            build["function_name"],
            str(row["port"]),
        ]
        environment = {
            **pods.base(), **self.cloud.environment(), **row["environment"],
            "CDSW_ENGINE_TYPE": "model", "CDSW_ENGINE_ID": row["id"],
        }  # fmt: skip
        row["pod"] = pods.start(words, environment, self.cloud.project, directory)

    def answer(self, key: str, authorization: str, body: Row) -> Row:
        """What a call of a model is answered: POST {service}?accessKey=KEY {"request": {…}}. Raises Refused."""
        with self.cloud.lock:
            model = next((row for row in self.cloud.state["models"].values() if row["access_key"] == key), None)
            if model is None:
                raise Refused(404, "no model has this access key")
            if model["auth_enabled"] and authorization != f"Bearer {self.cloud.key}":
                raise Refused(401, "this model asks for an API key")
            up = [row["port"] for row in self.of("deployments", model_id=model["id"]) if row["status"] == "deployed"]
        if not up:
            raise Refused(503, "the model is not deployed")
        url, data = f"http://127.0.0.1:{up[-1]}/", json.dumps(body.get("request")).encode()
        try:
            with urllib.request.urlopen(url, data, timeout=60) as answered:
                return json.load(answered)
        except urllib.error.URLError as error:
            raise Refused(502, f"the model does not answer: {error}") from None
