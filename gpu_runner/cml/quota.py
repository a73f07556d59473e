"""The runner of kind `cml`: what it offers is a quota of the project's, and its children are stewards of runs at Cloudera's."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from core import labels
from core.cml import connect
from core.engines import KNOWN, installed
from core.messages.runners import Gpu, RegisterRunner
from core.settings import Settings
from core.types import EndpointEngine
from gpu_runner.cml.stewards import Stewards
from gpu_runner.identity import Identity
from gpu_runner.launch import Launch
from gpu_runner.offering import OWN, Terms, address
from gpu_runner.room import Room
from gpu_runner.setup import Setup
from gpu_runner.shared import read_marker
from gpu_runner.starter import Starter

LABELS = {labels.NAME: labels.ANY}  # the accelerator that a job names is chosen with its run
PATIENCE = (300.0, 900.0)  # seconds from an order to cancel to a signal: the steward has a patience of its own
KEY = "CDSW_APIV2_KEY"  # which children are not given, but for stewards


def setup(using: Settings) -> Setup:
    """A daemon's parts. Raises Unavailable where Cloudera's SDK, or what it needs, is not there."""
    connect(using)
    terms = terms_of(using)
    return Setup(name(using), terms, partial(_offer, using, room=terms.room), partial(_starter, using))


def name(using: Settings) -> str:
    """The project's, whatever pod the daemon lives in: a restarted application is the same runner."""
    return using.runner_name or f"cml-{using.cdsw_project_id}"


def terms_of(using: Settings) -> Terms:
    """The terms that the settings make."""
    quota = room(using)
    return Terms(
        using.artifacts_root,
        quota,
        address=address(using),
        token=lambda: using.hub_token.get_secret_value() if using.hub_token else None,
        tracking_uri=using.tracking_uri if using.tracking else None,
        patience=PATIENCE,
        engines=partial(engines, using),
        backend=Stewards(using, quota),
    )


def room(using: Settings) -> Room:
    """The quota; its GPUs are no particular ones."""
    gpus = (Gpu(index=index, memory=using.cml_gpu_memory) for index in range(using.cml_gpus))
    return Room(max(1, int(using.cml_cpus)), using.cml_memory, tuple(gpus))


def engines(using: Settings) -> list[str]:
    """What can be run in pods: they have the environment of this daemon, on the project's file system."""
    own = [*OWN, EndpointEngine.cml_model.value, *(["lm_eval"] if find_spec("lm_eval") else [])]
    more = [each for each in KNOWN if installed(using, each) is not None]
    return [*own, *more, *(["user_script"] if using.scripts_root.is_dir() else [])]


def _offer(using: Settings, identity: Identity, *, room: Room) -> RegisterRunner:
    return RegisterRunner(
        runner_id=identity.runner_id,
        host=identity.host,
        kind="cml",
        cpus=room.cpus,
        memory=room.memory,
        gpus=list(room.gpus),
        labels=LABELS | using.runner_labels,
        engines=engines(using),
        marker=read_marker(using.artifacts_root),
        pid=os.getpid(),
    )


def _starter(using: Settings, bell: Callable[[], None]) -> Starter:
    key = {KEY: using.cdsw_apiv2_key.get_secret_value()} if using.cdsw_apiv2_key else {}
    return Starter(bell, None, steward_command, environment=key)


def steward_command(launch: Launch) -> list[str]:
    """The command that starts a steward."""
    return [sys.executable, "-m", "gpu_runner.cml.steward", launch.to_json()]
