"""The rules of StartFineTuningJob about engines that are not the studio's own: a user's script, Axolotl."""

from __future__ import annotations

from collections.abc import Iterator

from core.messages.fine_tuning import StartFineTuningJob
from core.rules import Example, Need, NoWorld, World, rule
from core.types import FineTuningFrameworkType


@rule(
    StartFineTuningJob,
    "FT-141",
    "user_script",
    need=Need.files,
    passes=[{}, {"user_script": ""}, Example({"user_script": "s.py"}, NoWorld(scripts=frozenset({"s.py"})))],
    fails=[{"user_script": "s.py"}, {"user_script": "../s.py"}],
)
def _script(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """user_script must be a Python file in the directory of scripts (FTS_SCRIPTS_DIR)"""
    if not message.user_script:
        return
    try:
        world.script(message.user_script)
    except (ValueError, OSError) as error:
        yield f"user_script: {error}"


_ON_CPU = {"framework_type": "axolotl", "axolotl_config_id": "c", "num_gpu": 0}


@rule(
    StartFineTuningJob,
    "FT-142",
    "num_workers",
    passes=[_ON_CPU, {"num_gpu": 0, "num_workers": 2}, {**_ON_CPU, "num_gpu": 1, "num_workers": 2}],
    fails=[{**_ON_CPU, "num_workers": 2}],
)
def _one_process(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """axolotl trains with one process where there is no GPU"""
    axolotl = message.framework_type == FineTuningFrameworkType.axolotl and not message.user_script
    gpus = message.num_gpu if message.dist_gpu is None or message.num_workers == 1 else message.dist_gpu
    if axolotl and gpus == 0 and message.num_workers > 1:
        yield "Axolotl can't train with several processes on the CPU: num_workers must be 1, or num_gpu at least 1"
