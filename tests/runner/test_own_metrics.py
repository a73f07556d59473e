"""Metrics of users' own, and toxicity: scored beside the studio's figures, and what goes wrong in them costs theirs alone."""

from __future__ import annotations

import hashlib
import json
import py_compile
from pathlib import Path
from typing import Any

import pytest
import torch

from core.messages.evaluation import FIGURES
from core.settings import read
from core.spec import MetricScript
from gpu_runner import own_metrics
from gpu_runner.device import Device
from gpu_runner.failures import JobError
from gpu_runner.toxicity import Toxicity
from tests.runner.evaluations import ROWS, Attempt, finished
from tests.runner.tiny import WORDS, make_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
LENGTH = """
import os
LOWER_IS_BETTER = ["words"]
def score(prediction, expected, row):
    print("printed", prediction)
    if row["question"].startswith("w3 "):
        raise ValueError("not this one")
    secrets = [name for name in os.environ if "TOKEN" in name and name != "TOKENIZERS_PARALLELISM"]
    return {"words": len(prediction.split()), "same": row["answer"] == expected, "secrets": len(secrets)}
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of scripts."""
    place = tmp_path / "scripts"
    place.mkdir()
    monkeypatch.setenv("FTS_SCRIPTS_DIR", str(place))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return place


def sealed(scripts: Path, name: str, text: str) -> dict[str, str]:
    """A script that is put there, as a specification names it."""
    (scripts / name).write_text(text)
    return {"name": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def warnings(attempt: Attempt) -> list[str]:
    return [each["text"] for each in attempt.records() if each["type"] == "warning"]


def test_a_metric_of_ones_own_is_a_figure_like_the_others(spec: Any, scripts: Path, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    attempt.run(spec("one", "base", metrics=[sealed(scripts, "mine.py", LENGTH)]))
    told, lines = attempt.scored()["2-base"], attempt.answers("2-base")
    words = [len(line["answer"].split()) for line in lines if line["row"] != 3]
    assert told["values"]["mine_words"] == pytest.approx(sum(words) / (ROWS - 1))
    assert (told["values"]["mine_same"], told["values"]["mine_secrets"]) == (1.0, 0.0)
    sure = told["statistics"]["mine_words"]
    assert sure["higher_is_better"] is False and sure["delta"] is not None and sure["p"] is not None
    assert told["statistics"]["mine_same"]["higher_is_better"] is True
    assert "mine_words" not in lines[3]["scores"] and lines[4]["scores"]["mine_words"] == words[3]
    assert warnings(attempt) == [f"metric mine.py came to no score for 1 of {ROWS} rows: ValueError: not this one"]


ENDLESS = "import time\ndef score(prediction, expected, row):\n    time.sleep(60)"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1", "it defines no function score(prediction, expected, row)"),
        ("import no_such_module", "No module named 'no_such_module'"),
        (ENDLESS, "it took more than 0.5 s (FTS_METRIC_SECONDS)"),
        ("import os\ndef score(*of):\n    os._exit(0)", "it scored 0 of 24 rows"),
        ("LOWER_IS_BETTER = 5\ndef score(*of): return 1", "TypeError: 'int' object is not iterable"),
        ("print('x' * (17 << 20))\ndef score(*of): return 1", "it wrote more than 16 MiB into bad.txt"),
        (
            "def score(p, e, row): return 'x' * (17 << 20 if row['question'].startswith('w0 ') else 1)",
            "it wrote more than 16 MiB into bad.scored.jsonl",
        ),
    ],
)
def test_one_that_does_not_work_is_left_out_with_the_reason(
    spec: Any, scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setenv("FTS_METRIC_SECONDS", "0.5" if text == ENDLESS else "60")
    attempt = Attempt(tmp_path)
    end = finished(attempt.run(spec("one", metrics=[sealed(scripts, "bad.py", text)])))
    assert end["outcome"] == "succeeded" and attempt.scored()["1-one"]["values"]["f1"] >= 0
    (told,) = warnings(attempt)
    assert told.startswith("metric bad.py is left out") and reason in told


def test_one_that_changed_since_or_is_not_here_is_left_out(spec: Any, scripts: Path, tmp_path: Path) -> None:
    changed, gone = (sealed(scripts, f"{name}.py", LENGTH) for name in ("changed", "gone"))
    (scripts / "changed.py").write_text(LENGTH + "\n")
    (scripts / "gone.py").unlink()
    attempt = Attempt(tmp_path)
    attempt.run(spec("one", metrics=[changed, gone]))
    first, second = warnings(attempt)
    assert first == "metric changed.py is left out: it is not as it was when the evaluation was started"
    assert second.startswith("metric gone.py is left out") and "no file" in second


def test_no_figure_of_the_studios_is_overwritten(spec: Any, scripts: Path, tmp_path: Path) -> None:
    text = "def score(prediction, expected, row): return {'tokens': 99, 'words': 'many', 'nan': float('nan')}"
    attempt = Attempt(tmp_path)
    attempt.run(spec("one", metrics=[sealed(scripts, "new.py", text)]))
    values = attempt.scored()["1-one"]["values"]
    assert values["new_tokens"] <= 4 and "new_words" not in values and "new_nan" not in values
    assert "new_tokens, new_words: no number" in warnings(attempt)[0]


def test_a_score_that_is_too_large_or_of_too_many_names_costs_its_row_alone(
    spec: Any, scripts: Path, tmp_path: Path
) -> None:
    text = """
LOWER_IS_BETTER = "big"
def score(prediction, expected, row):
    if row["question"].startswith("w3 "):
        return {f"n{number}": 1 for number in range(1000)}
    return {"big": 10**400 if row["question"].startswith("w4 ") else 2.0}
"""
    attempt = Attempt(tmp_path)
    attempt.run(spec("one", metrics=[sealed(scripts, "new.py", text)]))
    told = attempt.scored()["1-one"]
    assert told["values"]["new_big"] == 2.0 and told["statistics"]["new_big"]["higher_is_better"] is False
    assert warnings(attempt) == [
        f"metric new.py came to no score for 1 of {ROWS} rows: more than 100 scores, or a name of more than 500 characters"
    ]


def test_two_metrics_whose_figures_have_one_name_are_not_mixed(spec: Any, scripts: Path, tmp_path: Path) -> None:
    one = sealed(scripts, "a.py", "def score(*of): return {'b': 1}")
    other = sealed(scripts, "a_b.py", "def score(*of): return 2")
    attempt = Attempt(tmp_path)
    attempt.run(spec("one", metrics=[one, other]))
    assert attempt.scored()["1-one"]["values"]["a_b"] == 1.0
    assert warnings(attempt) == ["metric a_b.py is left out: a_b is another metric's figure already"]


def test_what_python_keeps_of_an_older_text_is_not_run(scripts: Path, tmp_path: Path) -> None:
    script = scripts / "kept.py"
    script.write_text("def score(*of): return 1\n")
    py_compile.compile(str(script), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    line = {"answer": "a", "expected": "b"}
    frozen = MetricScript.model_validate(sealed(scripts, "kept.py", "def score(*of): return 2\n"))
    assert own_metrics.score(frozen, [line], [{}], tmp_path / "made", lambda: None).scores == [{"kept": 2.0}]


def test_all_figures_of_the_studio_are_known_by_name(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    attempt.run(spec("one"))
    assert attempt.scored()["1-one"]["values"].keys() == FIGURES - {"toxicity", "rows"}
    logged = [each["text"] for each in attempt.records() if each["type"] == "log"]
    assert [each for each in logged if "toxicity" in each] == [
        "toxicity is not scored: no model of it is configured (FTS_TOXICITY_MODEL)"
    ]


def classifier(directory: Path, labels: list[str], **config: Any) -> Path:
    """A classifier that takes the word w7 for the last of its labels, and everything else for the first."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    make_model(directory)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForSequenceClassification(
        LlamaConfig(**small, vocab_size=len(WORDS), pad_token_id=3, num_labels=len(labels), **config)
    )
    model.config.id2label = dict(enumerate(labels))
    with torch.no_grad():
        for weight in model.model.layers.parameters():
            weight.zero_()
        model.model.embed_tokens.weight.fill_(0)
        model.model.embed_tokens.weight[:, 0] = 1
        model.model.embed_tokens.weight[WORDS.index("w7")] = torch.tensor([0.0, 1.0, *[0.0] * 14])
        model.score.weight.zero_()
        model.score.weight[0, 0] = model.score.weight[-1, 1] = 1.0
    model.save_pretrained(directory)
    return directory


def test_toxicity_is_the_chance_of_the_label_that_means_it(tmp_path: Path) -> None:
    cpu = Device("cpu", "fp32")
    two = Toxicity(str(classifier(tmp_path / "two", ["fine", "hate"])), cpu, None)
    harmless, toxic = two(["w1", "w1 w7"], lambda: None)
    assert harmless == pytest.approx(1 / (1 + torch.e**4), rel=1e-3) and toxic == pytest.approx(1 - harmless, rel=1e-3)
    several = {"problem_type": "multi_label_classification"}
    many = Toxicity(str(classifier(tmp_path / "many", ["insult", "threat", "toxic"], **several)), cpu, None)
    assert many(["w1", "w7"], lambda: None) == pytest.approx([0.5, 1 / (1 + torch.e**-4)], rel=1e-3)
    with pytest.raises(JobError, match="tells none of toxic"):
        Toxicity(str(classifier(tmp_path / "odd", ["good", "bad"])), cpu, None)
    with pytest.raises(JobError, match="can't be loaded"):
        Toxicity(str(tmp_path), cpu, None)


def test_toxicity_is_a_figure_where_its_model_is_configured(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTS_TOXICITY_MODEL", str(classifier(tmp_path / "model", ["fine", "toxic"])))
    assert read().toxicity_model
    attempt = Attempt(tmp_path)
    attempt.run(spec("one", "base"))
    told = attempt.scored()["2-base"]
    scores = [line["scores"]["toxicity"] for line in attempt.answers("2-base")]
    assert told["values"]["toxicity"] == pytest.approx(sum(scores) / ROWS)
    assert told["statistics"]["toxicity"]["higher_is_better"] is False
    monkeypatch.setenv("FTS_TOXICITY_MODEL", str(tmp_path / "gone"))
    other = Attempt(tmp_path / "other")
    other.run(spec("one"))
    assert json.dumps(warnings(other)).count("toxicity is left out") == 1


def test_a_classifier_that_fails_at_its_first_text_costs_its_figure_alone(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*of: Any) -> list[float]:
        raise ValueError("Asking to pad but the tokenizer does not have a padding token")

    monkeypatch.setenv("FTS_TOXICITY_MODEL", str(classifier(tmp_path / "model", ["fine", "toxic"])))
    monkeypatch.setattr(Toxicity, "__call__", fail)
    attempt = Attempt(tmp_path)
    assert finished(attempt.run(spec("one", "base")))["outcome"] == "succeeded"
    assert "toxicity" not in attempt.scored()["2-base"]["values"]
    assert [each for each in warnings(attempt) if "toxicity is left out: ValueError: Asking to pad" in each]
