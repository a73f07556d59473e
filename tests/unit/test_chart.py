"""What of a job's numbers is drawn, over what, and how closely."""

from __future__ import annotations

import random

import pytest

from tui.view.chart import Look, Run, smoothed
from tui.view.tracks import POINTS, Tracks


def tracks(steps: int = 100, every: float = 2.0, **values: float) -> Tracks:
    """A training that wrote a number each `every` seconds, and what its host told each 15."""
    made = Tracks()
    for step in range(1, steps + 1):
        made.add({"step": step, "at": 1000 + step * every, "values": {"loss": 1.0 / step, **values}})
    for second in range(0, int(steps * every), 15):
        made.add({"step": second, "at": 1000.0 + second, "values": {"sys.cpu": float(second)}})
    return made


def test_numbers_that_come_for_ever_take_bounded_room_and_a_spike_of_one_step_stays() -> None:
    made, dice = Tracks(), random.Random(5)
    for step in range(1, 100_001):
        made.add({"step": step, "at": float(step), "values": {"loss": 99.0 if step == 777 else dice.random()}})
    points = made.points["loss"]
    assert len(points) <= 2 * POINTS and points[0][0] == 1 and points[-1][0] == 100_000
    assert (777.0, 99.0, 777.0) in points and "loss" in made.coarse


def test_steps_that_come_again_take_the_place_of_the_first_and_the_hosts_seconds_stay() -> None:
    made = tracks()
    made.cut(50)
    assert made.points["loss"][-1][0] == 50 and made.points["sys.cpu"][-1][0] == 195
    made.add({"step": 40, "at": 5000.0, "values": {"loss": 7.0}})
    assert made.points["loss"][-1] == (40.0, 7.0, 5000.0) and made.points["loss"][-2][0] == 39


def test_a_stretch_that_was_asked_for_is_drawn_with_all_its_points_between_the_others() -> None:
    made = Tracks()
    made.replace([{"name": "loss", "steps": [0, 50, 100], "values": [3.0, 2.0, 1.0], "times": [], "total": 101}])
    assert made.coarse == {"loss"}
    made.refine([{"name": "loss", "steps": [40, 50, 60], "values": [9.0, 8.0, 7.0], "times": [], "total": 3}], 40, 60)
    assert [point[0] for point in made.of("loss")] == [0, 40, 50, 60, 100]


def test_the_hosts_numbers_stand_over_steps_where_the_training_was_at_the_time() -> None:
    look, run = Look(), Run("this job", tracks())
    series, loose = look.series("sys.cpu", run)
    assert not loose and (15.0, 30.0) in series
    look.over("time", run)
    assert (30.0, 30.0) in look.series("sys.cpu", run)[0]
    untimed = Tracks({"loss": [(1.0, 1.0, 0.0)], "sys.cpu": [(15.0, 5.0, 0.0)]})
    assert Look().series("sys.cpu", Run("", untimed)) == ([(15.0, 5.0)], True)


def test_axes_are_those_that_are_known() -> None:
    assert Look().axes(Run("", tracks())) == ["steps", "time"]
    assert Look().axes(Run("", tracks(), epoch=0.01)) == ["steps", "time", "epochs"]
    look, run = Look(axis="epochs"), Run("", tracks(), epoch=0.01)
    assert look.span(run) == (0.01, 1.0)
    assert look.series("loss", run)[0][-1] == (1.0, 0.01)


def test_zooming_goes_to_the_newest_or_to_the_cursor_and_ends_at_the_whole_and_at_four_steps() -> None:
    look, run = Look(), Run("", tracks())
    look.zoom(0.5, run)
    assert look.window == (50.5, 100.0)
    look.pan(-0.5, run)
    assert look.window == (25.75, 75.25)
    look.pan(-9, run)
    assert look.window == (1.0, 50.5)
    look.cursor = 40.0
    for _ in range(9):
        look.zoom(0.5, run)
    assert look.window == (38.0, 42.0)
    assert look.steps(run) == (38.0, 42.0)
    for _ in range(9):
        look.zoom(2, run)
    assert look.window is None and look.steps(run) is None


@pytest.mark.parametrize(("columns", "step"), [(200, 1.0), (20, 5.2)])
def test_the_cursor_goes_from_point_to_point_but_at_least_a_column(columns: int, step: float) -> None:
    look, run = Look(), Run("", tracks())
    look.move(1, run, columns)
    assert look.cursor == 1.0
    look.move(1, run, columns)
    assert look.cursor - 1.0 == pytest.approx(step, abs=1)
    look.move(-1, run, columns)
    look.move(-1, run, columns)
    assert look.cursor == 1.0
    panel = look.panel("loss", run)
    assert panel.values[0].y == 1.0
    look.window = (50.0, 60.0)
    look.move(-1, run, columns)
    assert look.window is not None and look.window[0] <= look.cursor <= look.window[1]


def test_the_losses_stand_together_until_another_job_stands_beside() -> None:
    own = tracks(eval_loss=2.0, learning_rate=0.1)
    look, run = Look(), Run("this job", own)
    assert look.names(own) == ["loss", "learning_rate", "sys.cpu"]
    assert [value.name for value in look.panel("loss", run).values] == ["loss", "eval loss"]
    look.others = [Run("other", tracks(entropy=1.0))]
    assert look.names(own) == ["loss", "eval_loss", "learning_rate", "entropy", "sys.cpu"]
    panel = look.panel("loss", run)
    assert panel.title == "loss" and [(value.name, value.mark) for value in panel.values] == [
        ("this job", "●"),
        ("other", "▲"),
    ]


def test_a_running_mean_starts_at_the_first_number_and_follows() -> None:
    series = [(float(x), 10.0) for x in range(50)]
    assert {round(y, 9) for _, y in smoothed(series, 0.9)} == {10.0}
    steps = smoothed([(0.0, 0.0), (1.0, 10.0), (2.0, 10.0)], 0.6)
    assert 0 == steps[0][1] < steps[1][1] < steps[2][1] < 10
    assert smoothed(series, 0) is series


def test_a_trainings_own_curve_takes_the_place_of_the_hosts_until_someone_chooses() -> None:
    look = Look()
    look.settle(["sys.memory"])
    assert look.chosen == "sys.memory"
    look.settle(["loss", "sys.memory"])
    assert look.chosen == "loss"
    look.choose(1, ["loss", "sys.memory"])
    look.settle(["loss", "tokens_per_second", "sys.memory"])
    assert look.chosen == "sys.memory"
