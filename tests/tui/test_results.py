"""An evaluation's screens, as their user meets them and as they look: the table, the rows, one row, a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from core.messages.adapters import AdapterMetadata
from core.messages.evaluation import EvaluationBatchReply
from core.messages.jobs import LogLine
from core.types import JobStatus
from tests.tui import scored
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import job
from tests.tui.test_dashboard import shown, until
from tui.app import Dashboard
from tui.exported import as_csv
from tui.screens.answer import AnswerScreen
from tui.screens.batch import BatchScreen
from tui.view import results, scores

SIZES = [(80, 24), (160, 50)]
Compare = Callable[..., bool]


@pytest.fixture
def studio() -> FakeStudio:
    return scored.filled()


async def opened(pilot: Pilot[None], text: str = "difference") -> BatchScreen:
    """The batch's screen, once it shows a text."""
    await pilot.pause()
    pilot.app.show_batch(scored.BATCH)  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(pilot.app.screen, BatchScreen) and text in shown(pilot.app))
    screen = pilot.app.screen
    assert isinstance(screen, BatchScreen)
    return screen


def asked(studio: FakeStudio) -> Any:
    """The last question for rows."""
    return [each for each in studio.asked if type(each).__name__ == "GetEvaluationAnswers"][-1]


@pytest.mark.parametrize("size", SIZES)
async def test_the_table_tells_differences_with_their_certainty_and_in_a_word(
    studio: FakeStudio, size: tuple[int, int]
) -> None:
    async with Dashboard(make=lambda: studio).run_test(size=size) as pilot:
        await opened(pilot, "my parcel")
        text = shown(pilot.app)
        for part in ("exact match, in %, higher is better", "tickets-r16", "+16.4 (+12.4 … +20.4)", "▲ better",
                     "▼ worse", "? can't tell", "baseline", "✓✗✗", "track_parcel", "▲ 1 note: i"):  # fmt: skip
            assert part in text, part
        await pilot.press("m", "m", "m", "m")
        await until(pilot, lambda: "loss, lower is better" in shown(pilot.app))
        lines = [line for line in shown(pilot.app).splitlines() if "−0.200 " in line]
        assert len(lines) == 1 and "▲ better" in lines[0]


def test_right_and_wrong_are_marked_in_the_order_of_the_answers_beside_them(studio: FakeStudio) -> None:
    known = {"status": "succeeded", "scores": {}, "baseline": False}
    combinations = [{**known, "id": id, "combination": f"tiny{id}"} for id in ("", " + one", " + two")]
    said = {
        "row": 0,
        "prompt": "p",
        "expected": "e",
        "answers": dict.fromkeys(("", " + one", " + two"), "a"),
        "scores": {},
    }
    titles, lines = results.rows([{**said, "correct": {" + two": True}}], combinations, [" + two", ""], None)
    assert titles == ["row", "right", "prompt", "expected", "two", "tiny (base)"]
    assert [text for text, _ in lines["0"]] == ["0", "✓✗✗", "p", "e", "✓ a", "✗ a"]


def test_a_difference_that_is_clear_on_rows_that_are_too_few_says_so() -> None:
    few = {"value": 0.75, "delta": 0.75, "delta_low": 0.25, "delta_high": 1.0, "p": 0.25, "verdict": "can't tell"}
    told = [
        scores.word({"baseline": False, "scores": {"f1": {**few, **other}}}, "f1")[0]
        for other in ({}, {"delta_low": -0.1})
    ]
    assert told == ["? too few rows", "? can't tell"]


async def test_rows_come_in_other_orders_by_the_metric_that_is_shown(studio: FakeStudio) -> None:
    async with Dashboard(make=lambda: studio).run_test(size=(120, 36)) as pilot:
        await opened(pilot, "by number")
        for order, text in (("differs", "most unlike first"), ("worst", "worst first"), ("best", "best first")):
            await pilot.press("o")
            await until(pilot, lambda text=text: text in shown(pilot.app))
            assert (asked(studio).order, asked(studio).metric) == (order, "exact_match")
        await pilot.press("m")
        await until(pilot, lambda: "best first (f1)" in shown(pilot.app))
        assert asked(studio).metric == "f1"


async def test_rows_are_found_by_text_and_where_they_differ_and_escape_takes_it_back(studio: FakeStudio) -> None:
    async with Dashboard(make=lambda: studio).run_test(size=(120, 36)) as pilot:
        await opened(pilot, "30 of 30 rows")
        await pilot.press("slash", *"ticket 7", "enter")
        await until(pilot, lambda: "1 of 1 rows" in shown(pilot.app))
        await pilot.press("f")
        await until(pilot, lambda: "only where they differ" in shown(pilot.app))
        assert (asked(studio).contains, asked(studio).differing) == ("ticket 7", True)
        await pilot.press("escape")
        await until(pilot, lambda: "30 of 30 rows" in shown(pilot.app))
        await pilot.press("slash", *"nowhere", "enter")
        await until(pilot, lambda: "No row is like that" in shown(pilot.app))


