"""A stand-in for Cloudera ML: its API on loopback (version 2, and the calls of version 1 that the studio uses), with one project.

It follows what is known of CML API v2 (24.05) to the letter, and really starts a run's script as a process. By hand:

    python -m tests.cml.standin DIRECTORY [PROJECT]       prints the environment of a pod, and serves until it is interrupted

What only a workbench can show is in docs/cloudera.md.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.cml import pods
from tests.cml.cloud import Cloud, Row
from tests.cml.faults import Cut, Fault, Faults, Page, Refused
from tests.cml.jobs import ACTIVE, Jobs
from tests.cml.models import Models
from tests.cml.others import Others
from tests.cml.routes import ROUTES

TICK = 0.02  # seconds between looks at what moves


@dataclass
class Received:
    """A request, as it came."""

    verb: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


class StandIn:
    """The server and what a test does at "Cloudera's own" side. `directory` keeps state and logs, `project` is /home/cdsw."""

    def __init__(self, directory: Path, project: Path, port: int = 0) -> None:
        self.cloud = Cloud(directory, project)
        self.faults = Faults()
        self.jobs, self.models, self.others = Jobs(self.cloud), Models(self.cloud), Others(self.cloud)
        self.received: list[Received] = []
        # Told of each request, "VERB /path", before its work and after it, when it is not answered yet.
        self.watchers: list[Callable[[str, str], None]] = []
        self.broken: list[str] = []  # faults of the stand-in's own
        self.connections: set[socket.socket] = set()
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.standin = self
        self.cloud.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.over = threading.Event()
        self.threads = [threading.Thread(target=each, daemon=True) for each in (self._serve, self._tick)]
        for thread in self.threads:
            thread.start()

    def _serve(self) -> None:
        self.server.serve_forever(poll_interval=0.02)

    def _tick(self) -> None:
        while not self.over.wait(TICK):
            with self.cloud.lock:
                if any([self.jobs.advance(), self.models.advance()]):
                    self.cloud.save()

    def close(self, leave: bool = False) -> None:
        """End the server, and all that it started unless they are left: then a new one in the same directory goes on."""
        self.over.set()
        self.faults.heal()
        self.server.shutdown()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server.server_close()
        for thread in self.threads:
            thread.join()
        with self.cloud.lock:
            self.cloud.save()
            moving = [*self.cloud.state["runs"].values(), *self.cloud.state["deployments"].values()]
        for row in [] if leave else moving:
            if row["pod"] and pods.lives(row["pod"]):  # else its number may be another process's by now
                pods.kill(row["pod"])

    def environment(self) -> dict[str, str]:
        """What the studio's own pod has in its environment, and where it finds an SDK."""
        named = self.cloud.environment()
        del named["HOME"]
        return named

    @property
    def project_id(self) -> str:
        return str(self.cloud.state["project"]["id"])

    # What goes wrong on demand. `where` is searched in "VERB /path".

    def fail(self, status: int = 500, times: float = 1, where: str = "", retry_after: float | None = None) -> None:
        """Answer with an error, the next `times` that `where` is asked; nothing is done."""
        self.faults.add(Fault("answer", where, times, status, retry_after=retry_after))

    def page(self, status: int = 200, times: float = 1, where: str = "") -> None:
        """Answer with a page of HTML, as a gateway before the API may; nothing is done."""
        self.faults.add(Fault("page", where, times, status))

    def slow(self, seconds: float, times: float = 1, where: str = "") -> None:
        """Answer, but late."""
        self.faults.add(Fault("slow", where, times, seconds=seconds))

    def never(self, times: float = 1, where: str = "") -> None:
        """Take the request and never answer, until healed; nothing is done."""
        self.faults.add(Fault("never", where, times))

    def reset(self, times: float = 1, where: str = "") -> None:
        """End the connection without an answer; nothing is done."""
        self.faults.add(Fault("reset", where, times))

    def lose(self, times: float = 1, where: str = "") -> None:
        """Do what is asked, and end the connection without an answer."""
        self.faults.add(Fault("lost", where, times))

    def heal(self) -> None:
        """Everything works again."""
        self.faults.heal()

    # What a person does in Cloudera's own pages, and what happens to pods.

    def runs(self, name: str | None = None) -> list[Row]:
        """The runs, oldest first, of jobs called so; each with its job's `name`."""
        with self.cloud.lock:
            named = {row["id"]: row["name"] for row in self.cloud.state["jobs"].values()}
            rows = [{**row, "name": named[row["job_id"]]} for row in self.cloud.state["runs"].values()]
        return [row for row in rows if name in (None, row["name"])]

    def active(self) -> list[Row]:
        """The runs that cost something now."""
        return [row for row in self.runs() if row["status"] in ACTIVE]

    def row(self, run: str) -> Row:
        return self.cloud.state["runs"][run]

    def stop(self, run: str) -> None:
        """Stop a run, as a person does."""
        with self.cloud.lock:
            self.jobs.stop(self.row(run), "ENGINE_STOPPED")

    def kill(self, run: str) -> None:
        """Kill a run's pod: out of memory, or its node has gone."""
        with self.cloud.lock:
            pods.kill(self.row(run)["pod"])

    def restart(self, run: str) -> None:
        """Kill a run's pod and start another for the same run, as when it is evicted."""
        with self.cloud.lock:
            pods.kill(self.row(run)["pod"])
            self.jobs.start(self.row(run))

    def show(self, run: str, status: str | None) -> None:
        """Tell another state than a run's own (ENGINE_UNKNOWN); None: its own again."""
        with self.cloud.lock:
            self.row(run)["shown"] = status

    def log(self, run: str) -> str:
        """What a run has printed."""
        path = self.jobs.directory(self.row(run)) / "log.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def template(self, name: str, script: str = "gpu_runner/cml/job.py", **fields: Any) -> str:
        """A template job, as the project's start makes it; its id."""
        body = {
            "name": name,
            "script": script,
            "cpu": 2,
            "memory": 8,
            "nvidia_gpu": 1,
            "runtime_identifier": "runtime:1",
            **fields,
        }
        with self.cloud.lock:
            return str(self.jobs.create_job({}, body, self.project_id)["id"])

    # Requests.

    def answer(self, received: Received) -> Any:
        """What a request is answered; every known one is done under the lock. Raises Refused, Cut."""
        fault = self.faults.take(str(received))
        self._tell(received, "before")
        if fault:
            self.faults.before(fault)
        if received.verb == "POST" and received.path == "/model":
            key = received.query.get("accessKey") or (received.body or {}).get("accessKey", "")
            return self.models.answer(key, received.headers.get("authorization", ""), received.body)
        self._authorize(received)
        with self.cloud.lock:
            answered = self._find(received)
            if received.verb != "GET":
                self.cloud.save()
        self._tell(received, "after")
        if fault and fault.kind == "lost":
            raise Cut
        return answered

    def _tell(self, received: Received, moment: str) -> None:
        for watcher in list(self.watchers):
            watcher(str(received), moment)

    def _authorize(self, received: Received) -> None:
        basic = base64.b64encode(f"{self.cloud.v1_key}:".encode()).decode()
        wanted = f"Bearer {self.cloud.key}" if received.path.startswith("/api/v2/") else f"Basic {basic}"
        if received.headers.get("authorization") != wanted:
            raise Refused(401, "the API key is not valid")

    def _find(self, received: Received) -> Any:
        for verb, pattern, name in ROUTES:
            found = re.fullmatch(pattern, received.path) if verb == received.verb else None
            if found is None:
                continue
            words = [unquote(each) for each in found.groups()]
            if "/projects/" in received.path and received.path.startswith("/api/v2/"):
                self.cloud.check_project(words[0])
            for room in (self.jobs, self.models, self.others):
                if method := getattr(room, name, None):
                    return method(received.query, received.body or {}, *words)
        raise Refused(404, "Not Found")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    standin: StandIn

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1, as the SDK's pool of connections keeps them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.standin.connections.add(self.connection)

    def finish(self) -> None:
        self.server.standin.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def do(self) -> None:
        """Take a request, and answer it."""
        standin: StandIn = self.server.standin
        parts = urlsplit(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(data) if data else None
        except ValueError:
            self._send(400, Refused(400, "invalid JSON").body())
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
        standin.received.append(received)
        try:
            self._send(200, standin.answer(received))
        except Refused as refused:
            self._send(refused.status, refused.body(), refused.retry_after)
        except Page as page:
            self._send(page.status, "<html>It is someone else who answers.</html>")
        except Exception as error:
            if not isinstance(error, Cut | ConnectionError):  # who asked may be dead
                standin.broken.append(traceback.format_exc())
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PATCH = do_DELETE = do

    def _send(self, status: int, body: Any, retry_after: float | None = None) -> None:
        html = isinstance(body, str)
        data = (body if html else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if html else "application/json")
        self.send_header("Content-Length", str(len(data)))
        if retry_after is not None:
            self.send_header("Retry-After", f"{retry_after:g}")
        self.end_headers()
        self.wfile.write(data)


def _by_hand(directory: str, project: str = ".") -> None:
    standin = StandIn(Path(directory), Path(project).resolve())
    for name, value in standin.environment().items():
        print(f"export {name}={shlex.quote(value)}")  # noqa: T201
    print(f"export PYTHONPATH={shlex.quote(pods.base()['PYTHONPATH'])}", flush=True)  # noqa: T201
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(60)
    standin.close()


if __name__ == "__main__":
    _by_hand(*sys.argv[1:])
