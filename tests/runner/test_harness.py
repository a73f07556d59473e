"""Tasks of lm-evaluation-harness: by a stand-in of it that calls the model as it does; the real one is no part of the studio."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from gpu_runner import child, offering
from gpu_runner.harness import WIDTH
from tests.runner.evaluations import Attempt, finished

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
ASKED: list[dict[str, Any]] = []


class Lm:
    """What the studio's own class is made from, as the harness's for a model in memory."""

    def __init__(self, pretrained: Any, tokenizer: Any, batch_size: int) -> None:
        self.model, self.tokenizer = pretrained, tokenizer

    def _model_call(self, inputs: Any) -> Any:
        return self.model(inputs).logits

    def _model_generate(self, inputs: Any) -> Any:
        return self.model.generate(inputs)


def simple_evaluate(model: Any, tasks: list[str], **named: Any) -> dict[str, Any]:
    ASKED.append({"tasks": tasks, **named})
    ids = model.tokenizer("w1 w2", return_tensors="pt")["input_ids"]
    certain = float(model._model_call(ids).detach().softmax(-1).max())
    if "unknown" in tasks:
        raise ValueError("Tasks not found: unknown")
    results = {
        "alias": "quiz",
        "acc,none": certain,
        "acc_stderr,none": 0.02,
        "wer,strict": 3.0,
        "wer_stderr,strict": "N/A",
    }
    return {"results": {"quiz": results}, "higher_is_better": {"quiz": {"acc": True, "wer": False}}}


@pytest.fixture(autouse=True)
def harness(monkeypatch: pytest.MonkeyPatch) -> None:
    ASKED.clear()
    modules = {name: types.ModuleType(name) for name in ("lm_eval", "lm_eval.models", "lm_eval.models.huggingface")}
    modules["lm_eval"].simple_evaluate = simple_evaluate  # type: ignore[attr-defined]
    modules["lm_eval.models.huggingface"].HFLM = Lm  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


def test_tasks_are_figures_beside_those_of_the_rows(spec: Any, tmp_path: Any) -> None:
    attempt = Attempt(tmp_path)
    attempt.run(spec("one", "base", tasks=["quiz"]))
    one, base = attempt.scored()["1-one"], attempt.scored()["2-base"]
    assert "f1" in base["values"] and base["values"]["quiz.wer.strict"] == 3.0
    first, second = (each["values"]["quiz.acc"] for each in (one, base))
    assert first != second  # each was asked with its own weights
    sure = base["statistics"]["quiz.acc"]
    assert (sure["low"], sure["high"]) == pytest.approx((second - 0.02 * WIDTH, second + 0.02 * WIDTH))
    assert sure["delta"] == pytest.approx(second - first) and 0 <= sure["p"] <= 1
    assert sure["delta_high"] - sure["delta_low"] == pytest.approx(2 * WIDTH * 0.02 * 2**0.5)
    assert one["statistics"]["quiz.acc"]["delta"] is None
    words = base["statistics"]["quiz.wer.strict"]
    assert words["higher_is_better"] is False and words["low"] is None and words["delta"] == 0
    assert ASKED[0]["tasks"] == ["quiz"] and ASKED[0]["random_seed"] == 420
    assert ASKED[0]["confirm_run_unsafe_code"] is False and ASKED[0]["apply_chat_template"] is False


def test_a_baseline_of_an_earlier_attempt_is_compared_with(spec: Any, tmp_path: Any) -> None:
    Attempt(tmp_path).run(spec("one", tasks=["quiz"]))
    second = Attempt(tmp_path, 2)
    second.run(spec("one", "base", tasks=["quiz"]))
    whole = Attempt(tmp_path / "whole")
    whole.run(spec("one", "base", tasks=["quiz"]))
    told = [each.scored()["2-base"]["statistics"]["quiz.acc"] for each in (second, whole)]
    assert told[0] == pytest.approx(told[1]) and len(ASKED) == 4


def test_what_the_harness_can_not_do_costs_its_figures_alone(spec: Any, tmp_path: Any) -> None:
    attempt = Attempt(tmp_path)
    records = attempt.run(spec("one", "base", tasks=["unknown"]))
    assert finished(records)["summary"]["evaluated"] == 2 and "f1" in attempt.scored()["2-base"]["values"]
    assert [each["text"] for each in records if each["type"] == "warning"] == [
        "the tasks unknown are left out: ValueError: Tasks not found: unknown"
    ]


def test_an_order_is_obeyed_between_two_batches_of_a_task(
    spec: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt(tmp_path)
    monkeypatch.setattr(child, "LOOK", 0.0)
    real = Lm.__init__

    def ordered(self: Any, *args: Any, **named: Any) -> None:
        attempt.order(order="pause")
        real(self, *args, **named)

    monkeypatch.setattr(Lm, "__init__", ordered)
    assert finished(attempt.run(spec("one", tasks=["quiz"])))["outcome"] == "paused"


def test_a_runner_that_has_the_harness_offers_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from core.settings import Settings

    using = Settings(home=tmp_path / ".app", project=tmp_path)
    real = offering.find_spec
    for has in (True, False):
        monkeypatch.setattr(
            offering, "find_spec", lambda name, has=has: has or None if name == "lm_eval" else real(name)
        )
        assert ("lm_eval" in offering.engines(using)) is has
