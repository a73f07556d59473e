"""GeneratePrompt and PreviewPrompt (docs/decisions.md, D-112): what is drafted can be stored, and what is shown is what a runner trains on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from actors.answering import answer
from actors.desk import Desk
from core.spec import PromptSource
from core.store.tables import Dataset, Model, Prompt
from core.types import LossOn
from gpu_runner.tokens import IGNORED, tokenize
from tests.handlers.work import say

ROWS = [
    {"text": "Where is my money?", "intent": "refund"},
    {"text": "Bill, please", "intent": "invoice"},
    {"text": "Money back!", "intent": "refund"},
]
TEMPLATES = ("prompt_template", "input_template", "completion_template")


def add(desk: Desk, id: str = "d", features: list[str] | None = None, rows: Any = ROWS, **columns: Any) -> None:
    with desk.store.write() as unit:
        names = list(rows[0]) if features is None else features
        unit.session.add(
            Dataset(id=id, type="project_csv", name=f"data {id}", features=json.dumps(names), preview=rows, **columns)
        )


def breaches(desk: Desk, name: str, **payload: Any) -> list[tuple[str, str]]:
    reply = answer(desk, name, payload)
    assert reply["code"] == "refused", reply
    return [(each["rule"], each["field"]) for each in reply["breaches"]]


@pytest.mark.parametrize("style", [None, "columns", "classification"])
def test_a_generated_prompt_is_stored_as_it_is_and_again_under_another_name(desk: Desk, style: str | None) -> None:
    add(desk)
    for name in ("data d: intent", "data d: intent 2", "data d: intent 3"):
        made = say(desk, "GeneratePrompt", dataset_id="d", style=style)
        assert (made["style"], made["output_column"]) == (style or "classification", "intent")
        assert made["why"]
        stored = say(desk, "AddPrompt", prompt=made["prompt"])["prompt"]
        assert stored["name"] == name
        assert stored["prompt_template"] == stored["input_template"] + stored["completion_template"]


def test_a_draft_of_the_longest_name_can_be_stored_again_and_again(desk: Desk) -> None:
    add(desk, "x" * 250)
    for _ in range(3):
        say(desk, "AddPrompt", prompt=say(desk, "GeneratePrompt", dataset_id="x" * 250)["prompt"])
    assert [len(each["name"]) for each in say(desk, "ListPrompts")["prompts"]] == [249, 251, 251]


def test_columns_that_can_not_be_named_are_told_and_the_rest_is_drafted(desk: Desk) -> None:
    add(desk, features=["meta.id", "text", "label"], rows=None)
    made = say(desk, "GeneratePrompt", dataset_id="d")
    assert made["unnameable"] == ["meta.id"]
    assert made["input_columns"] == ["text"]
    say(desk, "AddPrompt", prompt=made["prompt"])


def test_what_can_not_be_drafted_is_refused_at_its_field(desk: Desk) -> None:
    add(desk)
    add(desk, "odd", ["a.b"], None)
    assert breaches(desk, "GeneratePrompt", dataset_id="gone") == [("PR-002", "dataset_id")]
    assert breaches(desk, "GeneratePrompt", dataset_id="d", style="poem") == [("PR-103", "style")]
    assert breaches(desk, "GeneratePrompt", dataset_id="d", style="chat") == [("PR-104", "style")]
    assert breaches(desk, "GeneratePrompt", dataset_id="odd") == [("PR-104", "style")]


def test_chat_data_is_drafted_and_shown_as_a_reader_would_write_it(desk: Desk) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    add(desk, rows=[{"messages": talk}], is_chat=True)
    made = say(desk, "GeneratePrompt", dataset_id="d")
    assert made["style"] == "chat"
    stored = say(desk, "AddPrompt", prompt=made["prompt"])["prompt"]
    shown = say(desk, "PreviewPrompt", prompt_id=stored["id"])
    assert shown["text"] == "Messages:\nUser: Hi\nAssistant: Hello<eos>"


def prompt(desk: Desk, **templates: str) -> dict[str, str]:
    made = {"prompt_template": "Q: {text}\nA: {intent}", "input_template": "Q: {text}\nA:", **templates}
    made.setdefault("completion_template", " {intent}")
    with desk.store.write() as unit:
        unit.session.add(Prompt(id="p", type="in_place", name="p", dataset_id="d", **made))
    return made


def test_a_preview_shows_the_row_what_is_learned_of_it_and_what_is_asked(desk: Desk) -> None:
    add(desk)
    prompt(desk)
    shown = say(desk, "PreviewPrompt", prompt_id="p", row=1)
    assert shown["text"] == shown["learned"] == "Q: Bill, please\nA: invoice<eos>"
    assert (shown["input"], shown["expected"]) == ("Q: Bill, please\nA:", " invoice")
    assert (shown["row"], shown["rows"], shown["values"]) == (1, 3, ROWS[1])
    assert say(desk, "PreviewPrompt", prompt_id="p", loss_on="completion")["learned"] == " refund<eos>"


def test_templates_on_trial_take_the_place_of_the_stored_ones(desk: Desk) -> None:
    add(desk)
    prompt(desk)
    shown = say(desk, "PreviewPrompt", prompt_id="p", prompt_template="{intent} {{}}")
    assert (shown["text"], shown["expected"]) == ("refund {}<eos>", " refund")
    whole = dict.fromkeys(TEMPLATES, "{intent}")
    assert say(desk, "PreviewPrompt", dataset_id="d", **whole)["text"] == "refund<eos>"


def test_a_preview_that_can_not_be_is_refused_at_its_field(desk: Desk) -> None:
    add(desk)
    add(desk, "blind", ["text", "intent"], None)
    prompt(desk)
    assert breaches(desk, "PreviewPrompt", prompt_id="p", row=3) == [("PR-106", "row")]
    assert breaches(desk, "PreviewPrompt", prompt_id="p", dataset_id="blind") == [("PR-106", "dataset_id")]
    assert breaches(desk, "PreviewPrompt", prompt_id="gone") == [("PR-105", "prompt_id")]
    assert breaches(desk, "PreviewPrompt", prompt_id="p", input_template="{x}") == [("PR-107", "input_template")]
    assert breaches(desk, "PreviewPrompt", prompt_id="p", input_template="{a.b}") == [("PR-107", "input_template")]
    assert breaches(desk, "PreviewPrompt", prompt_id="p", model_id="m") == [("MD-104", "model_id")]
    apart = {"prompt_id": "p", "input_template": "other {text}", "loss_on": "completion"}
    assert breaches(desk, "PreviewPrompt", **apart) == [("PR-108", "prompt_template")]
    assert [field for _, field in breaches(desk, "PreviewPrompt")] == ["dataset_id", *TEMPLATES]


def test_the_end_is_named_as_the_model_names_it(desk: Desk, tmp_path: Path) -> None:
    add(desk)
    prompt(desk)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<|im_end|>"}}))
    with desk.store.write() as unit:
        unit.session.add(Model(id="own", name="own", location=str(tmp_path), family="GemmaForCausalLM"))
        unit.session.add(Model(id="family", name="family", family="GemmaForCausalLM"))
        unit.session.add(Model(id="unknown", name="unknown", family="NoSuchModel"))
    ends = {id: say(desk, "PreviewPrompt", prompt_id="p", model_id=id)["eos"] for id in ("own", "family", "unknown")}
    assert ends == {"own": "<|im_end|>", "family": "<eos>", "unknown": "<eos>"}


@pytest.mark.parametrize("loss_on", [LossOn.all, LossOn.completion])
@pytest.mark.parametrize(
    ("whole", "asked"),
    [
        ("Q: {text}\nA:{intent}", "Q: {text}\nA:"),
        ("Q: {text}\nA:{intent}", "Q: {text}\nA: "),
        ("Q: {text}\nA: {intent}", "Q: {text}\nA: "),
        ("Q: {text}\nA:{intent}", "Q: {text}"),
    ],
)
def test_what_is_shown_as_learned_is_what_a_runner_learns(desk: Desk, loss_on: LossOn, whole: str, asked: str) -> None:
    add(desk)
    made = prompt(desk, prompt_template=whole, input_template=asked)
    shown = say(desk, "PreviewPrompt", prompt_id="p", loss_on=loss_on.value)
    tokenizer = characters()
    tokens = tokenize([ROWS[0]], PromptSource(id="p", name="p", **made), tokenizer, 512, loss_on)
    ids, labels = tokens.input_ids[0], tokens.labels[0]
    text = "".join(tokenizer.convert_ids_to_tokens(ids))
    learned = "".join(tokenizer.convert_ids_to_tokens([label for label in labels if label != IGNORED]))
    assert (shown["text"], shown["learned"]) == (text, learned)


def characters() -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the characters: what it makes of a text can be read back."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    vocabulary = {chr(code): code for code in range(10, 127)} | {"<eos>": 0}
    made = Tokenizer(WordLevel(vocabulary, unk_token="?"))
    made.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>")
