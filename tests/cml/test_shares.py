"""A training of the studio's own has a pod for each worker; everything else has one for all."""

from __future__ import annotations

from typing import Any

import pytest

from core.spec import Resources
from gpu_runner.cml.shares import leads, of_first_pod

EACH = {"cpus": 2, "gpus": 1, "memory": 8, "gpu_label_id": 3}
THREE = {**EACH, "cpus": 6, "gpus": 3, "memory": 24}


@pytest.mark.parametrize(
    ("spec", "alone", "asked"),
    [
        ({"kind": "fine_tuning", "framework": "legacy"}, False, {**EACH, "workers": 3}),
        ({"kind": "fine_tuning", "framework": "axolotl"}, True, THREE),
        ({"kind": "fine_tuning", "framework": "legacy", "user_script": "mine.py"}, True, THREE),
        ({"kind": "evaluation"}, True, THREE),
    ],
)
def test_what_cloudera_is_asked_for_is_what_the_pod_takes(
    spec: dict[str, Any], alone: bool, asked: dict[str, Any]
) -> None:
    several = {**spec, "resources": {**EACH, "workers": 3}}
    assert leads(several) is not alone and of_first_pod(several) == Resources(**asked)
    one = {**spec, "resources": EACH}
    assert not leads(one) and of_first_pod(one) == Resources(**EACH)


def test_a_specification_that_tells_of_no_resources_takes_none() -> None:
    assert of_first_pod({}) == Resources(cpus=0, gpus=0, memory=0)
