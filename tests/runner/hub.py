"""A stand-in of the Hub on the loopback interface: repositories, uploads and commits, as its API has them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_secret"


class Repository:
    """A repository: its files, and its commits, the newest last."""

    def __init__(self, private: bool) -> None:
        self.private, self.files = private, dict[str, bytes]()
        self.commits = ["0" * 40]

    @property
    def sha(self) -> str:
        return self.commits[-1]


class Hub:
    """The Hub. `away` is an HTTP status that everything is answered with; `gated`: files are for those with `token` only."""

    def __init__(self, token: str = TOKEN, *, gated: bool = False) -> None:
        self.token, self.gated = token, gated
        self.repositories: dict[str, Repository] = {}
        self.stored: dict[str, bytes] = {}
        self.away = 0
        self.url = ""

    def put(self, name: str, directory: Path) -> None:
        """A repository with the files of a directory."""
        made = self.repositories[name] = Repository(private=self.gated)
        made.files = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}

    def create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        there = name in self.repositories
        if not there:
            self.repositories[name] = Repository(asked.get("private") or asked.get("visibility") == "private")
        return 409 if there else 200, {"url": f"{self.url}/{name}", "name": name, "id": name}

    def info(self, name: str) -> tuple[int, Any]:
        if name not in self.repositories:
            return 404, {"error": "Repository not found"}
        found = self.repositories[name]
        siblings = [{"rfilename": each} for each in found.files]
        return 200, {"id": name, "sha": found.sha, "private": found.private, "siblings": siblings}

    def tree(self, name: str) -> tuple[int, Any]:
        files = self.repositories[name].files
        return 200, [
            {"type": "file", "path": each, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for each, content in files.items()
        ]

    def modes(self, asked: dict[str, Any]) -> tuple[int, Any]:
        names = [each["path"] for each in asked["files"]]
        large = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in names}
        return 200, {
            "files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in large.items()]
        }

    def batch(self, asked: dict[str, Any]) -> tuple[int, Any]:
        upload = [
            {**each, "actions": {"upload": {"href": f"{self.url}/lfs/{each['oid']}"}}} for each in asked["objects"]
        ]
        return 200, {"transfer": "basic", "objects": upload}

    def commit(self, name: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        found = self.repositories[name]
        head = next(each["value"] for each in lines if each["key"] == "header")
        if head.get("parentCommit") not in (None, found.sha):
            return 412, {"error": "A commit has happened since"}
        for each in lines:
            value = each["value"]
            if each["key"] == "file":
                found.files[value["path"]] = base64.b64decode(value["content"])
            elif each["key"] == "lfsFile":
                found.files[value["path"]] = self.stored[value["oid"]]
            elif each["key"] == "deletedFile":
                del found.files[value["path"]]
        found.commits.append(f"{len(found.commits):040x}")
        return 200, {"commitUrl": f"{self.url}/{name}/commit/{found.sha}", "commitOid": found.sha}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/api/whoami-v2":
            self.answer(200, {"name": "me"})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+)?", path):
            self.answer(*self.hub.info(found[1]))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+", path):
            self.answer(*self.hub.tree(found[1]))
        elif re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+/.+", path):
            self.send(404, b"", {"X-Error-Code": "EntryNotFound"})  # no repository has directories here
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            if self.hub.gated and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
                self.send(401, b"", {"X-Error-Code": "GatedRepo"})
                return
            repository = self.hub.repositories[found[1]]
            if found[2] not in repository.files:
                self.send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repository.sha})
                return
            content = repository.files[found[2]]
            etag = hashlib.sha1(content).hexdigest()
            self.send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": repository.sha})
        else:
            self.answer(404, {"error": path})

    def do_PUT(self) -> None:
        self.hub.stored[self.path.rpartition("/")[2]] = self.body()
        self.send(200, b"", {"ETag": '"x"'})

    def do_POST(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self.body()
        name = "/".join(path.removeprefix("/api/models").strip("/").split("/")[:2])
        if path == "/api/repos/create":
            self.answer(*self.hub.create(json.loads(body)))
        elif path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            self.answer(*self.hub.modes(json.loads(body)))
        elif path.endswith("/info/lfs/objects/batch"):
            self.answer(*self.hub.batch(json.loads(body)))
        elif "/commit/" in path:
            self.answer(*self.hub.commit(name, [json.loads(line) for line in body.splitlines()]))
        else:
            self.answer(404, {"error": path})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, status: int, value: Any) -> None:
        allowed = self.headers.get("Authorization") in (None, f"Bearer {self.hub.token}")
        missing = {"X-Error-Code": "RepoNotFound"} if status == 404 else {}
        if self.hub.away or not allowed:
            status, value = self.hub.away or 401, {"error": "not now"}
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **missing})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def hub(**how: Any) -> Iterator[Hub]:
    """The Hub, while it is asked."""
    made = Hub(**how)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": made}))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
