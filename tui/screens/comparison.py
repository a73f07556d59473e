"""Local Adapter Comparison: a prompt, and base and adapters that answer it side by side, as they generate."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Static

from core.hearing import Hearing
from core.messages.comparing import AskedQuestion, ComparisonMetadata, ComparisonReply
from core.text import plain
from tui.acting import Outcome
from tui.pump import JobRecords, StudioChanged
from tui.screens.jobkeys import JobKeysScreen
from tui.theme import painted
from tui.view import compared, words
from tui.view.cells import Cell
from tui.widgets.asking import AskArea
from tui.widgets.banner import Banner
from tui.widgets.prompt import PromptLine
from tui.widgets.voice import Voice

QUESTIONS = 50  # of a session that can be looked at again


class ComparisonScreen(JobKeysScreen):
    """Follows one session, and asks it."""

    CSS_PATH = "../styles/talking.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "type", "type a prompt", show=False),
        Binding("n", "draw", "a random row", show=False),
        Binding("e", "edit", "edit what was asked", show=False),
        Binding("s", "stop", "stop the answers", show=False),
        Binding("g", "settings", "generation settings", show=False),
        Binding("E", "end", "end the session", show=False),
        Binding("left_square_bracket", "turn(-1)", "question before", show=False),
        Binding("right_square_bracket", "turn(1)", "next question", show=False),
        Binding("left", "shift(-1)", "columns before", show=False),
        Binding("right", "shift(1)", "more columns", show=False),
        Binding("j,down", "scroll(3)", "down", show=False),
        Binding("k,up", "scroll(-3)", "up", show=False),
        Binding("y", "yaml", "yaml", show=False),
    ]
    keys_shown = "enter ask  esc, then: n random row  s stop  g settings  [ ] questions  ? help"

    def __init__(self, id: str) -> None:
        super().__init__()
        self.session_id = id
        self.session: ComparisonMetadata | None = None
        self.template: str | None = None
        self.hearing = Hearing()
        self.settings = ""  # what goes over the session's own, as words
        self.place: int | None = None  # the number of the question that is shown; None: the newest
        self.first = 0  # which column is the first
        self.columns: list[str] = []
        self.stop = threading.Event()
        self.following = False

    def compose(self) -> ComposeResult:
        """Head, question, columns, and where a prompt is typed."""
        yield Banner("Comparison")
        yield Static("", id="head", markup=False)
        yield Static("", id="asked", markup=False)
        yield Horizontal(id="voices")
        yield AskArea(id="ask", compact=True, placeholder="a prompt; enter asks, ctrl+j makes a new line, esc leaves")
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask, then follow."""
        self.query_one(AskArea).focus()
        self.call_after_refresh(self.again)

    def on_unmount(self) -> None:
        """Stop following."""
        self.stop.set()

    def focus_first(self) -> None:
        """Where the keys work."""
        self.set_focus(None)

    # ─── asking the studio ────────────────────────────────────────────────────────────────────────

    def fetch(self) -> ComparisonReply:
        """The session and its questions."""
        fields = {"id": self.session_id, "limit": QUESTIONS}
        value: ComparisonReply = self.dashboard.studio.ask("GetComparison", fields, timeout=10).value
        return value

    def got(self, found: ComparisonReply) -> None:
        """All anew; the pieces that follow are put in their places."""
        self.session, self.template = found.comparison, found.input_template
        self.hearing.begin(found)
        self.banner.name_it(f"Comparison {self.session.base_model_name or words.short(self.session_id)}")
        self._draw()
        if not self.following:
            self.following = True
            self.dashboard.studio.watch_job(self.session_id, found.records_id, self.stop)

    def job_records(self, message: JobRecords) -> None:
        """Pieces of answers; when one is missing, or something else happened, all is asked for."""
        if message.job_id != self.session_id or not self.there or self.session is None:
            return
        changed = self.hearing.take(message.entries)
        phases = {each.get("type") for entry in message.entries for each in entry.get("records", ())}
        if self.hearing.torn or "phase" in phases:
            self.again()
        if self.question is not None and self.question.number in changed:
            self._draw()

    def studio_changed(self, message: StudioChanged) -> None:
        """The session began, ended, or waits."""
        if self.there and any(event.get("resource_id") == self.session_id for event in message.events):
            self.again()

    # ─── drawing ──────────────────────────────────────────────────────────────────────────────────

    @property
    def question(self) -> AskedQuestion | None:
        """The question that is shown."""
        numbers = sorted(self.hearing.questions)
        if not numbers:
            return None
        return self.hearing.questions[self.place if self.place in numbers else numbers[-1]]

    def _draw(self) -> None:
        if self.session is None:
            return
        question, numbers = self.question, sorted(self.hearing.questions)
        self.query_one("#head", Static).update(self._painted([*compared.head(self.session), *self._told()]))
        number = numbers.index(question.number) + 1 if question else 0
        self.query_one("#asked", Static).update(
            self._painted(compared.asked(question, number, len(numbers), self.template))
        )
        self._columns(self.session, question)
        for column in self.query(Voice):
            answer = question.answers.get(column.voice) if question else None
            if answer is None or answer is not column.answer:  # what did not change is not made safe again
                column.answer = answer
                text = plain(answer.text, limit=compared.LONGEST, lines=True) if answer else ""
                column.show(text, compared.ending(answer) if question else ("", ""))

    def _told(self) -> list[Cell]:
        told: list[Cell] = [(f"  {plain(self.settings, limit=200)}", "dim")] if self.settings else []
        own = json.loads(self.session.generation_config or "{}") if self.session else {}
        drawn = {**own, **compared.settings_of(self.settings)}.get("do_sample")
        return [*told, ("  answers are drawn at random: asked again they differ (g)", "dim")] if drawn else told

    def _columns(self, session: ComparisonMetadata, question: AskedQuestion | None) -> None:
        """One column for each that answers, as many as there is room for."""
        names = compared.voices(session, question)
        shown, self.first = compared.fitting(names, self.first, self.room)
        self.banner.tell(
            f"{self.first + 1}–{self.first + len(shown)} of {len(names)}" if len(shown) < len(names) else ""
        )
        if shown != self.columns:
            self.columns = shown
            row = self.query_one("#voices", Horizontal)
            row.remove_children()
            row.mount(*(Voice(each, session.voice(each)) for each in shown))

    def _painted(self, cells: list[Cell]) -> Text:
        return Text.assemble(*(painted(*cell, dark=self.app.current_theme.dark) for cell in cells))

    def on_resize(self) -> None:
        """More columns, or fewer."""
        self._draw()

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def job_row(self) -> dict[str, Any] | None:
        """The session's job."""
        told = self.session.model_dump(mode="json") if self.session else None
        return {**told, "name": "this session"} if told else None

    def on_ask_area_asked(self, message: AskArea.Asked) -> None:
        """Enter in the prompt."""
        self._question({"prompt": message.text})

    def on_ask_area_left(self, message: AskArea.Left) -> None:
        """Escape in the prompt: the keys work again."""
        self.set_focus(None)

    def action_type(self) -> None:
        """i."""
        self.query_one(AskArea).focus()

    def action_edit(self) -> None:
        """e: the prompt of the question that is shown, to be changed and asked again."""
        if self.question is not None and self.question.prompt is not None:
            area = self.query_one(AskArea)
            area.text = self.question.prompt
            area.move_cursor(area.document.end)
            area.focus()

    def action_draw(self) -> None:
        """n: a row of the dataset, at random."""
        self._question({"random": True, "seed": int(time.time() * 1000) % 2**31})

    def _question(self, fields: dict[str, Any]) -> None:
        settings = compared.settings_of(self.settings)
        if settings:
            fields["generation_config"] = json.dumps(settings)
        self.place = None
        asked = {"id": self.session_id, **fields}
        self.dashboard.act("AskComparison", [asked], done=lambda outcomes: self._asked(outcomes[0], fields), quiet=True)

    def _asked(self, outcome: Outcome, fields: dict[str, Any]) -> None:
        if outcome.error is not None:
            self.dashboard.complain(outcome.error)
        if outcome.error is not None or self.session is None or not self.there:
            return
        number, everyone = outcome.answer.value.number, compared.voices(self.session, None)
        if number not in self.hearing.questions:
            told = {"number": number, "voices": everyone, "seed": fields.get("seed", number), "asked_at": time.time()}
            prompt = {"prompt": fields.get("prompt"), "random": fields.get("random", False)}
            self.hearing.questions[number] = AskedQuestion(**told, **prompt)
        self._draw()
        if self.hearing.torn:  # its first piece was faster than this answer
            self.again()

    def action_stop(self) -> None:
        """s: no more of what is being said."""
        said = [each.answers.values() for each in self.hearing.questions.values()]
        if all(answers and all(each.done for each in answers) for answers in said):
            self.dashboard.say("nothing is being answered")
            return
        self.dashboard.act("StopAnswers", [{"id": self.session_id}], done=lambda outcomes: self.again(), quiet=True)

    def action_settings(self) -> None:
        """g: generation settings that go over the session's own."""
        own = json.loads(self.session.generation_config or "{}") if self.session else {}
        text = self.settings or compared.settings_text(own)
        self.query_one(PromptLine).open("=", text, "max_new_tokens=60 do_sample=true temperature=0.8")

    def on_prompt_line_done(self, message: PromptLine.Done) -> None:
        """Settings were entered: they hold for the questions from now on."""
        if message.mode != "=":
            super().on_prompt_line_done(message)
            return
        self.set_focus(None)
        try:
            compared.settings_of(message.text or "")
        except ValueError as error:
            self.dashboard.complain(error)
            return
        if message.text is not None:
            self.settings = message.text.strip()
        self._draw()

    def action_end(self) -> None:
        """E: end the session, which frees its memory."""
        question = "End this session? What was said stays."
        fields = {"id": self.session_id}
        self.dashboard.act("EndComparison", [fields], question=question, done=lambda outcomes: self.again())

    def copies(self) -> list[tuple[str, str]]:
        """What was asked and answered; then the session's id and the rest."""
        question, session = self.question, self.session
        if question is None or session is None:
            return super().copies()
        said = [f"── {session.voice(voice)}\n{answer.text}" for voice, answer in question.answers.items()]
        whole = "\n\n".join([str(question.prompt or ""), *said])
        return [("the question and its answers", whole), *super().copies()]

    def action_turn(self, step: int) -> None:
        """[ and ]: another question."""
        numbers = sorted(self.hearing.questions)
        if self.question is not None:
            place = numbers.index(self.question.number) + step
            self.place = numbers[max(0, min(len(numbers) - 1, place))]
            self._draw()

    def action_shift(self, step: int) -> None:
        """Left and right: other columns, where not all have room."""
        self.first = max(0, self.first + step)
        self._draw()

    def action_scroll(self, lines: int) -> None:
        """j and k: all columns together."""
        for column in self.query(Voice):
            column.scroll(lines)

    def action_yaml(self) -> None:
        """y: the question with its answers as YAML."""
        from tui.view.describe import as_yaml

        if self.question is not None:
            self.dashboard.show_text(f"Question {self.question.number}", as_yaml(self.question.model_dump(mode="json")))
