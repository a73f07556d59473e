"""What the workbench tells of itself. It is asked in threads: a reply waits for a moment, and else tells what was known before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from actors.desk import Desk
from actors.handlers import handles
from actors.lookout import Lookout
from actors.world import RealWorld
from core import cml, workbench
from core.messages.workbench import AcceleratorKind, ClusterUse, GetWorkbench, WorkbenchReply
from core.settings import Settings
from core.text import plain

PATIENCE = 2.0  # seconds that a reply waits; what comes later is in the next one
SOON = 5.0  # seconds after which the pages are asked for again when one that is wanted is not among them
T = TypeVar("T")


@handles(GetWorkbench)
def get_workbench(message: GetWorkbench, session: Session, world: RealWorld) -> WorkbenchReply:
    """What is known; nothing is asked outside a workbench."""
    using, until = world.desk.settings, time.monotonic() + PATIENCE
    if using.cdsw_project_id is None:
        return WorkbenchReply(on=False)
    cluster = _lookout(world.desk, "cluster", workbench.cluster)
    gpus = _lookout(world.desk, "gpu_enabled", workbench.gpu_enabled)
    accelerators = _lookout(world.desk, "accelerators", _accelerators)
    asked: list[Lookout[Any]] = [cluster, gpus, accelerators]
    for each in asked:
        each.look()
    jobs = _named(world.desk, "jobs", workbench.job_pages, message.jobs, asked)
    experiments = _named(world.desk, "experiments", _experiments, message.experiments, asked)
    taken = cluster.wait(until)
    return WorkbenchReply(
        on=True,
        owner=workbench.owner_of(using),
        domain=using.cdsw_domain,
        project_id=using.cdsw_project_id,
        project=workbench.project_page(using),
        pages=workbench.pages(using),
        cluster=None if taken is None else ClusterUse(**taken._asdict()),
        gpu_enabled=gpus.wait(until),
        accelerators=accelerators.wait(until) or [],
        jobs=_known(jobs, message.jobs, until),
        experiments=_known(experiments, message.experiments, until),
        at=cluster.told_at,
        away=list(dict.fromkeys(each.trouble for each in asked if each.trouble)),
    )


def _lookout(desk: Desk, name: str, ask: Callable[[Settings], T]) -> Lookout[T]:
    return desk.lookouts.setdefault(name, Lookout(lambda: ask(desk.settings)))


def _named(
    desk: Desk, name: str, ask: Callable[[Settings], Mapping[str, str]], wanted: list[str], asked: list[Lookout[Any]]
) -> Lookout[Mapping[str, str]] | None:
    """Who tells the pages of what is wanted; nobody is asked when nothing is."""
    if not wanted:
        return None
    found = _lookout(desk, name, ask)
    found.look(None if set(wanted) <= set(found.known or ()) else SOON)
    asked.append(found)
    return found


def _known(told: Lookout[Mapping[str, str]] | None, wanted: list[str], until: float) -> dict[str, str]:
    every = (told.wait(until) if told else None) or {}
    return {name: every[name] for name in wanted if name in every}


def _accelerators(using: Settings) -> list[AcceleratorKind]:
    """The kinds of GPUs that a job may ask for, as the SDK tells them."""
    return [
        AcceleratorKind(
            id=each.id,
            name=plain(each.value or each.key, limit=100),
            available=each.available,
            gpus_now=each.taken,
            gpus_most=each.gpus,
            per_workload=each.most,
        )
        for each in cml.connect(using).accelerators()
    ]


def _experiments(using: Settings) -> dict[str, str]:
    """The pages of MLflow's experiments, by name."""
    api = cml.connect(using)
    every = api.pages("the project's experiments", "list_experiments", "experiments", api.project)
    found = {str(each.name): workbench.experiment_page(using, str(each.id)) for each in every}
    return {name: page for name, page in found.items() if page is not None}
