"""The script that Cloudera ML runs as an endpoint (docs/decisions.md, D-031): it stands alone, and answers like base and adapter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.runner.exporting import answers, make_pair

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own imports
    from gpu_runner import predict

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
PROMPTS = ["w3 a b", "w7 a b"]
ASKING = """
import json, sys
import predict  # loads what the environment names
told = [predict.api_wrapper({"prompt": prompt}) for prompt in json.loads(sys.argv[1])]
ours = [name for name in sys.modules if name.split(".")[0] in ("core", "actors", "gpu_runner", "tui")]
print(json.dumps({"told": told, "ours": ours, "loaded": predict.endpoint.cache_info().hits > 0}))
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def named(pair: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of an endpoint."""
    told = {
        "FINE_TUNING_STUDIO_BASE_MODEL_HF_NAME": str(pair / "base"),
        "FINE_TUNING_STUDIO_ADAPTER_LOCATION": str(pair / "adapter"),
        "FINE_TUNING_STUDIO_GEN_CONFIG_STRING": json.dumps({"max_new_tokens": 8}),
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    predict.endpoint.cache_clear()
    return told


def test_alone_in_a_directory_it_loads_what_the_environment_names_and_answers_like_base_and_adapter(
    pair: Path, tmp_path: Path, named: dict[str, str]
) -> None:
    shutil.copyfile(predict.__file__, tmp_path / "predict.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", ASKING, json.dumps(PROMPTS)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment | named, check=True, capture_output=True, text=True, timeout=180
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"told": answers(pair, PROMPTS, pair / "adapter"), "ours": [], "loaded": True}


def test_a_request_says_otherwise_than_the_environment_and_that_otherwise_than_the_defaults(
    pair: Path, named: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(predict.Answerer, "answer", lambda self, prompt, settings: asked.append(settings) or prompt)
    monkeypatch.setenv("FINE_TUNING_STUDIO_GEN_CONFIG_STRING", "{'max_new_tokens': 8, 'top_k': 5, 'use_cache': True}")
    assert predict.predict({"request": {"prompt": "a", "top_k": 3, "do_sample": True}}) == "a"
    assert asked == [{**predict.DEFAULTS, "max_new_tokens": 8, "use_cache": True, "top_k": 3, "do_sample": True}]
    monkeypatch.setenv("FINE_TUNING_STUDIO_GEN_CONFIG_STRING", "no config at all")
    predict.predict({"prompt": "a"})
    assert asked[1] == predict.DEFAULTS


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ([], "prompt is required"),
        ({}, "prompt is required"),
        ({"prompt": ""}, "prompt is required"),
        ({"request": {"prompt": 7}}, "prompt is required"),
        ({"prompt": "a", "max_tokens": 5}, "not known: max_tokens"),
    ],
)
def test_a_request_that_is_wrong_is_told_what_is_wrong(args: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        predict.api_wrapper(args)


def test_settings_of_generation_are_honoured(pair: Path, named: dict[str, str]) -> None:
    greedy = answers(pair, PROMPTS, pair / "adapter")
    assert [predict.api_wrapper({"prompt": each}) for each in PROMPTS] == greedy
    drawn = {predict.api_wrapper({"prompt": PROMPTS[0], "do_sample": True, "temperature": 5.0}) for _ in range(8)}
    assert len(drawn) > 1
    assert predict.api_wrapper({"prompt": PROMPTS[0], "max_new_tokens": 1}) == greedy[0].split(" ")[0]
