"""Reading what is expected tells its loss exactly, and changes no answer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
)

from core.spec import PromptSource
from core.types import LossOn
from gpu_runner import generate as module
from gpu_runner.device import Device
from gpu_runner.generate import Generated, Marks, generate, losses
from gpu_runner.reading import Text, can_go_on, is_greedy
from gpu_runner.scoring import ask, ask_in_turns
from gpu_runner.taught import taught
from tests.runner.tiny import WORDS, make_model

CPU, EOS, PAD, MOST = Device("cpu", "fp32"), 2, 3, 10
MARKS = Marks(1, (EOS,), PAD)
GREEDY = {"do_sample": False, "max_new_tokens": MOST}
PROMPTS = [" ".join(f"w{(7 * n + k) % 98}" for k in range(1 + n % 6)) for n in range(17)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return AutoTokenizer.from_pretrained(make_model(tmp_path_factory.mktemp("model")))


def decided(model: Any) -> Any:
    """The model with answers that are clear, and that end now and then."""
    with torch.no_grad():
        model.get_output_embeddings().weight *= 30
        model.get_output_embeddings().weight[EOS] *= 3
    return model.eval()


@pytest.fixture(scope="module", params=["llama", "gpt2", "mistral"])
def model(request: pytest.FixtureRequest, tokenizer: Any) -> Any:
    """Of turning positions, of learned ones, and one in which a window slides, whose memory can't be gone on from."""
    torch.manual_seed(0)
    if request.param == "llama":
        return decided(AutoModelForCausalLM.from_pretrained(tokenizer.name_or_path))
    ends = {"vocab_size": len(WORDS), "bos_token_id": 1, "eos_token_id": EOS}
    if request.param == "gpt2":
        return decided(
            GPT2LMHeadModel(
                GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=128, tie_word_embeddings=False, **ends)
            )
        )
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return decided(MistralForCausalLM(MistralConfig(**small, num_key_value_heads=2, sliding_window=4, **ends)))


def alone(model: Any, ids: list[int]) -> list[int]:
    """What the library answers to one prompt, greedily."""
    given = torch.tensor([ids])
    out = model.generate(
        input_ids=given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=MOST, pad_token_id=PAD
    )
    return list(out[0, len(ids) :].tolist())


