"""Drafts of prompts: which column is the output, and that every draft is a template that the strict formatter takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chat import chat_column, conversation
from core.drafts import Columns, NoDraft, draft, unnameable
from core.output_columns import output_column, ranked
from core.template import columns, nameable, problems, render
from core.types import PromptStyle

TICKETS = [{"text": f"t{n}", "intent": intent} for n, intent in enumerate(("refund", "invoice", "refund"))]
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (["answer", "question"], "answer"),
        (["label", "response", "text"], "response"),
        (["Answer", "question"], "Answer"),
        (["text", "sentiment", "score"], "sentiment"),
        (["a", "b", "c"], "c"),
        (["final_evaluation_x", "ranking_label", "z"], "ranking_label"),
        (["sql", "schema"], "sql"),
        (["Gold Label", "text"], "Gold Label"),
    ],
)
def test_the_output_is_the_column_whose_name_ranks_first_else_the_last(names: list[str], output: str) -> None:
    assert output_column(names)[0] == output


def test_the_ranked_list_is_long_and_begins_as_the_guide_has_it() -> None:
    assert list(ranked())[:5] == ["answer", "response", "output", "label", "target"]
    assert len(ranked()) > 300


def test_a_draft_from_columns_is_the_input_followed_by_the_completion() -> None:
    made = draft(Columns(["answer", "user_input", "context"]), PromptStyle.columns)
    assert made.input_template.endswith("\n\nUser_input: {user_input}\nContext: {context}\nAnswer:")
    assert made.completion_template == " {answer}"
    assert made.prompt_template == made.input_template + made.completion_template
    assert (made.inputs, made.output) == (["user_input", "context"], "answer")
    assert "'answer'" in made.why[0]


def test_columns_that_no_template_can_name_are_left_out_and_told() -> None:
    known = Columns(["a.b", "{x}", "text", " padded ", "", "x!r", "list[0]", "label"])
    made = draft(known)
    assert columns(made.prompt_template) == ["text", "label"]
    assert unnameable(known) == ["a.b", "{x}", " padded ", "", "x!r", "list[0]"]
    with pytest.raises(NoDraft, match="no column can be named"):
        draft(Columns(["a.b"]))


@pytest.mark.parametrize(
    ("known", "style"),
    [
        (Columns(["messages"], [{"messages": TALK}]), PromptStyle.chat),
        (Columns(["messages"], is_chat=True), PromptStyle.chat),
        (Columns(["id", "conversations"]), PromptStyle.chat),
        (Columns(["instruction", "input", "output"]), PromptStyle.instruction),
        (Columns(["text", "intent"], TICKETS), PromptStyle.classification),
        (Columns(["text", "intent"], TICKETS[:1]), PromptStyle.classification),
        (Columns(["text", "is_spam"], [{"text": "t", "is_spam": True}]), PromptStyle.classification),
        (Columns(["q", "a"], [{"q": f"q{n}", "a": "yes"} for n in range(2)]), PromptStyle.columns),
        (Columns(["q", "a"], [{"q": f"q{n}", "a": "yes"} for n in range(3)]), PromptStyle.classification),
        (Columns(["text", "intent"]), PromptStyle.columns),
        (Columns(["text", "intent"], [{"text": "t", "intent": "a long text " * 9}] * 3), PromptStyle.columns),
        (Columns(["messages", "note"], [{"messages": "just text", "note": "x"}]), PromptStyle.columns),
    ],
)
def test_the_style_is_what_the_dataset_looks_like(known: Columns, style: PromptStyle) -> None:
    assert draft(known).style is style


@pytest.mark.parametrize("style", [PromptStyle.chat, PromptStyle.instruction])
def test_a_style_that_does_not_fit_is_told(style: PromptStyle) -> None:
    with pytest.raises(NoDraft, match="'text', 'intent'"):
        draft(Columns(["text", "intent"], TICKETS), style)


@given(names=st.lists(st.text(max_size=8), min_size=1, max_size=6), style=st.sampled_from([None, *PromptStyle]))
def test_whatever_the_columns_are_called_a_draft_is_a_template_of_them(
    names: list[str], style: PromptStyle | None
) -> None:
    try:
        made = draft(Columns(names), style)
    except NoDraft:
        assert style in (PromptStyle.chat, PromptStyle.instruction) or not any(map(nameable, names))
        return
    for template in (made.prompt_template, made.input_template, made.completion_template):
        assert template.strip()
        assert problems(template, names) == []
    assert render(made.completion_template, dict.fromkeys(names, "v")).strip() == "v"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (TALK, "User: Hi\nAssistant: Hello"),
        ([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}], "User: Hi\nAssistant: Hello"),
        ([{"role": "system", "content": "Be kind"}], "System: Be kind"),
        ([], None),
        (["a"], None),
        ([{"role": "user", "content": 1}], None),
        ([*TALK, {}], None),
        ("text", None),
    ],
)
def test_a_conversation_is_written_out_and_nothing_else_is(value: object, text: str | None) -> None:
    assert conversation(value) == text
    assert render("{m}", {"m": value}) == (str(value) if text is None else text)


def test_a_chat_column_is_known_by_all_its_rows() -> None:
    assert chat_column(["a", "talk"], [{"a": 1, "talk": TALK}, {"a": 2, "talk": TALK}]) == "talk"
    assert chat_column(["messages"], [{"messages": TALK}, {"messages": "no"}]) is None
