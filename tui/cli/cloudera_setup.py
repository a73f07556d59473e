"""What a project of Cloudera ML needs so that the studio runs jobs there: template jobs, and the studio's place for other pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core import cml
from core.facts import CONFIGS
from core.settings import Settings

SCRIPT = "gpu_runner/cml/job.py"  # what runs of the template jobs begin with
OWN = ("configs/cml/start.py", "configs/cml/install.py")  # what the project's start runs
TRAINING = {"MLFLOW_FLATTEN_PARAMS": "true", "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
CPUS, MEMORY, GPUS = 2, 8, 1  # what the original studio's templates take; each run of ours says what it takes


def prepare(using: Settings, door: cml.Cloudera) -> Iterator[str]:
    """Make what is missing; tells what it does. Raises what the door raises."""
    names = [using.cml_training_template, *({cml.FALLBACK} - {using.cml_training_template})]
    if "cml_training_template" in using.model_fields_set:  # a name of one's own is not to be had under another
        names = names[:1]
    yield _template(door, names, TRAINING)
    yield _template(door, [using.cml_evaluation_template], {})
    yield from _environment(using, door)


def _template(door: cml.Cloudera, names: list[str], environment: dict[str, str]) -> str:
    try:
        found = door.template(*names)
    except cml.Missing:
        return _made(door, names[-1], environment)
    if found.script == script() or (Path.home() / found.script).is_file() or Path(found.script).is_file():
        return f"template job {found.name}: there"
    door.update_job(found.id, {"script": script()})
    return f"template job {found.name}: its script {found.script} is gone, it now runs {script()}"


def _made(door: cml.Cloudera, name: str, environment: dict[str, str]) -> str:
    runtime, addons = door.runtime(*OWN)
    new = cml.NewJob(
        name, script(), runtime=runtime, cpu=CPUS, memory=MEMORY, gpus=GPUS, environment=environment, addons=addons
    )
    try:
        door.create_job(new)
    except cml.Declined as error:
        if error.status != 400:
            raise
        door.create_job(new._replace(gpus=0))  # a workbench without GPUs; only what runs ask for themselves counts
    return f"template job {name}: made"


def script() -> str:
    """The script's path from the project's directory, where the studio may be a part of a larger project."""
    return f"{below()}{SCRIPT}"


def below() -> str:
    """The studio's directory below the project's: fine-tuning-studio/ as a part of another (IS_COMPOSABLE), else nothing."""
    place, project = CONFIGS.parent.resolve(), Path.home().resolve()
    return f"{place.relative_to(project)}/" if place != project and place.is_relative_to(project) else ""


def _environment(using: Settings, door: cml.Cloudera) -> Iterator[str]:
    """Sessions and jobs of the project find the studio by FTS_HOME, wherever they are; no secret is among these."""
    if "home" not in using.model_fields_set and not Path(OWN[0]).is_file():
        yield "variables of the project: left as they are, this is not the studio's directory"
        return
    changes = {"FTS_HOME": str(using.root), "FTS_PROJECT": str(using.project.resolve())}
    told = ", ".join(changes)
    yield f"variables of the project: {told} {'set' if door.set_environment(dict(changes)) else 'are set'}"