def loss_of(model: Any, text: Text) -> float:
    """The mean of -log p of each token of the second part, one text at a time and without any batching."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([text.before + text.after])).logits[0].double().log_softmax(-1)
    places = range(len(text.before) - 1, len(text.before) + len(text.after) - 1)
    return -sum(float(logits[place, id]) for place, id in zip(places, text.after, strict=True)) / len(text.after)


def said(answers: list[Generated]) -> list[tuple[str, int, bool]]:
    return [(each.text, each.new_tokens, each.stopped_by_eos) for each in answers]


def expectations(model: Any, tokenizer: Any) -> list[Text]:
    """Behind each prompt: the model's own answer whole, its beginning, all but its first token, more than it may say, or nothing."""
    made = []
    for number, prompt in enumerate(PROMPTS):
        ids = tokenizer(prompt)["input_ids"]
        own = alone(model, ids)
        other = (own[0] + 1) % 100 + 4
        kinds = [own, [*own[: len(own) // 2], other, 5, EOS], [other, *own[1:]], [*own, 7, 8, 9, EOS], [EOS], []]
        made.append(Text(ids, kinds[number % len(kinds)]))
    return made


def test_whatever_is_expected_the_answers_are_the_librarys(model: Any, tokenizer: Any) -> None:
    plain = said(generate(model, tokenizer, PROMPTS, GREEDY, CPU))
    for prompt, (text, tokens, stopped) in zip(PROMPTS, plain, strict=True):
        own = alone(model, tokenizer(prompt)["input_ids"])
        kept = own[: own.index(EOS)] if EOS in own else own
        assert (text, tokens, stopped) == (
            tokenizer.decode(kept, skip_special_tokens=True),
            len(kept) + (EOS in own),
            EOS in own,
        )
    for batch in (32, 5, 1):
        answers = generate(
            model, tokenizer, PROMPTS, GREEDY, CPU, expected=expectations(model, tokenizer), batch_size=batch
        )
        assert said(answers) == plain


def test_a_loss_is_that_of_each_text_alone_with_its_eos(model: Any, tokenizer: Any) -> None:
    texts = [each for each in expectations(model, tokenizer) if each.after]
    found = losses(model, texts, MARKS, CPU)
    assert [each.mean for each in found] == pytest.approx([loss_of(model, each) for each in texts], rel=1e-4, abs=1e-5)
    assert [each.tokens for each in found] == [len(each.after) for each in texts]
    if can_go_on(model):
        whole = expectations(model, tokenizer)
        answers = generate(model, tokenizer, PROMPTS, GREEDY, CPU, expected=whole)
        assert [each.loss is None for each in answers] == [not each.after for each in whole]
        assert [each.loss.mean for each in answers if each.loss] == pytest.approx(
            [each.mean for each in found], rel=1e-4, abs=1e-5
        )


def test_an_answer_that_is_as_expected_takes_one_step(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = decided(AutoModelForCausalLM.from_pretrained(tokenizer.name_or_path))
    right = [Text(ids, alone(model, ids)) for ids in (tokenizer(prompt)["input_ids"] for prompt in PROMPTS)]
    steps: list[int] = []
    real = type(model).forward

    def counted(self: Any, *args: Any, **named: Any) -> Any:
        steps.append(named["input_ids"].shape[0])
        return real(self, *args, **named)

    monkeypatch.setattr(model, "forward", counted.__get__(model))
    monkeypatch.setattr(
        "gpu_runner.reading._parameters", lambda model: __import__("inspect").signature(real).parameters
    )
    generate(model, tokenizer, PROMPTS, GREEDY, CPU, expected=right)
    assert steps == [len(PROMPTS)]
    steps.clear()
    generate(model, tokenizer, PROMPTS, GREEDY, CPU)
    assert 2 < len(steps) <= MOST + 1 and min(steps) < len(PROMPTS)  # those that are through leave


def test_what_a_window_slides_over_is_answered_by_the_library(model: Any) -> None:
    assert can_go_on(model) == (model.config.model_type != "mistral")


def test_only_the_likeliest_token_at_each_place_is_answered_in_our_way(tokenizer: Any) -> None:
    model = AutoModelForCausalLM.from_pretrained(tokenizer.name_or_path)
    plain = {"do_sample": False, "max_new_tokens": 5, "temperature": None, "num_beams": 1, "repetition_penalty": 1.0}
    assert is_greedy(model, plain) and is_greedy(model, {**plain, "length_penalty": 0.5, "no_repeat_ngram_size": 0})
    for other in ({"do_sample": True}, {"num_beams": 2}, {"repetition_penalty": 1.2}, {"min_new_tokens": 2},
                  {"no_repeat_ngram_size": 2}, {"bad_words_ids": [[1]]}, {"suppress_tokens": [5]}):  # fmt: skip
        assert not is_greedy(model, {**plain, **other}), other
    for own in ({"repetition_penalty": 1.2}, {"forced_eos_token_id": 2}, {"no_repeat_ngram_size": 3}):
        model.generation_config = GenerationConfig(**own)
        asked = {"do_sample": False, "max_new_tokens": 5}
        assert not is_greedy(model, asked), own


@pytest.mark.parametrize("extra", [{"repetition_penalty": 1.5}, {"num_beams": 2}])
def test_losses_are_told_also_where_the_library_answers(tokenizer: Any, extra: dict[str, Any]) -> None:
    model = decided(AutoModelForCausalLM.from_pretrained(tokenizer.name_or_path))
    answers = generate(model, tokenizer, PROMPTS, GREEDY | extra, CPU, expected=expectations(model, tokenizer))
    assert said(answers) == said(generate(model, tokenizer, PROMPTS, GREEDY | extra, CPU))
    assert all(each.loss is None for each in answers)  # the evaluation reads them then, by losses()


def test_what_the_model_has_no_room_for_is_cut_in_front_and_the_answer_kept(tokenizer: Any) -> None:
    model = decided(AutoModelForCausalLM.from_pretrained(tokenizer.name_or_path))
    long = Text([5] * 200 + [6], [7, 8, EOS])
    (found,) = losses(model, [long], MARKS, CPU)
    assert found.mean == pytest.approx(loss_of(model, Text(long.before[-125:], long.after)), rel=1e-4, abs=1e-5)
    (longer,) = losses(model, [Text([5, 6], [7] * 300)], MARKS, CPU)
    assert longer.tokens == 127
    answers = generate(
        model, tokenizer, ["w1 w2"], GREEDY, CPU, expected=[Text(tokenizer("w1 w2")["input_ids"], [7] * 300)]
    )
    assert answers[0].loss is None and said(answers) == said(generate(model, tokenizer, ["w1 w2"], GREEDY, CPU))


def test_few_logits_are_held_at_once(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = decided(AutoModelForCausalLM.from_pretrained(tokenizer.name_or_path))
    texts = [Text([5], [6, 7, EOS])] * 9
    expected = [each.mean for each in losses(model, texts, MARKS, CPU)]
    monkeypatch.setattr("gpu_runner.reading.AT_ONCE", 2 * 4 * len(WORDS))
    sizes: list[int] = []
    real = module.read
    monkeypatch.setattr(module, "read", lambda model, texts, pad: sizes.append(len(texts)) or real(model, texts, pad))
    assert [each.mean for each in losses(model, texts, MARKS, CPU)] == pytest.approx(expected, rel=1e-5)
    assert sizes == [2, 2, 2, 2, 1]


PROMPT = PromptSource(id="p", name="p", prompt_template="{q} : {a}", input_template="{q} :", completion_template=" {a}")
ROWS = [{"q": "w1 w2", "a": "w3"}, {"q": "w4", "a": "w5 w6"}]


def words(ids: list[int]) -> str:
    return " ".join(WORDS[id] for id in ids)


def test_a_text_is_taught_in_two_parts_that_end_with_eos(tokenizer: Any) -> None:
    questions = ask(ROWS, PROMPT)
    apart = taught(questions, PROMPT, tokenizer, LossOn.completion)
    assert [(words(each.before), words(each.after)) for each in apart] == [
        ("w1 w2 <unk>", "w3 </s>"),
        ("w4 <unk>", "w5 w6 </s>"),
    ]
    assert taught(questions, PROMPT, tokenizer, LossOn.all) == apart  # no token has characters of both
    assert [each.before for each in apart] == [tokenizer(each)["input_ids"] for each in questions.prompts]


def test_a_token_that_has_characters_of_both_counts_as_the_answers(tokenizer: Any) -> None:
    glued = PromptSource(id="", name="", prompt_template="{q} w{a}", input_template="{q} w", completion_template="{a}")
    rows = [{"q": "w1 w2", "a": "3"}]
    (together,) = taught(ask(rows, glued), glued, tokenizer, LossOn.all)
    assert (words(together.before), words(together.after)) == ("w1 w2", "w3 </s>")
    (apart,) = taught(ask(rows, glued), glued, tokenizer, LossOn.completion)
    assert (words(apart.before), words(apart.after)) == ("w1 w2 w", "<unk> </s>")


@pytest.mark.parametrize("loss_on", list(LossOn))
def test_a_prompt_that_is_no_beginning_of_what_was_trained_is_read_as_it_is_asked(
    tokenizer: Any, loss_on: LossOn
) -> None:
    other = PROMPT.model_copy(update={"prompt_template": "a {q} b {a}"})
    found = taught(ask(ROWS, other), other, tokenizer, loss_on)
    assert [(words(each.before), words(each.after)) for each in found] == [
        ("w1 w2 <unk>", "w3 </s>"),
        ("w4 <unk>", "w5 w6 </s>"),
    ]


def test_a_conversation_is_read_up_to_the_end_of_its_last_turn(tokenizer: Any, tmp_path: Path) -> None:
    talker = shutil.copytree(tokenizer.name_or_path, tmp_path / "talker")
    (talker / "chat_template.jinja").write_text(
        "<s> {% for m in messages %}{{ m.role[0] }} {{ m.content }} "
        "{% if m.role == 'assistant' %}</s> z {% endif %}{% endfor %}"
        "{% if add_generation_prompt %}a {% endif %}"
    )
    speaker = AutoTokenizer.from_pretrained(talker)
    rows = [{"messages": [{"role": "user", "content": "w1"}, {"role": "assistant", "content": "w2 w3"}]}]
    questions = ask_in_turns(rows, PROMPT, speaker)
    (found,) = taught(questions, PROMPT, speaker, LossOn.completion)
    assert (words(found.before), words(found.after)) == ("<s> u w1 a", "w2 w3 </s>")
    assert found.before == speaker(questions.prompts[0], add_special_tokens=False)["input_ids"]


def test_what_all_prompts_begin_with_is_read_once_and_changes_nothing(model: Any, tokenizer: Any) -> None:
    prompts = [f"a b c d e {prompt}" for prompt in PROMPTS] + ["a b c d e", "a b c d e f"]
    ids = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    expected = [Text(each, [*alone(model, each)[: number % 4], EOS]) for number, each in enumerate(ids)]
    together = generate(model, tokenizer, prompts, GREEDY, CPU, expected=expected)
    one_by_one = generate(model, tokenizer, prompts, GREEDY, CPU, expected=expected, batch_size=1)
    assert said(together) == said(one_by_one)
    for prompt, answer in zip(ids, together, strict=True):
        own = alone(model, prompt)
        assert answer.text == tokenizer.decode(own, skip_special_tokens=True)
    losses_of = [[each.loss.mean for each in answers if each.loss] for answers in (together, one_by_one)]
    assert losses_of[0] == pytest.approx(losses_of[1], rel=1e-4, abs=1e-5)
    assert len(losses_of[0]) == (len(prompts) if can_go_on(model) else 0)


def test_what_is_expected_of_an_empty_prompt_is_likely_after_the_token_that_is_asked_instead(model: Any) -> None:
    empty, other = Text([], [7, 8, EOS]), Text([30, 31, 32], [9, EOS])
    (alone,), (among, _) = losses(model, [empty], MARKS, CPU), losses(model, [empty, other], MARKS, CPU)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[1, *empty.after]])).logits[0, :3]
    wanted = torch.nn.functional.cross_entropy(logits, torch.tensor(empty.after), reduction="sum")
    assert [alone.total, among.total] == pytest.approx([float(wanted)] * 2, rel=1e-4)
