"""The door to the Hub (docs/decisions.md, D-017), against a server that answers as the Hub does: what is there, gated, missing, or away."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow.parquet import write_table

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
CARD = b"""---
dataset_info:
  features:
  - {name: question, dtype: string}
  - {name: answer, dtype: string}
---
"""


def parquet() -> bytes:
    buffer = io.BytesIO()
    write_table(pyarrow.table({"question": ["why"] * 9, "answer": ["because"] * 9}), buffer)
    return buffer.getvalue()


DATASETS: dict[str, dict[str, bytes]] = {
    "org/bare": {"data.csv": b"question,n\nwhy,1\nhow,2\n"},
    "org/carded": {"README.md": CARD, "data.csv": b"question,answer\nwhy,because\n"},
    "org/parquet": {"README.md": CARD, "train.parquet": parquet()},
    "org/empty": {"data.csv": b""},
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
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        api, _, file = path.partition("/resolve/")
        name = "/".join(api.removeprefix("/api").split("/")[2:4])
        if "/datasets/" in api and name in DATASETS:
            self._dataset(DATASETS[name], path, file.partition("/")[2])
            return
        status, headers, body = ANSWERS.get(self.path.partition("?")[0], MISSING)
        if self.path.startswith("/api/models/org/private") and self.headers.get("Authorization") == "Bearer hf_token":
            status, headers, body = 200, {}, MODEL
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def _dataset(self, files: dict[str, bytes], path: str, file: str) -> None:
        """A dataset's facts, the list of its files, or one of them."""
        listed: Any = {"id": "org/d", "sha": COMMIT, "siblings": [{"rfilename": each} for each in files]}
        if "/tree/" in path:
            listed = [
                {"type": "file", "oid": "0" * 40, "size": len(data), "path": each} for each, data in files.items()
            ]
        body = files.get(file, b"") if file else json.dumps(listed).encode()
        missing = bool(file) and file not in files
        self.send_response(404 if missing else 200)
        if missing:
            self.send_header("X-Error-Code", "EntryNotFound")
        for name, value in {"ETag": f'"{COMMIT}"', "X-Repo-Commit": COMMIT, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def ask(endpoint: str, function: str, name: str, token: str = "", **more: str) -> str:
    environment = {
        **os.environ,
        **more,
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


def test_a_datasets_columns_and_first_rows_are_read_where_its_card_does_not_tell_them(
    endpoint: str, tmp_path: Path
) -> None:
    def found(name: str) -> dict[str, Any]:
        told = ask(endpoint, "dataset_facts", name, HF_HOME=str(tmp_path))
        facts: dict[str, Any] = ast.literal_eval(told.removeprefix("found "))
        assert facts["revision"] == COMMIT
        return facts

    bare = found("org/bare")
    assert (bare["features"], bare["column_types"]) == (["question", "n"], {"question": "string", "n": "int64"})
    assert bare["preview"] == [{"question": "why", "n": 1}, {"question": "how", "n": 2}]
    carded, parquet = found("org/carded"), found("org/parquet")
    assert carded["features"] == parquet["features"] == ["question", "answer"]
    assert carded["preview"] is None and parquet["preview"] == [{"question": "why", "answer": "because"}] * 5
    told = ask(endpoint, "dataset_facts", "org/empty", HF_HOME=str(tmp_path))
    assert told.startswith("refused org/empty can't be read: its card does not tell its columns")


def test_the_token_goes_to_the_hub(endpoint: str) -> None:
    assert ask(endpoint, "model_facts", "org/private", "hf_token").startswith("found")
    assert ask(endpoint, "model_facts", "org/private").startswith("refused")


def test_a_hub_that_is_away_is_unavailable() -> None:
    assert ask("http://127.0.0.1:9", "model_facts", "org/m").startswith("unavailable")
