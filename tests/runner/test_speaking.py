"""What is said token by token is what `generate` answers, by whichever adapter, however many speak at once."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from core.spec import AdapterSource, ModelSource
from gpu_runner.device import Device
from gpu_runner.failures import JobError
from gpu_runner.generate import generate
from gpu_runner.speaking import Piece, Speaker
from gpu_runner.swapping import Base
from gpu_runner.words import Words
from tests.runner.tiny import make_adapter, make_model

CPU = Device("cpu", "fp32")
GREEDY = {"do_sample": False, "max_new_tokens": 12}
PROMPT = "w1 w2 w3"
LONG = 60.0


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSource, dict[str, AdapterSource]]:
    """A tiny Llama with decided answers, and three adapters that answer otherwise."""
    root = tmp_path_factory.mktemp("speaking")
    model = make_model(root / "model", decided=30, max_position_embeddings=4096)
    adapters = {f"v{n}.0": make_adapter(root / f"a{n}", model, seed=n) for n in (1, 2, 3)}
    found = {name: AdapterSource(id=name, name=name, location=str(path)) for name, path in adapters.items()}
    return ModelSource(id="m", name="m", location=str(model)), found


@pytest.fixture(scope="module")
def speaker(sources: Any) -> Speaker:
    return Speaker(*sources, CPU)


@pytest.fixture(scope="module")
def answers(sources: Any) -> dict[str | None, list[str]]:
    """What evaluations answer: the base (None) and every adapter, to five prompts."""
    source, adapters = sources
    base, found = Base(source, CPU, None, None), {}
    for name, adapter in [(None, None), *adapters.items()]:
        with base.wearing(adapter) as model:
            found[name] = [each.text for each in generate(model, base.tokenizer, prompts(), GREEDY, CPU)]
    assert len({tuple(each) for each in found.values()}) == 4
    return found


def prompts() -> list[str]:
    return [" ".join(f"w{(7 * n + k) % 98}" for k in range(1 + n)) for n in range(5)]


def said(pieces: Iterator[Piece]) -> tuple[str, Piece]:
    taken = list(pieces)
    assert [each.done for each in taken] == [False] * (len(taken) - 1) + [True]
    assert [each.new_tokens for each in taken] == sorted(each.new_tokens for each in taken)
    text = "".join(each.text for each in taken)
    assert text == taken[-1].whole
    return text, taken[-1]


def test_greedy_text_is_that_of_an_evaluation(speaker: Speaker, answers: dict[str | None, list[str]]) -> None:
    for name in [*answers, *reversed(answers)]:
        assert [said(speaker.speak(each, name, GREEDY))[0] for each in prompts()] == answers[name]


def test_many_speak_at_once_and_none_hears_another(speaker: Speaker, answers: dict[str | None, list[str]]) -> None:
    streams = {(name, n): speaker.speak(text, name, GREEDY) for name in answers for n, text in enumerate(prompts())}
    heard: dict[tuple[str | None, int], str] = {}

    def hear(key: tuple[str | None, int]) -> None:
        heard[key] = said(streams[key])[0]

    threads = [threading.Thread(target=hear, args=(key,)) for key in streams]
    for each in threads:
        each.start()
    for each in threads:
        each.join(LONG)
    assert heard == {(name, n): answers[name][n] for name, n in streams}


def test_those_who_speak_take_turns_after_every_token(speaker: Speaker) -> None:
    order: list[str] = []

    def telling(name: str) -> Any:
        return lambda: bool(order.append(name))

    settings = {"max_new_tokens": 8, "min_new_tokens": 8}
    with speaker.turns.held(object()):  # so that both wait before the first begins
        streams = [speaker.speak(PROMPT, f"v{n}.0", settings, telling(f"v{n}.0")) for n in (1, 2)]
        threads = [threading.Thread(target=list, args=(each,)) for each in streams]
        for each in threads:
            each.start()
        waited = threading.Event()
        while len(speaker.turns._line) < 3:
            waited.wait(0.01)
    for each in threads:
        each.join(LONG)
    turns = [name for place, name in enumerate(order) if place == 0 or order[place - 1] != name]
    assert len(turns) >= 16 and {turns[0], turns[1]} == {"v1.0", "v2.0"}


def test_it_tells_how_it_ended_and_counts_as_evaluations_do(speaker: Speaker, sources: Any) -> None:
    base = Base(sources[0], CPU, None, None)
    with base.wearing(None) as model:
        expected = generate(model, base.tokenizer, [PROMPT], GREEDY | {"max_new_tokens": 40}, CPU)[0]
    _, last = said(speaker.speak(PROMPT, None, GREEDY | {"max_new_tokens": 40}))
    assert (last.new_tokens, last.prompt_tokens) == (expected.new_tokens, 3)
    assert last.reason == ("eos" if expected.stopped_by_eos else "length")
    _, short = said(speaker.speak(PROMPT, None, {"max_new_tokens": 2, "min_new_tokens": 2}))
    assert (short.reason, short.new_tokens) == ("length", 2)


def test_stop_strings_end_it_and_no_part_of_them_is_said(speaker: Speaker) -> None:
    whole = said(speaker.speak(PROMPT, "v1.0", GREEDY))[0]
    words = whole.split()
    stop = f"{words[2]} {words[3]}"
    assert stop not in " ".join(words[:3])
    text, last = said(speaker.speak(PROMPT, "v1.0", GREEDY, stops=["never", stop]))
    assert text == whole[: whole.index(stop)] and last.reason == "stop" and last.new_tokens == 4


def test_who_asks_to_stop_or_leaves_is_obeyed_at_the_next_token(speaker: Speaker) -> None:
    settings = {"max_new_tokens": 4000, "min_new_tokens": 4000}
    stopping = threading.Event()
    pieces = speaker.speak(PROMPT, None, settings, stopping.is_set)
    begun = "".join(each.text for each in islice(pieces, 3))
    stopping.set()
    rest = list(pieces)
    assert rest[-1].reason == "stopped" and rest[-1].whole.startswith(begun) and rest[-1].new_tokens < 4000
    leaving = speaker.speak(PROMPT, None, settings)
    next(leaving)
    leaving.close()  # type: ignore[attr-defined]
    assert said(speaker.speak(PROMPT, None, {"max_new_tokens": 2}))[1].done  # its turn came: the other one ended


def test_a_seed_decides_what_is_sampled_whatever_else_is_said(speaker: Speaker) -> None:
    settings = {"do_sample": True, "temperature": 40.0, "max_new_tokens": 10, "min_new_tokens": 10}
    alone = said(speaker.speak(PROMPT, "v1.0", settings, seed=7))[0]
    noise = [speaker.speak(PROMPT, "v2.0", settings, seed=n) for n in range(3)]
    threads = [threading.Thread(target=list, args=(each,)) for each in noise]
    for each in threads:
        each.start()
    assert said(speaker.speak(PROMPT, "v1.0", settings, seed=7))[0] == alone
    for each in threads:
        each.join(LONG)
    before = torch.get_rng_state()
    assert said(speaker.speak(PROMPT, "v1.0", settings, seed=8))[0] != alone
    assert torch.equal(before, torch.get_rng_state())


def test_beams_are_said_at_the_end(speaker: Speaker, sources: Any) -> None:
    settings = GREEDY | {"num_beams": 3}
    base = Base(sources[0], CPU, None, None)
    with base.wearing(sources[1]["v2.0"]) as model:
        expected = generate(model, base.tokenizer, [PROMPT], settings, CPU)[0].text
    assert said(speaker.speak(PROMPT, "v2.0", settings))[0] == expected


def test_an_adapter_that_does_not_fit_leaves_the_others_as_they_were(
    sources: Any, answers: dict[str | None, list[str]], tmp_path: Path
) -> None:
    source, adapters = sources
    other = make_adapter(tmp_path / "other", make_model(tmp_path / "model", hidden_size=64), seed=1)
    foreign = AdapterSource(id="x", name="x", location=str(other))
    speaker = Speaker(source, {}, CPU)
    with pytest.raises(JobError, match="adapter x can't be put on m"):
        speaker.add("x", foreign)
    assert said(speaker.speak(prompts()[1], None, GREEDY))[0] == answers[None][1]
    speaker.add("v1.0", adapters["v1.0"])
    with pytest.raises(JobError, match="adapter x can't be put on m"):
        speaker.add("x", foreign)
    speaker.add("v2.0", adapters["v2.0"])
    for name in ("v1.0", None, "v2.0"):
        assert said(speaker.speak(prompts()[1], name, GREEDY))[0] == answers[name][1]
    with pytest.raises(KeyError):
        speaker.speak(PROMPT, "x", GREEDY)


def test_what_the_model_raises_is_raised_to_who_asked_and_the_next_is_answered(speaker: Speaker) -> None:
    with pytest.raises(ValueError, match="temperature"):
        list(speaker.speak(PROMPT, None, {"do_sample": True, "temperature": -1.0}))
    assert said(speaker.speak(PROMPT, None, {"max_new_tokens": 2}))[1].done


class Bytes:
    """A tokenizer whose tokens are bytes, as those of many models are for what they have no word for."""

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        return bytes(ids).decode(errors="replace")


def test_characters_are_said_whole() -> None:
    words, pieces = Words(Bytes(), (0,)), []
    text = "né 🙂 日本"
    for byte in text.encode():
        words.add([byte])
        pieces.append(words.take())
    assert "".join(pieces) == text and [each for each in pieces if each] == list(text)
    words.add("🙂".encode()[:2])  # cut by the limit of tokens: what there is is told
    assert words.take() == "" and words.end() == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("text", ["ab", "aab", "aaab", "xaxab", "axb"])
def test_nothing_of_a_stop_string_is_said_and_nothing_else_is_lost(text: str) -> None:
    words, heard = Words(Bytes(), (0,), ["ab", "xb!"]), ""
    for byte in text.encode():
        words.add([byte])
        heard += words.take()
    heard += words.end()
    assert heard == text.split("ab")[0] == words.said


def test_a_tokenizer_whose_file_pads_and_cuts_serves_many_threads(sources: Any, tmp_path: Path) -> None:
    directory = tmp_path / "padding"
    shutil.copytree(sources[0].location, directory)
    told = json.loads((directory / "tokenizer.json").read_text())
    told["padding"] = {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None,
                       "pad_id": 3, "pad_type_id": 0, "pad_token": "<pad>"}  # fmt: skip
    told["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    (directory / "tokenizer.json").write_text(json.dumps(told))
    speaker = Speaker(ModelSource(id="m", name="m", location=str(directory)), {}, CPU)
    inner = speaker.tokenizer._tokenizer
    assert (inner.padding, inner.truncation) == (None, None)
    assert said(speaker.speak(PROMPT, None, {"max_new_tokens": 2}))[1].prompt_tokens == 3
