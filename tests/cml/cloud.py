"""What Cloudera ML knows of a project, as plain data that a file keeps; and the ways in which its lists are asked."""

from __future__ import annotations

import base64
import json
import random
import string
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cml.faults import Refused

Row = dict[str, Any]
OWNER, PROJECT_NAME = "ada", "fine-tuning"
USER = {"username": OWNER, "name": "Ada", "email": "ada@example.org"}
TABLES = (
    "jobs",
    "runs",
    "models",
    "builds",
    "deployments",
    "applications",
    "registered",
    "experiments",
    "experiment_runs",
)
ALPHABET = string.ascii_lowercase + string.digits
RUNTIME = "docker.repository.cloudera.com/ml-runtime-pbj-jupyterlab-python3.11-standard:2024.05.1-b8"


@dataclass
class Delays:
    """Seconds: how long a run stays in a state, how long a pod has from SIGTERM to SIGKILL, a build and a deployment take."""

    scheduling: float = 0.02
    starting: float = 0.02
    grace: float = 2.0
    building: float = 0.02
    deploying: float = 0.02
    visible: float = 0.0  # a run, a model, a build that was just created is not found for so long


def new_id() -> str:
    """An id of the shape that Cloudera's have."""
    return "-".join("".join(random.choices(ALPHABET, k=4)) for _ in range(4))


def stamp(at: float | None = None) -> str:
    """A moment as the API tells it."""
    return datetime.fromtimestamp(at or time.time(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def text_of(environment: Any) -> str:
    """An environment as the API answers it: a JSON text."""
    return environment if isinstance(environment, str) else json.dumps(environment or {})


class Cloud:
    """The project's state, in memory and in a file; a lock around both."""

    def __init__(self, directory: Path, project: Path) -> None:
        self.directory, self.project = directory, project
        self.delays = Delays()
        self.room: int | None = None  # runs that Cloudera's has room for at once; None: any number
        self.builds_fail: str | None = None  # what a build that is made now fails with
        self.lock = threading.RLock()
        self.base = ""  # the server's address
        self.key, self.v1_key = f"key2-{new_id()}", f"key1-{new_id()}"
        self.labels: list[Row] = []
        self.usage: Row = {
            "cpu": 11.5, "cpuAllocatable": 64, "memory": 120.0, "memoryAllocatable": 512, "nvidiaGPU": 3, "nvidiaGPUAllocatable": 8,
        }  # fmt: skip
        self.site: Row = {"max_gpu_per_engine": 4, "default_accelerator_label_id": None}
        self.state: Row = {
            "project": {"id": new_id(), "name": PROJECT_NAME, "owner": USER, "creator": USER, "environment": "{}",
                        "default_engine_type": "ml_runtime", "creation_status": "success", "created_at": stamp()},
            "keys": [self.key, self.v1_key],
            **{table: {} for table in TABLES},
        }  # fmt: skip
        self._load()

    def _load(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if (self.directory / "state.json").exists():
            self.state = json.loads((self.directory / "state.json").read_text())
            self.key, self.v1_key = self.state["keys"]

    def save(self) -> None:
        """Keep the state, so that a stand-in that is started later goes on with it."""
        temporary = self.directory / ".state.json"
        temporary.write_text(json.dumps(self.state))
        temporary.replace(self.directory / "state.json")

    def get(self, table: str, id: str, **where: str) -> Row:
        """A row, which must be of what `where` says. Raises Refused (404)."""
        row = self.state[table].get(id)
        if row is None or any(row[name] != value for name, value in where.items()):
            raise Refused(404, f"{table.removesuffix('s')} {id} not found")
        return row

    def check_project(self, project_id: str) -> Row:
        if project_id != self.state["project"]["id"]:
            raise Refused(404, f"project {project_id} not found")
        return self.state["project"]

    def environment(self) -> dict[str, str]:
        """What Cloudera tells every pod of the project, and what the project's owner set."""
        project = self.state["project"]
        return {
            **json.loads(project["environment"]),
            "HOME": str(self.project),
            "CDSW_API_URL": f"{self.base}/api/v1",
            "CDSW_APIV2_KEY": self.key,
            "CDSW_API_KEY": self.v1_key,
            "CDSW_PROJECT": PROJECT_NAME,
            "CDSW_PROJECT_ID": project["id"],
            "CDSW_PROJECT_URL": f"{self.base}/api/v1/projects/{OWNER}/{PROJECT_NAME}",
            "CDSW_DOMAIN": self.base.removeprefix("http://"),
            "CDSW_IP_ADDRESS": "127.0.0.1",
            "FTS_CML_MODEL_SERVICE": f"{self.base}/model",  # no name with modelservice. before it leads here
            "PROJECT_OWNER": OWNER,
        }


def matches(row: Row, filters: Row) -> bool:
    """Whether the row holds what a search_filter asks for: Cloudera's looks for a part of a text."""
    return all(str(wanted).lower() in str(row.get(name, "")).lower() for name, wanted in filters.items())


def page(name: str, rows: Iterable[Row], query: dict[str, str], shown: Callable[[Row], Row]) -> Row:
    """A page of a list: filtered, sorted, cut; its token goes with the page's size."""
    try:
        filters = json.loads(query.get("search_filter") or "{}")
        size = int(query.get("page_size") or 10)
    except ValueError:
        raise Refused(400, "search_filter must be a JSON text, page_size a number") from None
    found = [row for row in map(shown, rows) if matches(row, filters)]
    for key in reversed((query.get("sort") or "").replace(" ", "+").split(",")):
        if key:
            found.sort(key=lambda row: str(row.get(key.lstrip("+-"), "")), reverse=key.startswith("-"))
    start = _start(query.get("page_token") or "", size)
    more = start + size < len(found)
    token = base64.urlsafe_b64encode(f"{start + size}:{size}".encode()).decode() if more else ""
    return {name: found[start : start + size], "next_page_token": token}


def _start(token: str, size: int) -> int:
    if not token:
        return 0
    try:
        start, _, of = base64.urlsafe_b64decode(token).decode().partition(":")
        if int(of) == size:
            return int(start)
    except ValueError:
        pass
    raise Refused(400, "page_token is not of this list, or page_size has changed")
