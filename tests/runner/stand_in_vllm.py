"""What stands in for vLLM: its command line, its key, its addresses; it says who was asked, and how.

A body whose prompt is "die" ends it, "fail" is refused, and one that streams "long" goes on until its caller hangs up.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def arguments() -> argparse.Namespace:
    """As `vllm serve` reads them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    for name in ("--host", "--served-model-name", "--load-format", "--revision"):
        parser.add_argument(name)
    for name in ("--port", "--max-loras", "--max-lora-rank", "--tensor-parallel-size"):
        parser.add_argument(name, type=int)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--lora-modules", nargs="*", default=[], type=json.loads)
    return parser.parse_args()


ASKED = arguments()
NOTES = Path(os.environ["STAND_IN_NOTES"])


def note(**fields: Any) -> None:
    """Leave word for the test."""
    with NOTES.open("a") as file:
        file.write(json.dumps(fields) + "\n")


class Handler(BaseHTTPRequestHandler):
    """Its HTTP."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        note(path=self.path, body=body)
        if self.headers["Authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            self._send(401, {"error": {"message": "no"}})
        elif body.get("prompt") == "die":
            os._exit(3)
        elif body.get("prompt") == "fail":
            self._send(400, {"error": {"message": "vLLM does not like it", "code": 400}})
        elif body.get("stream"):
            self._stream(body)
        else:
            chat = "chat" in self.path
            said = {"message": {"role": "assistant", "content": body["model"]}} if chat else {"text": body["model"]}
            choice = {"index": 0, "finish_reason": "stop", **said}
            usage = {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}
            self._send(200, {"id": "1", "object": "x", "created": 1, "model": body["model"], "choices": [choice], "usage": usage})  # fmt: skip

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            number = 0
            while number < 3 or body.get("prompt") == "long":
                choice = {"index": 0, "text": f"{body['model']} ", "finish_reason": None}
                piece = {
                    "id": "1",
                    "object": "text_completion",
                    "created": 1,
                    "model": body["model"],
                    "choices": [choice],
                }
                self.wfile.write(f"data: {json.dumps(piece)}\n\n".encode())
                self.wfile.flush()
                number += 1
                time.sleep(0.01)
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            note(hung_up=True)


if __name__ == "__main__":
    note(arguments=vars(ASKED), argv=sys.argv, key=bool(os.environ.get("VLLM_API_KEY")))
    if "STAND_IN_FAILS" in os.environ:
        sys.exit("CUDA out of luck")
    ThreadingHTTPServer((ASKED.host, ASKED.port), Handler).serve_forever()
