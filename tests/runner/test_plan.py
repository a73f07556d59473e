"""Plans on a tiny model: what they tell is what the training does."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_runner import plan as planning
from gpu_runner.models import load_tokenizer
from gpu_runner.plan import histogram, pieces
from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, make_rows, tiny_spec

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def request_(base: Path, tmp_path: Path) -> Any:
    """A training's specification with some fields replaced."""

    def of(rows: int = 24, **extra: Any) -> dict[str, Any]:
        return tiny_spec("job", tmp_path, base, make_rows(tmp_path / "rows.jsonl", rows), **extra)

    return of


def planned(tmp_path: Path, request: dict[str, Any], **order: Any) -> dict[str, Any]:
    """The end of a plan's attempt."""
    spec = {"kind": "plan", "job_id": "p", "name": "plan", "request": request}
    return Attempt(tmp_path, job_id="p").run(spec, **order)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"packing": True},
        {"loss_on": "completion", "max_length": 8},
        {"length_grouped": True, "sampling": {"fraction": 0.5, "split": 1.0}},
        {
            "training_arguments": {
                "per_device_train_batch_size": 2,
                "gradient_accumulation_steps": 3,
                "num_train_epochs": 2,
            }
        },
    ],
)
def test_what_is_planned_is_what_is_trained(request_: Any, tmp_path: Path, how: dict[str, Any]) -> None:
    request = request_(**how)
    found = planned(tmp_path, request)
    assert found["outcome"] == "succeeded", found
    told = found["summary"]
    attempt = Attempt(tmp_path)
    trained = attempt.run(request)["summary"]
    assert {name: told[name] for name in ("rows", "tokens", "cut", "dropped", "steps")} == {
        name: trained[name] for name in ("rows", "tokens", "cut", "dropped", "steps")
    }
    (started,) = attempt.records("started")
    assert told["held_out"] == started["details"]["held_out"]
    assert told["looked_at"] == told["rows"] + told["dropped"]
    assert sum(each["rows"] for each in told["histogram"]) == told["rows"]
    assert told["longest"] <= request["max_length"]


def test_examples_read_as_the_rows_do_and_mark_what_is_learned(request_: Any, tmp_path: Path) -> None:
    told = planned(tmp_path, request_(loss_on="completion", sampling={"split": 1.0}))["summary"]
    first = told["examples"][0]
    assert "".join(text for text, _, _ in first) == "w0 a b c w0 </s>"
    assert [text.strip() for text, learned, _ in first if learned] == ["c", "w0", "</s>"]
    assert [eos for _, _, eos in first] == [False] * (len(first) - 1) + [True]
    assert told["learned"] == 24 * 3


def test_a_row_that_is_cut_shows_no_end(request_: Any, tmp_path: Path) -> None:
    told = planned(tmp_path, request_(max_length=8, sampling={"split": 1.0}, prompt={
        "id": "p", "name": "p", "prompt_template": "{question} {answer} a b c d e f", "input_template": "{question}",
        "completion_template": "{answer}",
    }))["summary"]  # fmt: skip
    assert told["cut"] == 24 and told["longest"] == 8
    assert not any(eos for row in told["examples"] for _, _, eos in row)


def test_of_many_rows_some_stand_for_all(request_: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SECONDS": 0.0, "LEAST": 20, "PART": 10}.items():
        monkeypatch.setattr(planning, name, value)
    told = planned(tmp_path, request_(rows=90, sampling={"split": 1.0}))["summary"]
    assert (told["rows"], told["looked_at"]) == (90, 20)
    assert told["steps"] == 23 and told["sequences"] == 90
    assert told["tokens"] == pytest.approx(90 * 6, rel=0.05)
    assert sum(each["rows"] for each in told["histogram"]) == pytest.approx(90, abs=6)


def test_a_plan_ends_when_it_is_cancelled(request_: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "PART", 5)
    assert planned(tmp_path, request_(), order="cancel")["outcome"] == "cancelled"


def test_a_plan_fails_for_what_the_training_would_fail_with(request_: Any, tmp_path: Path) -> None:
    end = planned(tmp_path, request_(loss_on="completion", max_length=8, prompt={
        "id": "p", "name": "p", "prompt_template": "{question} a b c d e f g {answer}",
        "input_template": "{question} a b c d e f g", "completion_template": "{answer}",
    }))  # fmt: skip
    assert end["outcome"] == "failed"
    assert "max_length 8 cuts every row" in end["error"]["message"]
    assert end["error"]["kind"] == "user_error"


def test_a_plan_tells_the_models_sizes_and_trains_nothing(request_: Any, tmp_path: Path) -> None:
    told = planned(tmp_path, request_())["summary"]
    assert told["shape"]["parameters"] > 0 and told["shape"]["layers"] == 1
    assert told["rate"] > 0
    assert not (tmp_path / "out").exists()


@given(lengths=st.lists(st.integers(1, 5000), min_size=1, max_size=60))
def test_every_row_is_in_one_bin(lengths: list[int]) -> None:
    bins = histogram(lengths)
    assert sum(each["rows"] for each in bins) == len(lengths)
    assert 1 <= len(bins) <= planning.BINS
    assert bins[0]["low"] == min(lengths) and bins[-1]["high"] == max(lengths) + 1
    assert all(one["high"] == other["low"] for one, other in pairwise(bins))


def test_tokens_that_are_parts_of_a_character_stand_with_it(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(tmp_path)
    for text in ("aä", "日本 a", "👩‍🚀x", "plain"):
        ids = tokenizer(text)["input_ids"]
        texts = pieces(ids, tokenizer)
        assert "".join(texts) == text
        assert len(texts) == len(ids) > 1


def byte_tokenizer(directory: Path) -> Any:
    """A tokenizer whose every token is a byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({each: place for place, each in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token="!").save_pretrained(directory)
    (directory / "config.json").write_text(json.dumps({"model_type": "llama"}))
    from core.spec import ModelSource

    return load_tokenizer(ModelSource(id="m", name="m", location=str(directory)))
