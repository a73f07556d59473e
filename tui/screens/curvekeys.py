"""The keys of a job's curves: which is looked at, how closely, over what, and beside which other jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from core.text import plain
from tui.screens.jobkeys import JobKeysScreen
from tui.view.cells import Row
from tui.view.chart import MOST, Run
from tui.view.jobview import epochs_of_a_step
from tui.view.tracks import POINTS, Tracks
from tui.widgets.charts import Charts

CURVES = Binding.Group("Curves")
OTHERS = 100  # jobs that are offered at once


class CurveKeysScreen(JobKeysScreen):
    """A screen with charts of a job."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "metric(1)", "next curve", show=False, group=CURVES),
        Binding("M", "metric(-1)", "curve before", show=False, group=CURVES),
        Binding("enter", "alone", "this curve alone, or all", show=False, group=CURVES),
        Binding("z", "zoom(0.5)", "closer", show=False, group=CURVES),
        Binding("Z", "zoom(2)", "farther away", show=False, group=CURVES),
        Binding("0", "zoom(0)", "all of it", show=False, group=CURVES),
        Binding("right", "cursor(1)", "read the next point", show=False, group=CURVES),
        Binding("left", "cursor(-1)", "read the point before", show=False, group=CURVES),
        Binding("shift+right", "cursor(10)", "ten points on", show=False, group=CURVES),
        Binding("shift+left", "cursor(-10)", "ten points back", show=False, group=CURVES),
        Binding("full_stop", "pan(0.5)", "half a window on", show=False, group=CURVES),
        Binding("comma", "pan(-0.5)", "half a window back", show=False, group=CURVES),
        Binding("L", "log_axis", "logarithmic axis", show=False, group=CURVES),
        Binding("S", "smooth", "smoother, or as it is", show=False, group=CURVES),
        Binding("x", "axis", "over steps, time or epochs", show=False, group=CURVES),
        Binding("O", "overlay", "other jobs beside it", show=False, group=CURVES),
    ]
    job_id = ""

    def __init__(self) -> None:
        super().__init__()
        self.beside: list[Row] = []  # the jobs whose curves stand beside

    @property
    def charts(self) -> Charts:
        """The curves."""
        return self.query_one(Charts)

    def ask(self, name: str, fields: dict[str, Any], done: Callable[[Any], None]) -> None:
        """Ask the studio; what it answers is for this screen alone, as long as it is there."""
        self.dashboard.ask(name, fields, lambda answer: done(answer) if self.there else None)

    def placed(self) -> None:
        """Other jobs stand beside, or no longer."""

    def curves_wanted(self) -> None:
        """A key of the curves was pressed: they are to be seen."""

    def action_metric(self, step: int) -> None:
        """m, M: another chart."""
        self.curves_wanted()
        self.charts.choose(step)

    def action_alone(self) -> None:
        """enter: the chosen chart alone."""
        self.curves_wanted()
        self.charts.alone()

    def action_zoom(self, factor: float) -> None:
        """z, Z, 0: closer, farther away, all."""
        self.curves_wanted()
        self.charts.zoom(factor)

    def action_pan(self, share: float) -> None:
        """comma, full stop: along what is zoomed."""
        self.curves_wanted()
        self.charts.pan(share)

    def action_cursor(self, step: int) -> None:
        """Arrows: read the curves at a point."""
        self.curves_wanted()
        self.charts.move(step)

    def action_log_axis(self) -> None:
        """L: a logarithmic axis."""
        self.curves_wanted()
        self.charts.log_axis()

    def action_smooth(self) -> None:
        """S: the running mean, in three strengths."""
        self.curves_wanted()
        self.charts.smooth()

    def action_axis(self) -> None:
        """x: steps, time, epochs."""
        self.curves_wanted()
        self.charts.next_axis()

    # ─── closer ───────────────────────────────────────────────────────────────────────────────────

    def on_charts_closer(self, message: Charts.Closer) -> None:
        """A stretch of a long training is looked at: its own points are asked for."""
        first, last = max(0, int(message.first)), max(0, int(message.last) + 1)
        names = sorted(self.charts.run.tracks.coarse)
        asked = {"id": self.job_id, "names": names, "first_step": first, "last_step": last, "points": POINTS}

        def refined(answer: Any) -> None:
            self.charts.run.tracks.refine(answer.value.model_dump(mode="json")["series"], first, last)
            self.charts.redraw()

        self.ask("GetJobMetrics", asked, refined)

    # ─── other jobs ───────────────────────────────────────────────────────────────────────────────

    def action_overlay(self) -> None:
        """O: choose jobs whose curves stand beside."""
        self.pick(f"Curves of up to {MOST} other jobs beside this one", MOST, self.beside, self._beside)

    def pick(self, title: str, most: int, marked: list[Row], then: Callable[[list[Row] | None], None]) -> None:
        """Choose other jobs, newest first."""
        from tui.screens.pickjobs import PickJobsScreen

        def search(text: str, found: Callable[[list[Row]], None]) -> None:
            def listed(answer: Any) -> None:
                rows = answer.value.model_dump(mode="json")["fine_tuning_jobs"]
                found([row for row in rows if row["id"] != self.job_id])

            self.ask("ListFineTuningJobs", {"limit": OTHERS, "contains": text or None}, listed)

        def offer(rows: list[Row]) -> None:
            ids = [str(row["id"]) for row in marked]
            older = [row for row in marked if row["id"] not in {each["id"] for each in rows}]
            self.app.push_screen(PickJobsScreen(title, [*rows, *older], most, ids, search), then)

        search("", offer)

    def _beside(self, rows: list[Row] | None) -> None:
        if rows is None:
            return
        self.beside = rows
        self.curves_wanted()
        kept = {run.id: run for run in self.charts.look.others}
        names = [plain(row.get("adapter_name") or row["id"], limit=40) for row in rows]
        runs = [
            kept.get(str(row["id"])) or Run(name, Tracks(), epochs_of_a_step(row), str(row["id"]), live=_live(row))
            for row, name in zip(rows, names, strict=True)
        ]
        self.charts.beside(runs)
        self.placed()
        for run in runs:
            self._fetch_run(run)

    def refresh_others(self) -> None:
        """Jobs beside this one that still run have more numbers by now."""
        for run in self.charts.look.others:
            if run.live:
                self._fetch_run(run)

    def _fetch_run(self, run: Run) -> None:
        def drawn(answer: Any) -> None:
            run.tracks.replace(answer.value.model_dump(mode="json")["series"])
            self.charts.redraw()

        self.ask("GetJobMetrics", {"id": run.id, "points": POINTS}, drawn)


def _live(row: Row) -> bool:
    return row.get("status") not in ("succeeded", "failed", "cancelled", "paused")
