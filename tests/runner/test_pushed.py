"""A push to the Hub is one commit of what answers like base and adapter, and nobody else's work is overwritten."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from gpu_runner import child, merged
from tests.runner.attempts import Attempt
from tests.runner.exporting import answers, die_and_go_on, export_spec, make_pair
from tests.runner.hub import TOKEN, Hub, Repository, hub
from tests.runner.test_export import PROMPTS, asked, forget_a_layer

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the Hub's client uses its HTTP library as it was
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The Hub, which this process asks."""
    with hub() as made:
        monkeypatch.setattr(constants, "ENDPOINT", made.url)
        template = made.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stand-in speaks the protocol before it
        yield made


def push(spec: dict[str, Any], attempt: Attempt, token: str | None = TOKEN) -> dict[str, Any]:
    """Run the attempt with the token that a child is handed; the finished record."""
    child.run(attempt.prepare(spec), token)
    os.environ.pop("HF_TOKEN", None)
    return attempt.finished()


def of(pair: Path, tmp: Path, **extra: Any) -> dict[str, Any]:
    return export_spec(pair, tmp, "huggingface", hub_name="org/tickets", **extra)


def test_a_push_is_one_commit_of_a_model_that_answers_like_base_and_adapter(
    pair: Path, tmp_path: Path, there: Hub
) -> None:
    told = push(of(pair, tmp_path), Attempt(tmp_path))
    assert told["outcome"] == "succeeded", told
    made, repository = told["summary"]["exported"], there.repositories["org/tickets"]
    assert repository.private and len(repository.commits) == 2
    assert (made["uri"], made["commit"]) == (f"{there.url}/org/tickets", repository.sha)
    for name, content in repository.files.items():
        path = tmp_path / "fetched" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert asked(tmp_path / "fetched", PROMPTS) == answers(pair, PROMPTS, pair / "adapter")
    assert made["files"]["model.safetensors"] == hashlib.sha256(repository.files["model.safetensors"]).hexdigest()
    assert b"8 of 8 prompts" in repository.files["README.md"]
    assert TOKEN not in str(told) and not (tmp_path / "jobs" / "job" / "1" / "push").exists()


def test_an_export_that_follows_replaces_the_one_before_whole(pair: Path, tmp_path: Path, there: Hub) -> None:
    push(of(pair, tmp_path), Attempt(tmp_path))
    repository = there.repositories["org/tickets"]
    told = json.loads(repository.files["fts_export.json"])
    told["files"]["model-00002-of-00002.safetensors"] = "00"
    repository.files["fts_export.json"] = json.dumps(told).encode()
    repository.files["model-00002-of-00002.safetensors"] = b"of an export before"
    repository.files["curve.png"] = b"someone else's"
    told = push(of(pair, tmp_path, job_id="next"), Attempt(tmp_path, job_id="next"))
    assert told["outcome"] == "succeeded", told
    assert "model-00002-of-00002.safetensors" not in repository.files and len(repository.commits) == 3
    assert repository.files["curve.png"] == b"someone else's"


def test_what_others_put_there_while_it_was_made_is_left_alone(
    pair: Path, tmp_path: Path, there: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = merged.open_directory

    def meanwhile(*args: Any) -> Any:
        there.repositories["org/tickets"] = Repository(private=True)
        there.repositories["org/tickets"].files["model.safetensors"] = b"someone else's"
        return real(*args)

    monkeypatch.setattr(merged, "open_directory", meanwhile)
    told = push(of(pair, tmp_path), Attempt(tmp_path))
    assert told["outcome"] == "failed" and "no export put there" in told["error"]["message"]
    assert there.repositories["org/tickets"].files == {"model.safetensors": b"someone else's"}


def test_what_others_put_there_and_what_is_public_is_left_alone(pair: Path, tmp_path: Path, there: Hub) -> None:
    push(of(pair, tmp_path, private=False), Attempt(tmp_path))
    repository = there.repositories["org/tickets"]
    told = push(of(pair, tmp_path, job_id="private"), Attempt(tmp_path, job_id="private"))
    assert told["outcome"] == "failed" and "is public on the Hub" in told["error"]["message"]
    del repository.files["fts_export.json"]
    told = push(of(pair, tmp_path, job_id="other"), Attempt(tmp_path, job_id="other"))
    assert told["outcome"] == "failed" and "no export put there" in told["error"]["message"]
    assert len(repository.commits) == 2


def test_a_broken_merge_never_comes_to_the_hub(
    pair: Path, tmp_path: Path, there: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged, "merge", forget_a_layer)
    assert push(of(pair, tmp_path), Attempt(tmp_path))["outcome"] == "failed"
    assert there.repositories == {} and there.stored == {}


def test_a_token_that_may_not_and_a_hub_that_is_away_are_told(pair: Path, tmp_path: Path, there: Hub) -> None:
    for token, status, text in (
        (None, 0, "needs a token"),
        ("hf_wrong", 0, "401"),
        (TOKEN, 403, "403"),
    ):
        there.away = status
        name = f"job-{token}"
        told = push(of(pair, tmp_path, job_id=name), Attempt(tmp_path, job_id=name), token)
        assert told["outcome"] == "failed" and text in told["error"]["message"]
        assert "HUGGINGFACE_ACCESS_TOKEN" in told["error"]["hint"]
        assert "hf_wrong" not in str(told["error"])


def test_killed_before_or_after_its_commit_it_is_there_once(pair: Path, tmp_path: Path, there: Hub) -> None:
    fates = [
        "huggingface_hub.hf_api HfApi.create_commit before",
        "huggingface_hub.hf_api HfApi.create_commit after",
    ]
    paths = {"HF_ENDPOINT": there.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "TEST_TOKEN": TOKEN}
    *_, last = die_and_go_on(of(pair, tmp_path), tmp_path, fates, **paths)
    made, repository = last.finished()["summary"]["exported"], there.repositories["org/tickets"]
    assert len(repository.commits) == 2 and made["commit"] == repository.sha
    assert made["parity"]["same_text"] == 8 and "model.safetensors" in made["files"]
    assert last.records("phase") == [] and not list((tmp_path / "jobs" / "job").glob("*/push/*.safetensors"))
