"""Conversations as the model's own chat template writes them, and the tokens of them that are learned."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from core.spec import PromptSource
from core.types import LossOn
from gpu_runner.chat import Writer, question
from gpu_runner.failures import JobError
from gpu_runner.tokens import IGNORED, Tokenized, tokenize
from tests.runner.tiny import WORDS

PROMPT = PromptSource(id="p", name="p", prompt_template="{q} {a}", input_template=" {q}", completion_template=" {a}")
TURN = "<|im_start|>{{ m.role }}\n"
CHATML = (
    "{% for m in messages %}" + TURN + "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)  # fmt: skip
MARKED = (
    "{% for m in messages %}" + TURN + "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)  # fmt: skip
INST = (
    "<s>{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}</s>{% else %}{{ raise_exception('only user and assistant') }}"
    "{% endif %}{% endfor %}"
)
FORGETFUL = CHATML.replace("{{ m.content }}", "{{ m.content if loop.last else m.content.split('z')[-1] }}")
DATED = "<|im_start|> {{ strftime_now('%d') }} " + CHATML
TALK = [
    {"role": "system", "content": "w1 w2"},
    {"role": "user", "content": "a b"},
    {"role": "assistant", "content": "c d"},
    {"role": "user", "content": "e"},
    {"role": "assistant", "content": "f g"},
]


def tokenizer(template: str | None = CHATML, eos: str = "<|im_end|>") -> Any:
    words = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token=eos)
    made.add_tokens(["<|im_start|>", "<|im_end|>", "[INST]", "[/INST]", "user", "assistant", "system"])
    made.chat_template = template
    return made


def tokens(tokenizer: Any, rows: list[Any], loss_on: LossOn, max_length: int = 99, prompt: Any = PROMPT) -> Tokenized:
    return tokenize(rows, prompt, tokenizer, max_length, loss_on, Writer(tokenizer))


def learned(tokenizer: Any, made: Tokenized, row: int = 0) -> str:
    """The learned tokens of a row; a bar where others lie between."""
    ids = [tokenizer.convert_ids_to_tokens(label) if label != IGNORED else "|" for label in made.labels[row]]
    return " ".join(word for place, word in enumerate(ids) if word != "|" or ids[place - 1 : place] != ["|"]).strip(
        "| "
    )


@pytest.mark.decision("D-164")
@pytest.mark.parametrize("template", [CHATML, MARKED])
@pytest.mark.parametrize(
    ("loss_on", "expected"),
    [
        (LossOn.assistant, "c d <|im_end|> | f g <|im_end|>"),
        (LossOn.completion, "f g <|im_end|>"),
        (LossOn.all, "<|im_start|> system w1 w2 <|im_end|> <|im_start|> user a b <|im_end|> <|im_start|> assistant c d "
         "<|im_end|> <|im_start|> user e <|im_end|> <|im_start|> assistant f g <|im_end|>"),
    ],
)  # fmt: skip
def test_what_is_learned_with_and_without_marks_in_the_template(template: str, loss_on: LossOn, expected: str) -> None:
    made = tokenizer(template)
    assert learned(made, tokens(made, [{"messages": TALK}], loss_on)) == expected


def test_a_template_of_another_make_is_masked_by_what_the_model_would_be_asked_with() -> None:
    made = tokenizer(INST, eos="</s>")
    rows = tokens(made, [{"messages": TALK[1:]}], LossOn.assistant)
    assert learned(made, rows) == "c d </s> | f g </s>"
    assert made.convert_ids_to_tokens(rows.input_ids[0])[:2] == ["<s>", "[INST]"]


def test_sharegpts_names_and_templates_of_two_columns_are_conversations_too() -> None:
    made = tokenizer()
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    shared = {"conversations": [{"from": names[each["role"]], "value": each["content"]} for each in TALK]}
    assert tokens(made, [shared], LossOn.assistant) == tokens(made, [{"messages": TALK}], LossOn.assistant)
    two = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b c"}]
    assert tokens(made, [{"q": "a", "a": "b c"}], LossOn.completion) == tokens(
        made, [{"messages": two}], LossOn.completion
    )


def test_a_conversation_is_learned_up_to_the_assistants_last_turn_and_left_out_when_it_has_none() -> None:
    made = tokenizer()
    more = [*TALK, {"role": "user", "content": "h i"}]
    rows = tokens(made, [{"messages": more}, {"messages": TALK[:2]}], LossOn.completion)
    assert (len(rows.input_ids), rows.dropped) == (1, 1)
    assert rows.input_ids == tokens(made, [{"messages": TALK}], LossOn.completion).input_ids


def test_the_end_is_learned_where_the_template_writes_no_eos() -> None:
    made = tokenizer(eos="</s>")
    for loss_on in LossOn:
        rows = tokens(made, [{"messages": TALK}], loss_on)
        assert made.convert_ids_to_tokens(rows.input_ids[0])[-2:] == ["<|im_end|>", "</s>"]
        assert rows.labels[0][-2:] == rows.input_ids[0][-2:]


def test_a_template_that_writes_earlier_turns_otherwise_is_refused_and_its_last_turn_can_be_learned() -> None:
    made = tokenizer(FORGETFUL)
    talk = [TALK[1], {"role": "assistant", "content": "c z d"}, *TALK[3:]]
    with pytest.raises(JobError, match=r"can't be told apart \(turn 2 of 4\)") as caught:
        tokens(made, [{"messages": talk}], LossOn.assistant)
    assert caught.value.kind == "user_error" and "loss_on completion" in caught.value.hint
    assert learned(made, tokens(made, [{"messages": talk}], LossOn.completion)) == "f g <|im_end|>"


@pytest.mark.parametrize(
    ("template", "talk", "said"),
    [
        (INST, TALK, "only user and assistant"),
        ("{{ messages[9].content }}", TALK, "refuses a conversation"),
        (None, TALK, "no chat template"),
        (CHATML, "text", "no list of messages"),
    ],
)
def test_what_the_template_refuses_is_the_users_to_mend(template: str | None, talk: Any, said: str) -> None:
    with pytest.raises(JobError, match=said) as caught:
        tokens(tokenizer(template), [{"messages": TALK}, {"messages": talk}], LossOn.assistant)
    assert caught.value.kind == "user_error" and caught.value.hint


def test_a_template_can_reach_nothing_but_the_messages() -> None:
    spying = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(JobError, match="refuses a conversation"):
        tokens(tokenizer(spying), [{"messages": TALK}], LossOn.all)


def test_a_template_that_tells_the_date_is_told_the_day_of_the_request() -> None:
    made = tokenizer(DATED)
    assert Writer(made, date(2020, 2, 7)).asked(TALK).startswith("<|im_start|> 07 ")


def test_rows_are_cut_where_they_are_too_long_and_left_out_when_nothing_is_left_to_learn() -> None:
    made = tokenizer()
    rows = tokens(made, [{"messages": TALK}], LossOn.assistant, max_length=13)
    assert rows.cut == 1 and learned(made, rows) == "c"
    with pytest.raises(JobError, match="anything left to learn"):
        tokens(made, [{"messages": TALK}], LossOn.assistant, max_length=12)


def test_a_model_is_asked_with_just_the_tokens_that_come_before_what_it_learns() -> None:
    made = tokenizer()
    rows = tokens(made, [{"messages": TALK}], LossOn.completion)
    before, expected = question(TALK)
    asked = made(Writer(made).asked(before), add_special_tokens=False)["input_ids"]
    assert expected == "f g" and rows.input_ids[0][: len(asked)] == asked
    assert all(label == IGNORED for label in rows.labels[0][: len(asked)]) and rows.labels[0][len(asked)] != IGNORED
