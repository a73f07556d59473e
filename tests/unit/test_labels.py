"""A runner serves the accelerator labels that it says, and one that is kept for a job serves nothing else."""

from __future__ import annotations

import pytest

from core import labels

OWN = str(labels.of_job("a job's key"))


@pytest.mark.parametrize(
    ("own", "served", "refused"),
    [
        (None, [None], ["0", "3", OWN]),
        ("3", [None, "3"], ["0", OWN]),
        (labels.ANY, [None, "0", "3"], [OWN]),
        (f"{labels.ONLY}{OWN}", [OWN], [None, "3"]),
    ],
)
def test_a_runner_serves_the_labels_that_it_says(
    own: str | None, served: list[str | None], refused: list[str | None]
) -> None:
    assert all(labels.serves(own, asked) for asked in served)
    assert not any(labels.serves(own, asked) for asked in refused)


def test_a_jobs_own_label_is_the_same_each_time_and_fits_a_column() -> None:
    found = {labels.of_job(f"{number}") for number in range(1000)}
    assert len(found) > 990 and labels.of_job("7") in found
    assert all(labels.OWN <= each < 1 << 31 for each in found)
