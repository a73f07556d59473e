"""A webhook, and a command, that note what they are told."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CANARY, USER, KEY = "canary-in-the-path", "canary-user", "canary-that-signs"
# A command: what it is given goes into told.jsonl of the project's directory.
SCRIPT = """
import json, os, sys
with open("told.jsonl", "a") as told:
    told.write(json.dumps({"environment": dict(os.environ), "argv": sys.argv, "body": json.load(sys.stdin)}) + "\\n")
"""


class Hook(http.server.ThreadingHTTPServer):
    """A webhook: what it was sent, and what it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.got: list[tuple[Any, bytes, str]] = []
        self.status, self.wait = 204, 0.0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @classmethod
    @contextmanager
    def serving(cls) -> Iterator[Hook]:
        """One that answers meanwhile."""
        made = cls()
        yield made
        made.shutdown()
        made.server_close()

    @property
    def url(self) -> str:
        return f"http://{USER}:{KEY}@127.0.0.1:{self.server_port}/hooks/{CANARY}?token={CANARY}"


class Answering(http.server.BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.headers, data, self.path))
        try:
            for _ in range(round(self.server.wait / 0.05)):  # a byte now and then: never silent for long
                self.wfile.write(b"H")
                time.sleep(0.05)
            self.send_response(self.server.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
        except OSError:
            pass

    def log_message(self, *given: Any) -> None:
        pass
