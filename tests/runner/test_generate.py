"""Answers in batches are those that a row would get alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpu_runner import generate as module
from gpu_runner.device import Device
from gpu_runner.generate import Generated, generate, marks_of, options_of
from tests.runner.tiny import make_model

CPU = Device("cpu", "fp32")
PROMPTS = [" ".join(f"w{(7 * n + k) % 98}" for k in range(1 + n % 9)) for n in range(21)]
GREEDY = {"do_sample": False, "max_new_tokens": 12, "max_length": None, "temperature": 0.8, "top_p": 0.9}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny Llama whose answers end at different lengths, and its tokenizer."""
    directory = make_model(tmp_path_factory.mktemp("model"))
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    with torch.no_grad():
        model.lm_head.weight *= 30  # decided answers
        model.lm_head.weight[2] *= 1.5  # that end now and then
    return model, AutoTokenizer.from_pretrained(directory)


def texts(answers: list[Generated]) -> list[tuple[str, int, bool]]:
    return [(each.text, each.new_tokens, each.stopped_by_eos) for each in answers]


def alone(pair: Any, prompt: str, **settings: Any) -> tuple[list[int], int]:
    """What the library itself answers to one prompt: new ids, and EOS."""
    model, tokenizer = pair
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, **settings
    )
    return out[0, ids.shape[1] :].tolist(), tokenizer.eos_token_id


@pytest.mark.parametrize("extra", [{}, {"repetition_penalty": 1.5}, {"num_beams": 3, "repetition_penalty": 1.3}])
def test_batches_answer_as_the_library_does_one_by_one(pair: Any, extra: dict[str, Any]) -> None:
    answers = generate(*pair, PROMPTS, GREEDY | extra, CPU, batch_size=8)
    assert {each.stopped_by_eos for each in answers} == {True, False} or "num_beams" in extra
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids, eos = alone(pair, prompt, **extra)
        kept = ids[: ids.index(eos)] if eos in ids else ids
        assert answer.text == pair[1].decode(kept, skip_special_tokens=True)
        assert (answer.new_tokens, answer.stopped_by_eos) == (len(kept) + (eos in ids), eos in ids)


def test_padding_that_is_eos_changes_nothing(pair: Any) -> None:
    model, tokenizer = pair
    expected = texts(generate(model, tokenizer, PROMPTS, GREEDY | {"repetition_penalty": 1.5}, CPU))
    same = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    same.pad_token = same.eos_token
    assert texts(generate(model, same, PROMPTS, GREEDY | {"repetition_penalty": 1.5}, CPU)) == expected
    same.pad_token = None
    assert texts(generate(model, same, PROMPTS, GREEDY | {"repetition_penalty": 1.5}, CPU)) == expected


@pytest.mark.parametrize(
    "full", [torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_batch_that_memory_has_no_room_for_is_halved(
    pair: Any, monkeypatch: pytest.MonkeyPatch, full: Exception
) -> None:
    expected = texts(generate(*pair, PROMPTS, GREEDY, CPU))
    sizes: list[int] = []
    real = module._batch

    def small(model: Any, tokenizer: Any, encoded: Any, *rest: Any) -> Any:
        sizes.append(len(encoded))
        if len(encoded) > 3:
            raise full
        return real(model, tokenizer, encoded, *rest)

    monkeypatch.setattr(module, "_batch", small)
    done: list[int] = []
    assert texts(generate(*pair, PROMPTS, GREEDY, CPU, on_batch=done.append)) == expected
    assert sizes[:4] == [21, 10, 5, 2] and max(sizes[3:]) == 2
    assert done == sorted(done) and done[-1] == len(PROMPTS)


def test_other_errors_and_a_row_too_large_are_not_hidden(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr(module, "_batch", broken)
    with pytest.raises(RuntimeError, match="allocate"):
        generate(*pair, PROMPTS, GREEDY, CPU)


def test_long_prompts_go_in_smaller_batches(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOKENS", 2 * (9 + 12))
    done: list[int] = []
    expected = texts(generate(*pair, PROMPTS[:9], GREEDY, CPU))
    monkeypatch.setattr(module, "TOKENS", 1)
    assert texts(generate(*pair, PROMPTS[:9], GREEDY, CPU, on_batch=done.append)) == expected
    assert done == list(range(1, 10))


def test_a_prompt_longer_than_the_model_is_cut_in_front_and_told(pair: Any) -> None:
    warnings: list[str] = []
    long = " ".join(["w1"] * 300) + " w5 w6"
    answers = generate(*pair, [long, "w5"], GREEDY, CPU, warn=warnings.append)
    assert len(answers) == 2 and warnings == [
        "1 prompts are longer than the 116 tokens that the model has room for and were cut in front"
    ]
    assert answers[0].text == generate(*pair, [" ".join(["w1"] * 114) + " w5 w6"], GREEDY, CPU)[0].text


def test_a_seed_decides_what_is_sampled(pair: Any) -> None:
    def drawn(seed: int) -> Any:
        torch.manual_seed(seed)
        return texts(generate(*pair, PROMPTS, {"do_sample": True, "temperature": 40.0, "max_new_tokens": 8}, CPU))

    assert drawn(1) == drawn(1) != drawn(2)


def test_an_empty_prompt_and_no_prompt_are_answered(pair: Any) -> None:
    assert len(generate(*pair, ["", "w1"], GREEDY, CPU)) == 2
    assert generate(*pair, [], GREEDY, CPU) == []


def test_settings_that_are_null_or_not_of_one_answer_are_left_out() -> None:
    warnings: list[str] = []
    options = options_of(
        {"max_length": 20, "num_return_sequences": 3, "top_k": None, "do_sample": True}, warnings.append
    )
    assert options == {"max_new_tokens": 60, "do_sample": True}
    assert warnings == ["these generation settings are not used: num_return_sequences"]


def test_missing_token_ids_are_the_guides(pair: Any) -> None:
    model, tokenizer = pair
    bare = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    bare.bos_token = bare.eos_token = bare.pad_token = None
    kept = model.config.bos_token_id, model.config.eos_token_id, model.generation_config.eos_token_id
    model.config.bos_token_id = model.config.eos_token_id = model.generation_config.eos_token_id = None
    try:
        marks = marks_of(model, bare)
    finally:
        model.config.bos_token_id, model.config.eos_token_id, model.generation_config.eos_token_id = kept
    assert (marks.bos, marks.eos) == (1, (2,)) and marks.pad == bare.unk_token_id
