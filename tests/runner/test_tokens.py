"""Rows become tokens that end with an EOS which is learned; the padding token is found as the decisions say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from core.spec import ModelSource, PromptSource
from core.types import LossOn
from gpu_runner.failures import JobError
from gpu_runner.models import load_tokenizer
from gpu_runner.tokens import IGNORED, set_padding, tokenize
from tests.runner.tiny import WORDS, make_model

PROMPT = PromptSource(id="p", name="p", prompt_template="{q} {a}", input_template="{q}", completion_template=" {a}")
ROWS = [{"q": "a b c", "a": "w1 w2"}, {"q": "d", "a": "w3"}]


def tokenizer(added: tuple[str, ...] = (), **special: str) -> Any:
    words = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=words, **special)
    made.add_tokens(list(added))
    return made


def words_of(tokens: Any, ids: list[int]) -> list[str]:
    return [str(token) for token in tokens.convert_ids_to_tokens(ids)]


def test_a_models_directory_that_is_gone_is_told_as_one_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=f"the directory {tmp_path / 'gone'} of the model small is gone") as told:
        load_tokenizer(ModelSource(id="m", name="small", location=str(tmp_path / "gone")))
    assert "Put it back where it was" in told.value.hint


@pytest.mark.parametrize(
    ("special", "added", "given", "chosen"),
    [
        ({"pad_token": "<pad>", "unk_token": "<unk>"}, (), "z", "<pad>"),
        ({"pad_token": "</s>", "unk_token": "<unk>"}, (), "z", "z"),
        ({"unk_token": "<unk>"}, ("<|pad|>",), "not in the vocabulary", "<unk>"),
        ({"unk_token": "</s>"}, ("<|reserved_1|>", "<|finetune_Pad|>"), None, "<|finetune_Pad|>"),
        ({}, ("<|reserved_1|>", "<|reserved_2|>"), None, "<|reserved_1|>"),
        ({}, (), None, "</s>"),
    ],
)
def test_the_padding_token_comes_from_the_first_place_that_has_one(
    special: dict[str, str], added: tuple[str, ...], given: str | None, chosen: str
) -> None:
    made = tokenizer(added, eos_token="</s>", **special)
    assert set_padding(made, given) == made.pad_token == chosen


def test_a_tokenizer_without_eos_is_refused() -> None:
    with pytest.raises(JobError, match="would never stop"):
        set_padding(tokenizer(unk_token="<unk>"))


@pytest.mark.parametrize("loss_on", LossOn)
@pytest.mark.parametrize("special", [{"pad_token": "<pad>"}, {}])
def test_every_row_ends_with_an_eos_that_is_learned_even_when_it_pads_too(
    loss_on: LossOn, special: dict[str, str]
) -> None:
    made = tokenizer(eos_token="</s>", **special)
    set_padding(made)
    tokens = tokenize(ROWS, PROMPT, made, 32, loss_on)
    for ids, labels in zip(tokens.input_ids, tokens.labels, strict=True):
        assert ids[-1] == labels[-1] == made.eos_token_id and ids.count(made.eos_token_id) == 1


def test_loss_on_the_completion_learns_the_completion_and_nothing_of_the_prompt() -> None:
    made = tokenizer(eos_token="</s>")
    tokens = tokenize(ROWS, PROMPT, made, 32, LossOn.completion)
    learned = [[label for label in labels if label != IGNORED] for labels in tokens.labels]
    assert [words_of(made, ids) for ids in learned] == [["w1", "w2", "</s>"], ["w3", "</s>"]]
    assert [words_of(made, ids) for ids in tokens.input_ids] == [
        ["a", "b", "c", "w1", "w2", "</s>"],
        ["d", "w3", "</s>"],
    ]


def test_an_eos_and_a_bos_of_the_tokenizers_own_are_not_doubled_nor_put_inside() -> None:
    made = tokenizer(bos_token="<s>", eos_token="</s>")
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    for loss_on in LossOn:
        tokens = tokenize(ROWS[1:], PROMPT, made, 32, loss_on)
        assert words_of(made, tokens.input_ids[0]) == ["<s>", "d", "w3", "</s>"]


def test_rows_that_are_too_long_are_cut_counted_and_dropped_when_nothing_is_left_to_learn() -> None:
    made = tokenizer(eos_token="</s>")
    whole = tokenize(ROWS, PROMPT, made, 5, LossOn.all)
    assert (whole.cut, whole.dropped) == (1, 0) and [len(ids) for ids in whole.input_ids] == [5, 3]
    completion = tokenize(ROWS, PROMPT, made, 3, LossOn.completion)
    assert (completion.cut, completion.dropped) == (1, 1) and len(completion.input_ids) == 1
    with pytest.raises(JobError, match="max_length 1 cuts every row"):
        tokenize(ROWS, PROMPT, made, 1, LossOn.completion)


def test_a_prompt_whose_completion_cant_be_found_is_refused_for_loss_on_the_completion() -> None:
    odd = PROMPT.model_copy(update={"input_template": "Question: {q}"})
    with pytest.raises(JobError, match="begins with the input_template"):
        tokenize(ROWS, odd, tokenizer(eos_token="</s>"), 32, LossOn.completion)
    assert tokenize(ROWS, odd, tokenizer(eos_token="</s>"), 32, LossOn.all).input_ids


def test_a_row_without_a_column_of_the_prompt_is_the_users_to_mend() -> None:
    with pytest.raises(JobError, match="no column 'a'"):
        tokenize([{"q": "a"}], PROMPT, tokenizer(eos_token="</s>"), 32, LossOn.all)


def test_the_tokenizer_of_a_directory_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    made = load_tokenizer(ModelSource(id="m", name="m", location=str(make_model(tmp_path / "base"))))
    assert made("a w1")["input_ids"] == [WORDS.index("a"), WORDS.index("w1")]
