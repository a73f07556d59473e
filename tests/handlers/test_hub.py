"""The door to the Hub (docs/decisions.md, D-017), against a server that answers as the Hub does: what is there, gated, missing, or away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

COMMIT = "c0ffee" + "0" * 34
MODEL: dict[str, Any] = {
    "id": "org/m",
    "modelId": "org/m",
    "sha": COMMIT,
    "siblings": [],
    "config": {"architectures": ["LlamaForCausalLM"]},
}
ADAPTER: dict[str, Any] = {
    "id": "org/a",
    "modelId": "org/a",
    "sha": COMMIT,
    "siblings": [{"rfilename": "adapter_config.json"}, {"rfilename": "adapter_model.safetensors"}],
    "cardData": {"base_model": "org/m"},
}
PICKLED: dict[str, Any] = {
    **ADAPTER,
    "siblings": [{"rfilename": "adapter_config.json"}, {"rfilename": "adapter_model.bin"}],
}
ANSWERS: dict[str, tuple[int, dict[str, str], dict[str, Any]]] = {
    "/api/models/org/m": (200, {}, MODEL),
    "/api/models/org/m/revision/v2": (200, {}, {**MODEL, "sha": "f" * 40}),
    "/api/models/org/m/revision/none": (404, {"X-Error-Code": "RevisionNotFound"}, {}),
    "/api/models/org/gated": (403, {"X-Error-Code": "GatedRepo"}, {}),
    "/api/models/org/a": (200, {}, ADAPTER),
    "/api/models/org/pickled": (200, {}, PICKLED),
    "/api/models/org/broken": (500, {}, {}),
}
MISSING: tuple[int, dict[str, str], dict[str, Any]] = (404, {"X-Error-Code": "RepoNotFound"}, {})
ASK = """
import sys
from pydantic import SecretStr
from actors import hub
from core.errors import Unavailable
try:
    print("found", getattr(hub, sys.argv[1])(sys.argv[2], SecretStr(sys.argv[3]) if sys.argv[3] else None))
except Unavailable as error:
    print("unavailable", error)
except ValueError as error:
    print("refused", error)
"""


class Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, body = ANSWERS.get(self.path.partition("?")[0], MISSING)
        if self.path.startswith("/api/models/org/private") and self.headers.get("Authorization") == "Bearer hf_token":
            status, headers, body = 200, {}, MODEL
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def ask(endpoint: str, function: str, name: str, token: str = "") -> str:
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": ".",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK, function, name, token], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("function", "name", "said"),
    [
        ("model_facts", "org/m", f"found {{'revision': '{COMMIT}', 'family': 'LlamaForCausalLM'}}"),
        ("model_facts", "org/m@v2", "found {'revision': 'ffff"),
        ("model_facts", "org/m@none", "refused org/m has no revision 'none'"),
        ("model_facts", "org/gated", "refused org/gated is gated: ask for access"),
        ("model_facts", "org/missing", "refused org/missing was not found on the Hub; if it is private"),
        ("model_facts", "not a name!", "refused 'not a name!' is no name on the Hub"),
        ("model_facts", "org/broken", "unavailable the Hugging Face Hub can't be reached"),
        ("adapter_facts", "org/a", f"found {{'revision': '{COMMIT}', 'base_model': 'org/m'}}"),
        ("adapter_facts", "org/pickled", "refused org/pickled has no safetensors weights"),
        ("adapter_facts", "org/m", "refused org/m has no adapter_config.json"),
        ("dataset_facts", "org/missing", "refused org/missing was not found on the Hub"),
    ],
)
def test_what_the_hub_says_is_said_clearly(endpoint: str, function: str, name: str, said: str) -> None:
    assert ask(endpoint, function, name).startswith(said)


def test_the_token_goes_to_the_hub(endpoint: str) -> None:
    assert ask(endpoint, "model_facts", "org/private", "hf_token").startswith("found")
    assert ask(endpoint, "model_facts", "org/private").startswith("refused")


def test_a_hub_that_is_away_is_unavailable() -> None:
    assert ask("http://127.0.0.1:9", "model_facts", "org/m").startswith("unavailable")
