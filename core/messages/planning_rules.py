"""The rules of PlanFineTuningJob: those of StartFineTuningJob, without what a plan needs not have or is there to find out."""

from __future__ import annotations

from collections.abc import Iterator

from core.messages.fine_tuning import StartFineTuningJob
from core.messages.planning import PlanFineTuningJob
from core.rules import World, rule, rules_of
from core.types import FineTuningFrameworkType

# A name and a place for the result are the start's; whether it fits is what a plan tells; scripts can't be looked into.
NOT_OF_PLANS = {"FT-002", "FT-003", "FT-131", "FT-132", "FT-133", "FT-141"}

PlanFineTuningJob.rules += [each for each in rules_of(StartFineTuningJob) if each.id not in NOT_OF_PLANS]


@rule(
    PlanFineTuningJob,
    "FT-134",
    "framework_type",
    passes=[{}],
    fails=[{"framework_type": "axolotl", "axolotl_config_id": "c"}, {"user_script": "s.py"}],
)
def _own(message: PlanFineTuningJob, world: World) -> Iterator[str]:
    """only the studio's own training can be planned: what a script or another framework does is theirs to know"""
    if message.user_script:
        yield "a user's script can't be planned: only it knows what it does"
    elif message.framework_type == FineTuningFrameworkType.axolotl:
        yield "an axolotl job can't be planned; its own preprocessing tells what it makes of the rows"