async def test_more_rows_follow_on_a_key(monkeypatch: pytest.MonkeyPatch, studio: FakeStudio) -> None:
    monkeypatch.setattr("tui.screens.batch.PAGE", 20)
    async with Dashboard(make=lambda: studio).run_test(size=(120, 36)) as pilot:
        await opened(pilot, "20 of 30 rows")
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "30 of 30 rows" in shown(pilot.app))
        assert asked(studio).after == 20


async def test_the_cursor_above_chooses_whose_answers_stand_beside_the_baselines(studio: FakeStudio) -> None:
    async with Dashboard(make=lambda: studio).run_test(size=(160, 50)) as pilot:
        screen = await opened(pilot, "my parcel")
        await pilot.press("shift+tab")
        await pilot.press("j", "j", "j")
        await until(pilot, lambda: "tickets-short" in list(screen.query_one("#answers").titles))  # type: ignore[attr-defined]
        await pilot.press("j", "k", "k", "k", "k")
        await until(pilot, lambda: "SmolLM2-135M (base)" in list(screen.query_one("#answers").titles))  # type: ignore[attr-defined]


async def test_one_row_is_read_side_by_side_and_the_next_one_follows(studio: FakeStudio) -> None:
    async with Dashboard(make=lambda: studio).run_test(size=(80, 24)) as pilot:
        await opened(pilot, "my parcel")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, AnswerScreen) and "not as expected" in shown(pilot.app))
        text = shown(pilot.app)
        assert "Row 0   1 of 30" in text and "1 to 3 of 4 answers" in text and "tickets-r8  (baseline)" in text
        await pilot.press("n", "l")
        await until(pilot, lambda: "Row 1   2 of 30" in shown(pilot.app) and "2 to 4 of 4" in shown(pilot.app))
        assert "tickets-short" in shown(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, BatchScreen))


@pytest.mark.parametrize("name", ["all.csv", "all.json"])
async def test_all_of_it_is_written_into_a_file_and_one_that_is_there_only_when_confirmed(
    tmp_path: Path, studio: FakeStudio, name: str
) -> None:
    path = tmp_path / name
    async with Dashboard(make=lambda: studio).run_test(size=(160, 50)) as pilot:
        await opened(pilot, "my parcel")

        async def export() -> None:
            await pilot.press("x")
            line = pilot.app.screen.query_one("#prompt", Input)
            line.value = str(path)
            await pilot.press("enter")

        await export()
        await until(pilot, path.exists)
        whole = path.read_text()
        path.write_text("mine")
        await export()
        await until(pilot, lambda: "Replace" in shown(pilot.app))
        await pilot.press("n")
        assert path.read_text() == "mine"
    if name == "all.json":
        assert len(json.loads(whole)["answers"]) == 30
    else:
        rows = list(csv.DictReader(whole.splitlines(keepends=True)))
        assert len(rows) == 30 and rows[1]["customer"] == "C-0001"
        assert rows[0]["SmolLM2-135M + tickets-r8: f1"] == "0.1" and list(tmp_path.iterdir()) == [path]


async def test_a_name_of_another_kind_is_refused_with_what_would_do(tmp_path: Path, studio: FakeStudio) -> None:
    async with Dashboard(make=lambda: studio).run_test(size=(160, 50), notifications=True) as pilot:
        await opened(pilot, "my parcel")
        await pilot.press("x")
        pilot.app.screen.query_one("#prompt", Input).value = str(tmp_path / "all.xlsx")
        await pilot.press("enter")
        await until(pilot, lambda: "neither" in shown(pilot.app))
        assert list(tmp_path.iterdir()) == []


def test_no_cell_of_a_file_is_taken_for_a_formula() -> None:
    evil = ['=HYPERLINK("http://x")', "+1", "-1", "@x", "\tx", "\rx"]
    row = scored.answer_row(0, ["e1"]).model_dump() | {
        "prompt": evil[0],
        "features": dict(zip("abcde", evil[1:], strict=True)),
    }
    table = list(csv.reader(as_csv({"results": [{"id": "e1", "combination": "=m"}]}, [row])))
    assert table[0][-3:] == ["'=m: answer", "'=m: exact_match", "'=m: f1"]
    assert table[1][:2] == ["0", f"'{evil[0]}"] and table[1][3:8] == [f"'{each}" for each in evil[1:]]


