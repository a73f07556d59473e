"""The studio's own engine: the same generation code as comparisons and evaluations, asked by HTTP (gpu_runner/speaking.py)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from gpu_runner.chat import Writer
from gpu_runner.failures import JobError, is_gpu_lost
from gpu_runner.generate import options_of
from gpu_runner.serving.answers import DONE, Form, event, usage_of
from gpu_runner.serving.asking import MOST_PROMPTS, Chat, Completion, PredictSettings, Settings, read
from gpu_runner.serving.door import watch
from gpu_runner.serving.engine import known
from gpu_runner.serving.errors import ApiError, failed, stopping, too_long
from gpu_runner.serving.tally import Tally
from gpu_runner.speaking import Piece, Speaker

log = logging.getLogger(__name__)
Ask = Callable[[Callable[[], bool]], Iterator[Piece]]


@dataclass(frozen=True)
class Question:
    """One prompt of a request, as token ids."""

    ids: list[int]
    adapter: str | None
    options: dict[str, Any]
    stops: list[str]
    seed: int | None


class Speaking:
    """Answers with a speaker. `config` is the generation config of requests that say nothing."""

    def __init__(self, speaker: Speaker, names: list[str], config: dict[str, Any], tally: Tally) -> None:
        self.speaker, self.names, self.config, self.tally = speaker, names, config, tally
        self._stopped = threading.Event()
        self._lost: str | None = None

    # ─── the three ways to ask ────────────────────────────────────────────────────────────────────

    async def chat(self, request: Request, body: bytes) -> Response:
        """Go on with a conversation, as the model's chat template writes it."""
        asked = read(Chat, body)
        known(asked.model, self.names)
        turns = [each.turn for each in asked.messages]
        question = await asyncio.to_thread(self._conversation, turns, asked)
        return await self._respond(request, [question], asked, Form(asked.model, chat=True))

    async def complete(self, request: Request, body: bytes) -> Response:
        """Go on with texts, one after the other."""
        asked = read(Completion, body)
        known(asked.model, self.names)
        if len(asked.prompts) > MOST_PROMPTS:
            raise ApiError(400, f"prompt: {MOST_PROMPTS} at most in one request", param="prompt")
        options = asked.over(self.config)
        made = await asyncio.to_thread(
            lambda: [self._question(each, asked.model, options, asked) for each in asked.prompts]
        )
        return await self._respond(request, made, asked, Form(asked.model, chat=False))

    async def predict(self, request: Request, asked: PredictSettings, model: str) -> str:
        """Go on with a text."""
        like = Settings(
            model=model,
            max_tokens=asked.max_new_tokens,
            **asked.model_dump(include={"temperature", "top_p", "top_k", "repetition_penalty"}),
        )
        options = like.over(self.config) | ({} if asked.num_beams is None else {"num_beams": asked.num_beams})
        question = await asyncio.to_thread(self._question, asked.prompt, model, options, like)
        said, _ = await self._whole(request, [question])
        return said[0][0]

    # ─── questions ────────────────────────────────────────────────────────────────────────────────

    def _conversation(self, turns: list[dict[str, str]], asked: Chat) -> Question:
        try:
            text = Writer(self.speaker.tokenizer).asked(turns)
        except JobError as error:
            hint = "" if self.speaker.tokenizer.chat_template else "; ask /v1/completions instead"
            raise ApiError(400, f"{error.message}{hint}", param="messages") from None
        return self._question(text, asked.model, asked.over(self.config), asked, templated=True)

    def _question(
        self, prompt: str | list[int], model: str, options: dict[str, Any], asked: Settings, *, templated: bool = False
    ) -> Question:
        ids = prompt if isinstance(prompt, list) else self._tokens(prompt, templated=templated)
        if any(id >= len(self.speaker.tokenizer) for id in ids):
            raise ApiError(400, f"prompt: token ids are below {len(self.speaker.tokenizer)}", param="prompt")
        new = options_of(options)["max_new_tokens"]
        if (room := self.speaker.context) is not None:
            left = room - max(1, len(ids))
            if left < 1 or (asked.max_tokens is not None and new > left):
                raise too_long(room, len(ids), new)
            options = {**options, "max_new_tokens": min(new, left)}
        adapter = None if model == self.names[0] else model
        return Question(ids, adapter, options, list(asked.stop), asked.seed)

    def _tokens(self, text: str, *, templated: bool) -> list[int]:
        return list(self.speaker.tokenizer(text, add_special_tokens=not templated)["input_ids"])

    # ─── answers ──────────────────────────────────────────────────────────────────────────────────

    async def _respond(self, request: Request, asked: list[Question], settings: Settings, form: Form) -> Response:
        if settings.stream:
            pieces = self._stream(request, asked, form, with_usage=settings.stream_options.include_usage)
            return StreamingResponse(pieces, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        said, usage = await self._whole(request, asked)
        return JSONResponse(form.whole(said, usage))

    async def _whole(self, request: Request, asked: list[Question]) -> tuple[list[tuple[str, str]], dict[str, int]]:
        """(text, reason) of each answer, and the tokens of all."""
        said: list[tuple[str, str]] = []
        read, made = 0, 0
        async for _, piece in self._pieces(request, asked):
            if piece.done:
                said.append((piece.whole, piece.reason or "length"))
                read, made = read + piece.prompt_tokens, made + piece.new_tokens
        return said, usage_of(read, made)

    async def _stream(
        self, request: Request, asked: list[Question], form: Form, *, with_usage: bool
    ) -> AsyncIterator[bytes]:
        """Server-sent events. What goes wrong midway is told in one: the status is out already."""
        read, made = 0, 0
        try:
            if opening := form.opening():
                yield opening
            async with aclosing(self._pieces(request, asked)) as pieces:
                async for index, piece in pieces:
                    if piece.text:
                        yield form.piece(index, piece.text)
                    if piece.done:
                        read, made = read + piece.prompt_tokens, made + piece.new_tokens
                        yield form.ending(index, piece.reason or "length")
            if with_usage:
                yield form.used(usage_of(read, made))
            yield DONE
        except ClientDisconnect:
            return
        except Exception as error:
            request.state.failed = True
            if not isinstance(error, ApiError):
                log.exception("an answer failed midway")
            yield event((error if isinstance(error, ApiError) else failed(error)).body)

    async def _pieces(self, request: Request, asked: list[Question]) -> AsyncGenerator[tuple[int, Piece], None]:
        """The pieces of each answer in turn. A caller who goes away ends it: raises ClientDisconnect, or ApiError."""
        gone = threading.Event()
        watching = watch(request, gone.set)
        try:
            for index, each in enumerate(asked):
                async with aclosing(self._answer(each, gone)) as pieces:
                    async for piece in pieces:
                        self._check(piece, gone)
                        yield index, piece
        finally:
            gone.set()
            watching.cancel()

    def _check(self, piece: Piece, gone: threading.Event) -> None:
        if piece.done:
            self.tally.counts.tokens += piece.new_tokens
        if piece.reason == "stopped":
            raise ClientDisconnect if gone.is_set() else stopping()

    async def _answer(self, asked: Question, gone: threading.Event) -> AsyncGenerator[Piece, None]:
        """What the speaker says, read in a thread of its own; leaving ends it."""
        loop, said = asyncio.get_running_loop(), asyncio.Queue[Piece | BaseException]()
        left = threading.Event()

        def stop() -> bool:
            return left.is_set() or gone.is_set() or self._stopped.is_set()

        def hand_on(what: Piece | BaseException) -> None:
            try:
                loop.call_soon_threadsafe(said.put_nowait, what)
            except RuntimeError:
                left.set()  # the loop is closed: nobody listens

        def run() -> None:
            try:
                pieces = self.speaker.speak(
                    asked.ids, asked.adapter, asked.options, stop, stops=asked.stops, seed=asked.seed
                )
                for piece in pieces:
                    hand_on(piece)
            except BaseException as error:
                hand_on(error)

        threading.Thread(target=run, name="asked", daemon=True).start()
        try:
            while True:
                what = await said.get()
                if isinstance(what, BaseException):
                    self._note(what)
                    raise what
                yield what
                if what.done:
                    return
        finally:
            left.set()

    # ─── health ───────────────────────────────────────────────────────────────────────────────────

    def _note(self, error: BaseException) -> None:
        if is_gpu_lost(error):
            self._lost = str(error).splitlines()[0]

    def broken(self) -> str | None:
        """Why nothing can be computed any more."""
        return self._lost

    async def stop(self) -> None:
        """End what is being said."""
        self._stopped.set()
