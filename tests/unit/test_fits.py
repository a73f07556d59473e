"""Where jobs fit, what would make them fit, and what history says: pure functions."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import history
from core.fits import GIB, OTHERS, nearest, places
from core.history import Band, Kind, Past, past_of
from core.memory import estimate
from core.tuning import Tuning
from core.work import operations
from tests.unit.test_shapes import SHAPE

HOST = {"id": "r", "host": "a", "memory": 64.0, "gpus": [], "engines": ["legacy"], "trusted": True, "labels": {}}
GPUS = [{"index": 0, "name": "T4", "memory": 15.0}, {"index": 1, "name": "A100", "memory": 80.0}]
KIND = Kind("m", "cpu")


# ─── places ───────────────────────────────────────────────────────────────────────────────────────


def test_a_job_without_gpus_has_a_hosts_memory_less_what_others_take() -> None:
    (place,) = places([HOST], 0, -1)
    assert (place.device, place.bytes, str(place)) == ("cpu", (64 - OTHERS) * GIB, "64.0 GiB (63.0 GiB usable)")
    assert [each.bytes for each in places([HOST], 0, -1, workers=2)] == [place.bytes / 2]


def test_a_job_with_gpus_has_the_largest_of_a_runner_that_has_as_many() -> None:
    runner = {**HOST, "gpus": GPUS}
    (place,) = places([HOST, runner], 2, -1)
    assert (place.device, place.name) == ("cuda", "A100") and 75 * GIB < place.bytes < 80 * GIB
    assert list(places([HOST, runner], 3, -1)) == []


@pytest.mark.parametrize(
    "other", [{"trusted": False}, {"engines": ["evaluation"]}, {"labels": {"gpu_label_id": "8"}}, {"labels": {}}]
)
def test_runners_that_could_not_take_it_are_no_places(other: dict[str, Any]) -> None:
    assert list(places([{**HOST, **other}], 0, 7)) == []
    assert len(list(places([{**HOST, "labels": {"gpu_label_id": "7"}}], 0, 7))) == 1


# ─── what would fit ───────────────────────────────────────────────────────────────────────────────


def test_the_least_harmful_changes_come_first() -> None:
    asked = Tuning(batch=16, length=4096, accumulation=1)
    least = estimate(SHAPE, Tuning(batch=4, length=4096, accumulation=4)).total
    first = nearest(SHAPE, asked, least + 1)[0]
    assert first.settings == {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    assert first.bytes == least and "per_device_train_batch_size 4" in str(first)


def test_changes_are_proposed_in_one_order_however_long_rows_are_taken_for() -> None:
    before: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
    for length, scored, share in product((256, 512), (0, 100), (0.7, 0.925, 0.975)):
        asked = Tuning(batch=8, length=length, scored=scored, device="cuda")
        changes = nearest(SHAPE, asked, share * estimate(SHAPE, asked).total)
        before |= set(combinations([tuple(change.settings) for change in changes], 2))
    assert len(before) > 2 and not {(second, first) for first, second in before} & before


def test_nothing_is_offered_when_nothing_would_do() -> None:
    assert nearest(SHAPE, Tuning(batch=1, length=128), 1.0) == []


@given(
    batch=st.integers(1, 32),
    accumulation=st.integers(1, 4),
    length=st.integers(64, 8192),
    method=st.sampled_from(["lora", "full"]),
    share=st.floats(0.2, 0.95),
)
def test_what_is_offered_fits_and_keeps_the_effective_batch(
    batch: int, accumulation: int, length: int, method: str, share: float
) -> None:
    asked = Tuning(batch=batch, accumulation=accumulation, length=length, method=method)
    available = share * estimate(SHAPE, asked).total
    for change in nearest(SHAPE, asked, available, 1.1):
        assert 0 < change.bytes <= available
        settings = change.settings
        micro = settings.get("per_device_train_batch_size", batch)
        steps = settings.get("gradient_accumulation_steps", accumulation)
        assert micro * steps == pytest.approx(batch * accumulation, rel=0.51)
        assert settings.get("max_length", length) <= length


# ─── history ──────────────────────────────────────────────────────────────────────────────────────


def past(ratio: float = 1.0, kind: Kind = KIND, seconds: float = 2.0) -> Past:
    return Past(kind, peak=ratio * 1000, reckoned=1000.0, operations=1e9, seconds=seconds, overhead=7.0)


def test_without_history_the_error_is_that_of_the_benchmark() -> None:
    assert history.memory(100.0, KIND, []) == Band.around(100.0, 0.15)
    assert history.step_seconds(1e9, KIND, [], None) is None
    told = history.step_seconds(1e9, KIND, [], 1e9)
    assert told is not None and (told.mid, told.jobs) == (2.5, 0) and told.high == 7.5


def test_jobs_like_it_correct_it_and_narrow_the_band() -> None:
    band = history.memory(100.0, KIND, [past(1.2), past(1.2), past(1.2, Kind("other", "cpu"))])
    assert (band.mid, band.jobs) == (pytest.approx(120.0), 2)
    assert band.high == pytest.approx(126.0)
    told = history.step_seconds(2e9, KIND, [past()], 1e12)
    assert told is not None and (told.mid, told.jobs) == (4.0, 1)
    assert history.overhead(KIND, [past()]) == 7.0


def test_what_they_disagree_about_widens_the_band() -> None:
    band = history.memory(100.0, KIND, [past(0.9), past(1.0), past(1.4)])
    assert (band.low, band.mid, band.high) == (pytest.approx(100 / 1.4), 100.0, pytest.approx(140.0))


def test_other_devices_and_measurements_of_something_else_tell_nothing() -> None:
    assert history.memory(100.0, KIND, [past(1.3, Kind("m", "cuda"))]) == Band.around(100.0, 0.15)
    assert history.memory(100.0, KIND, [past(3.0), past(0.1)]) == Band.around(100.0, 0.15)
    assert history.memory(100.0, KIND, [past(1.3, Kind("other", "cpu"))]).mid == 100.0


def test_other_models_tell_how_fast_a_runner_is_with_a_wider_band() -> None:
    near, far = (
        history.step_seconds(1e9, KIND, [past(kind=kind)], None) for kind in (KIND, Kind("other", "cpu", bits=4))
    )
    assert near is not None and far is not None
    assert near.mid == far.mid and far.high > near.high


def test_a_finished_jobs_row_tells_its_kind_and_figures() -> None:
    spec = {"model": {"id": "m"}, "model_bnb": {"load_in_4bit": True}, "packing": True, "training_arguments": {}}
    found = past_of(
        {"peak_memory_bytes": 5, "estimated_memory_bytes": None, "device": "cpu", "seconds_per_step": -1}, spec
    )
    assert found.kind == Kind("m", "cpu", bits=4, packing=True)
    assert (found.peak, found.reckoned, found.seconds) == (5.0, None, None)
    assert past_of({}, {}).kind.model == "None"


# ─── operations ───────────────────────────────────────────────────────────────────────────────────


def test_a_token_takes_four_operations_a_frozen_weight_and_six_a_trained_one() -> None:
    """Where blocks are all there is: no attention, a vocabulary of one, the thinnest adapter."""
    bare = SHAPE.model_copy(update={"vocab": 1, "heads": 0})
    lora, full = (operations(bare, Tuning(method=how, rank=1, length=8), 1.0) for how in ("lora", "full"))
    assert lora == pytest.approx(4 * bare.blocks, rel=0.2)
    assert full == pytest.approx(6 * bare.blocks, rel=0.1)
    assert operations(bare, Tuning(length=8, checkpointing=True), 1.0) > operations(bare, Tuning(length=8), 1.0)
