"""Answering as one speaks: token by token, several answers at once, each with the adapter that it was asked of.

What is said greedily is what `generate` answers: it is the same call of the library, stopped after every token to hand
on what is new and to give the other answers their turn.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import StoppingCriteriaList

from core.spec import AdapterSource, ModelSource
from gpu_runner.chance import Chance
from gpu_runner.device import Device
from gpu_runner.generate import arguments, computing, cut_to_fit, marks_of, options_of
from gpu_runner.turns import Turns
from gpu_runner.wearing import Wardrobe
from gpu_runner.words import Words

Reason = Literal["eos", "stop", "length", "stopped"]


@dataclass(frozen=True)
class Piece:
    """What was said since the piece before. The last one is `done`: it tells why it ended, and `whole`, the answer at once.

    `reason` is eos, stop (one of the stop strings came), length (max_new_tokens) or stopped (it was asked to). `seconds`
    are those since it was asked.
    """

    text: str
    new_tokens: int
    prompt_tokens: int
    seconds: float
    done: bool = False
    reason: Reason | None = None
    whole: str = ""


class Speaker:
    """A base model with named adapters in memory, for any number of threads. Raises JobError when one can't be loaded."""

    def __init__(
        self,
        base: ModelSource,
        adapters: Mapping[str, AdapterSource],
        device: Device,
        bnb: dict[str, Any] | None = None,
        token: str | None = None,
    ) -> None:
        self.device, self.turns = device, Turns()
        self.wardrobe = Wardrobe(base, device, bnb, token)
        self.tokenizer = self.wardrobe.tokenizer
        self.tokenizer("a")  # undoes a padding that its file sets: no thread may do that beside others
        for name, adapter in adapters.items():
            self.add(name, adapter)

    @property
    def model(self) -> Any:
        """The model, in whatever it wears at the moment: for its config."""
        return self.wardrobe.model

    @property
    def context(self) -> int | None:
        """How many tokens a prompt and its answer may have together, where the model tells."""
        found = getattr(self.model.config, "max_position_embeddings", None)
        return found if isinstance(found, int) else None

    def add(self, name: str, adapter: AdapterSource) -> None:
        """Take in an adapter. Raises JobError when it is not one of this model's; those before stay."""
        with self.turns.held(object()):
            self.wardrobe.add(name, adapter)

    def speak(
        self,
        prompt: str | Sequence[int],
        adapter: str | None,
        settings: dict[str, Any],
        stop: Callable[[], bool] = lambda: False,
        *,
        templated: bool = False,
        stops: Sequence[str] = (),
        seed: int | None = None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> Iterator[Piece]:
        """Answer a prompt (text, or token ids as they are) by an adapter's name, or bare; the last piece is `done`.

        `stop` is asked before every token; leaving the iterator stops too. `settings` is a generation config. A text that a
        chat template wrote is `templated`: it holds its special tokens. The same `seed` samples the same text, whatever
        else is being said. Beam search says all at the end. What the model raises is raised here.
        """
        if adapter is not None and adapter not in self.wardrobe:
            raise KeyError(adapter)
        options, marks = options_of(settings, warn), marks_of(self.model, self.tokenizer)
        given = (
            self.tokenizer(prompt, add_special_tokens=not templated)["input_ids"] if isinstance(prompt, str) else prompt
        )
        ids = cut_to_fit(self.model, [list(given)], options["max_new_tokens"], marks, warn)[0]
        words = Words(self.tokenizer, marks.eos, stops)
        return _Answer(self, ids, adapter, options, words, stop, seed).pieces()


class _Answer:
    """One answer: a thread that generates, and what it has said."""

    def __init__(
        self,
        speaker: Speaker,
        ids: list[int],
        adapter: str | None,
        options: dict[str, Any],
        words: Words,
        stop: Callable[[], bool],
        seed: int | None,
    ) -> None:
        self.speaker, self.ids, self.adapter, self.options, self.words = speaker, ids, adapter, options, words
        self.stop, self.began, self.left, self.stopped = stop, time.perf_counter(), False, False
        self.beams = int(options.get("num_beams") or 1) > 1
        self.chance = Chance(speaker.device, seed)
        self.said: queue.SimpleQueue[Piece | BaseException] = queue.SimpleQueue()

    def pieces(self) -> Iterator[Piece]:
        """Hand on what is said, as it is said."""
        threading.Thread(target=self._run, name="answer", daemon=True).start()
        try:
            while True:
                piece = self.said.get()
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
                if piece.done:
                    return
        finally:
            self.left = True

    def _run(self) -> None:
        try:
            with self.speaker.turns.held(self):
                self._generate()
        except BaseException as error:  # whoever asked is to hear of it
            self.said.put(error)

    def _generate(self) -> None:
        """Call the library once; it calls `_next` after every token."""
        wardrobe, device = self.speaker.wardrobe, self.speaker.device
        with computing(device), self.chance:
            wardrobe.wear(self.adapter)
            if not self._must_stop():
                given = arguments(
                    wardrobe.model, [self.ids], self.options, marks_of(wardrobe.model, wardrobe.tokenizer)
                )
                out = wardrobe.model.generate(**given, stopping_criteria=StoppingCriteriaList([self._next]))
                if self.beams:
                    self.words.add(out[0, len(self.ids) :].tolist())
        text = self.words.end()
        reason = self.words.ended or ("stopped" if self.stopped else "length")
        self._say(text, done=True, reason=reason, whole=self.words.said)

    def _next(self, ids: torch.Tensor, scores: Any, **rest: Any) -> torch.Tensor:
        """A token more: `ids` (1 or beams, length). True ends it."""
        if not self.beams:
            self.words.add(ids[0, len(self.ids) + self.words.tokens :].tolist())
            if text := self.words.take():
                self._say(text)
        ends = bool(self.words.ended) or self._must_stop()
        if not ends:
            self._let_others()
            ends = self._must_stop()
        return torch.full((ids.shape[0],), ends, device=ids.device, dtype=torch.bool)

    def _must_stop(self) -> bool:
        self.stopped = self.stopped or self.left or self.stop()
        return self.stopped

    def _let_others(self) -> None:
        with self.chance.aside():
            others = self.speaker.turns.pass_on(self)
        if others:
            self.speaker.wardrobe.wear(self.adapter)

    def _say(self, text: str, **last: Any) -> None:
        seconds = time.perf_counter() - self.began
        self.said.put(Piece(text, self.words.tokens, len(self.ids), seconds, **last))
