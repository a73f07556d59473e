"""What happens in a session: questions come in by a file, answers go out as records, from one loop."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from core.messages.comparing import BASE
from core.messages.runners import Question
from core.spec import ComparisonSpec
from gpu_runner.asking import asked
from gpu_runner.chat import Message, Writer
from gpu_runner.child import Context
from gpu_runner.drawing import Rows
from gpu_runner.failures import Cancelled, Paused, failure_of, is_gpu_lost
from gpu_runner.files import Files
from gpu_runner.speaking import Piece, Speaker

LOOK = 0.01  # seconds between looks at the questions
GATHER = 0.02  # seconds in which pieces are gathered into one record

Record = tuple[str, dict[str, Any]]  # type, fields


@dataclass
class Stream:
    """One answer as it was told so far."""

    text: str = ""
    waiting: str = ""
    last: Piece | None = None

    def record(self) -> dict[str, Any] | None:
        """What is to be told now; None when there is nothing new."""
        piece, new = self.last, self.waiting
        if piece is None or not (new or piece.done):
            return None
        start = len(self.text)
        if piece.done:  # the end tells it whole: whatever was lost on the way, or is written otherwise now, is mended
            start, new = 0, piece.whole
        self.text, self.waiting = self.text[:start] + new, ""
        ended = {"done": True, "reason": piece.reason} if piece.done else {}
        counts = {"tokens": piece.new_tokens, "prompt_tokens": piece.prompt_tokens, "seconds": round(piece.seconds, 4)}
        return {"start": start, "text": new, **counts, **ended}


@dataclass
class Talk:
    """A session's questions and answers. `silent` maps the adapters that could not be loaded to the reason."""

    spec: ComparisonSpec
    context: Context
    speaker: Speaker
    silent: dict[str, str]
    questions: int = 0
    tokens: int = 0
    _seen: dict[int, threading.Event] = field(default_factory=dict)  # by number; set: say no more
    _streams: dict[tuple[int, str], Stream] = field(default_factory=dict)
    _first: dict[tuple[int, str], float] = field(default_factory=dict)
    _said: queue.SimpleQueue[tuple[int, str, Piece | str] | Record] = field(default_factory=queue.SimpleQueue)
    _warned: set[tuple[int, str]] = field(default_factory=set)
    _changed: tuple[int, int] | None = None
    _lost: Exception | None = None

    def __post_init__(self) -> None:
        self._rows = Rows(self.spec, self.context)
        self._chats = {each.adapter.id if each.adapter else BASE: each.chat_template for each in self.spec.voices}
        self._path = Files(self.context.directory).asked
        self._active = time.monotonic()

    def run(self) -> str:
        """Answer until nobody asks; why it ended. Raises Cancelled, Paused, and what ended all computing."""
        self.context.spool.phase("waiting for questions")
        try:
            self._look()  # before each look at the time: who asked in the last moment is answered
            while (why := self._over()) is None:
                self._tell()
                self._look()
        finally:
            for stop in self._seen.values():
                stop.set()
        return why

    def _over(self) -> str | None:
        order = self.context.order()
        if order == "cancel":
            raise Cancelled
        if order == "pause":
            raise Paused
        if self._lost is not None:
            raise self._lost  # every answer would fail from here on
        idle = time.monotonic() - self._active
        if not self._streams and idle >= self.spec.idle_seconds:
            return f"nobody has asked for {self.spec.idle_seconds:g} s"
        return None

    def _look(self) -> None:
        """Take up new questions, and stop those that are to stop."""
        try:
            now = self._path.stat()
        except OSError:
            return
        changed = (now.st_ino, now.st_mtime_ns)
        if changed == self._changed:
            return
        questions = asked(self._path)
        if questions is None:
            return  # the disk is away for a moment: they are looked at again
        self._changed = changed
        for question in questions:
            if question.number not in self._seen:
                self._take_up(question)
            if question.stopped:
                self._seen[question.number].set()

    def _take_up(self, question: Question) -> None:
        self._seen[question.number] = threading.Event()
        self._active, self.questions = time.monotonic(), self.questions + 1
        if not self._streams:
            self.context.spool.phase("answering")
        self._streams |= {(question.number, voice): Stream() for voice in question.voices}
        threading.Thread(target=self._ask, args=(question,), name="question", daemon=True).start()

    # ─── in threads of their own: they write nothing, they only put what is to be told into the line ──

    def _ask(self, question: Question) -> None:
        """Draw a row if one is asked for, and let every voice answer."""
        text, before = question.prompt or "", [{"role": "user", "content": question.prompt or ""}]
        try:
            if question.prompt is None:
                drawn = self._rows.draw(question.seed)
                text, before = drawn.prompt, drawn.before
                told = {"prompt": text, "expected": drawn.expected, "row": drawn.row, "held_out": drawn.held_out}
                self._said.put(("drawn", {"question": question.number, **told}))
        except Exception as error:
            for voice in question.voices:
                self._said.put((question.number, voice, failure_of(error).message))
            return
        for voice in question.voices:
            threading.Thread(
                target=self._answer, args=(question, voice, text, before), name="voice", daemon=True
            ).start()

    def _answer(self, question: Question, voice: str, text: str, before: list[Message]) -> None:
        settings = {**self.spec.generation, **question.generation}
        stop = self._seen[question.number]
        try:
            if voice in self.silent:
                raise ValueError(self.silent[voice])
            chat = self._chats[voice]
            prompt = Writer(self.speaker.tokenizer).asked(before) if chat else text
            warn = partial(self._warn, question.number)
            for piece in self.speaker.speak(
                prompt, voice or None, settings, stop.is_set, templated=chat, seed=question.seed, warn=warn
            ):
                self._said.put((question.number, voice, piece))
        except Exception as error:
            told = self.silent.get(voice) or failure_of(error).message
            self._said.put((question.number, voice, told))
            if is_gpu_lost(error):
                self._lost = error

    def _warn(self, number: int, text: str) -> None:
        """What holds for all voices is told once."""
        if (number, text) not in self._warned:
            self._warned.add((number, text))
            self._said.put(("warning", {"text": f"question {number}: {text}"}))

    # ─── in the loop ──────────────────────────────────────────────────────────────────────────────

    def _tell(self) -> None:
        """Wait a moment for something to tell; then tell what has come together."""
        if not self._streams and self._said.empty():
            self.context.spool.flush()  # the disk may have been full when the last answer ended
            time.sleep(LOOK)
            return
        try:
            self._take(self._said.get(timeout=LOOK))
        except queue.Empty:
            return
        while not self._said.empty():
            self._take(self._said.get())
        for key, stream in list(self._streams.items()):
            if (record := stream.record()) is not None:
                self._write(key, record)
        if not self._streams:
            self.context.spool.phase("waiting for questions")
        time.sleep(GATHER)

    def _take(self, said: tuple[int, str, Piece | str] | Record) -> None:
        if len(said) == 2:
            type, fields = said
            self.context.spool.write(type, **fields)
            return
        number, voice, what = said
        stream = self._streams.get((number, voice))
        if stream is None:
            return  # it was over before
        if isinstance(what, str):
            told = {"start": len(stream.text), "text": stream.waiting, "error": what, "done": True, "reason": "failed"}
            self._write((number, voice), told)
            return
        self._first.setdefault((number, voice), round(what.seconds, 4))
        stream.waiting, stream.last = stream.waiting + what.text, what

    def _write(self, key: tuple[int, str], record: dict[str, Any]) -> None:
        number, voice = key
        first = self._first.get(key)
        self.context.spool.write("said", question=number, voice=voice, first_seconds=first, **record)
        if record.get("done"):
            self._active = time.monotonic()
            self.tokens += int(record.get("tokens", 0))
            self._first.pop(key, None)
            del self._streams[key]