async def test_what_else_is_to_be_known_is_told_on_a_key(studio: FakeStudio) -> None:
    async with Dashboard(make=lambda: studio).run_test(size=(160, 50)) as pilot:
        await opened(pilot, "my parcel")
        await pilot.press("i")
        await until(pilot, lambda: "7 of 80 rows are left out" in shown(pilot.app))
        assert f"Run: {scored.BATCH}" in shown(pilot.app) and "may be chance" in shown(pilot.app)


async def test_the_batchs_log_is_read_on_a_key(studio: FakeStudio) -> None:
    studio.log = [LogLine(attempt=1, offset=1, at=0, text="scoring \x1b[31mtickets")]
    async with Dashboard(make=lambda: studio).run_test(size=(120, 36)) as pilot:
        await opened(pilot, "my parcel")
        await pilot.press("l")
        await until(pilot, lambda: "scoring \\x1b[31mtickets" in shown(pilot.app))


class Starting(FakeStudio):
    """A studio with a trained adapter, another one, and a batch that is scored when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.rows |= filled().rows
        made = {"base_model_id": "m1", "dataset_id": "d1", "prompt_id": "p1", "framework_type": "legacy"}
        self.rows["fine_tuning_jobs"] = [job("done", status=JobStatus.succeeded, adapter_id="a2", **made)]
        self.rows["adapters"] = [
            AdapterMetadata(id=id, type="project", name=f"tickets-{id}", model_id="m1", location="/x")
            for id in ("a1", "a2")
        ]

    def _value(self, message: Any) -> Any:
        if type(message).__name__ != "StartEvaluationJob":
            return super()._value(message)
        self.take(scored.waiting())
        return EvaluationBatchReply(parent_job_id=scored.BATCH, evaluation_jobs=[])

    def take(self, other: FakeStudio) -> None:
        """What has come of the batch."""
        self.results, self.answers = other.results, other.answers
        self.rows["evaluation_jobs"] = other.rows["evaluation_jobs"]


async def test_two_adapters_are_compared_from_the_job_to_the_row_that_tells_them_apart() -> None:
    studio = Starting()
    async with Dashboard(make=lambda: studio).run_test(size=(100, 36)) as pilot:
        await until(pilot, lambda: "adapter-done" in shown(pilot.app))
        await pilot.press("v")
        await until(pilot, lambda: "tickets-a1" in shown(pilot.app) and "actions" in shown(pilot.app))
        await pilot.press("down", "space", "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, BatchScreen) and "No answers yet" in shown(pilot.app))
        (sent,) = [each for each in studio.asked if type(each).__name__ == "StartEvaluationJob"]
        assert [pair.adapter_id for pair in sent.model_adapter_combinations] == [None, "a2", "a1"]  # type: ignore[attr-defined]
        studio.take(scored.filled())
        studio.happened("evaluation_jobs", "e1")
        await until(pilot, lambda: "▲ better" in shown(pilot.app) and "by number" in shown(pilot.app))
        await pilot.press("o")
        await until(pilot, lambda: "most unlike first" in shown(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: "Row 29   1 of 30" in shown(pilot.app) and "✓ right" in shown(pilot.app))


def test_the_lines_of_keys_fit_the_narrowest_terminal() -> None:
    assert max(len(each.keys_shown) for each in (BatchScreen, AnswerScreen)) <= 78


# ─── how they look ────────────────────────────────────────────────────────────────────────────────

LOOKS: dict[str, tuple[Callable[[], FakeStudio], str]] = {
    "filled": (scored.filled, "my parcel"),
    "waiting": (scored.waiting, "No answers yet"),
    "failing": (scored.failing, "Add it again"),
    "hostile": (scored.hostile, "[red]"),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", LOOKS)
def test_batch(snap_compare: Compare, size: tuple[int, int], look: str) -> None:
    make, text = LOOKS[look]

    async def ready(pilot: Pilot[None]) -> None:
        await opened(pilot, text)
        await pilot.pause(0.3)

    assert snap_compare(Dashboard(make=make), terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", ["filled", "failing", "hostile"])
def test_row(snap_compare: Compare, size: tuple[int, int], look: str) -> None:
    make, text = LOOKS[look]

    async def ready(pilot: Pilot[None]) -> None:
        await opened(pilot, text)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, AnswerScreen) and "── prompt" in shown(pilot.app))
        await pilot.pause(0.3)

    assert snap_compare(Dashboard(make=make), terminal_size=size, run_before=ready)
