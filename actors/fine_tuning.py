"""Handlers of fine-tuning jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from actors import freezing, lineage, promoting
from actors.axolotl import frozen_config, prompted
from actors.handlers import handles
from actors.jobs import submit
from actors.pages import JOB_SEEN, Shelf, by, containing, equal, found, page
from actors.places import Key
from actors.waiting import Board, state
from actors.world import RealWorld, as_dict
from core.messages.choosing import training_arguments
from core.messages.common import LARGEST_COUNT
from core.messages.fine_tuning import (
    CONFIG_FIELDS,
    FineTuningJobMetadata,
    FineTuningJobReply,
    FineTuningJobsReply,
    FineTuningRequest,
    GetFineTuningJob,
    ListFineTuningJobs,
    StartFineTuningJob,
)
from core.scripts import sha256
from core.spec import NO_PROMPT, FineTuningSpec, Sampling
from core.store.session import Unit
from core.store.tables import FineTuningJob, Job
from core.types import JobKind, JobStatus, LossOn, Method

PROMOTED = ("promote_as", "promote_metric", "promote_dataset_id", "promote_prompt_id")  # they have a row of their own
Configs = dict[str, tuple[str | None, dict[str, Any] | None]]


@handles(StartFineTuningJob)
def start_fine_tuning_job(message: StartFineTuningJob, unit: Unit, world: RealWorld) -> FineTuningJobReply:
    """Freeze every input, store the job, and queue it."""
    id = str(uuid4())
    asked, message = message, prompted(message, unit, world)
    found_configs = freezing.configs(message, unit, world)
    spec = specification(message, unit, world, id, found_configs, str(_out_dir(message, world)))
    spec = spec.model_copy(update={"axolotl_config": frozen_config(message, asked, unit, world)})
    row = FineTuningJob(id=id, **_columns(message, spec, found_configs))
    unit.session.add(row)
    job = Job(
        id=id,
        kind=JobKind.fine_tuning.value,
        name=message.adapter_name,
        engine="user_script" if message.user_script else message.framework_type,
        spec=spec.model_dump(mode="json"),
        priority=message.priority,
        cpus=spec.resources.cpus,
        gpus=spec.resources.gpus,
        memory=spec.resources.memory,
        workers=spec.resources.workers,
        attempt=0,
        accepted=0,
        losses=0,
        step=0,
    )
    lineage.note(unit.session, spec)
    promoting.note(unit, id, message)
    submit(world.desk, unit, job)
    return FineTuningJobReply(fine_tuning_job=metadata(row, job, Board(unit.session, world.desk.settings)))


def specification(
    message: FineTuningRequest, unit: Unit, world: RealWorld, id: str, configs: Configs, out_dir: str
) -> FineTuningSpec:
    """What a runner is told of the training; raises Refused when an input has no files here."""
    session = unit.session
    model, dataset = (
        freezing.model_source(world.desk.settings, session, message.base_model_id),
        freezing.dataset_source(world.desk.settings, session, message.dataset_id),
    )
    prompt = freezing.prompt_source(session, message.prompt_id) if message.prompt_id else NO_PROMPT
    user_config = configs["user_config"][1]
    return FineTuningSpec(
        job_id=id,
        name=message.adapter_name,
        framework=message.framework_type,
        model=model,
        dataset=dataset,
        prompt=prompt,
        sampling=Sampling(
            fraction=message.dataset_fraction,
            split=message.train_test_split,
            train_splits=message.splits,
            eval_split=message.eval_split or None,
        ),
        training_arguments=training_arguments(configs["training_arguments_config"][1] or {}, message),
        lora=configs["lora_config"][1] or {},
        model_bnb=configs["model_bnb_config"][1],
        adapter_bnb=configs["adapter_bnb_config"][1],
        max_length=message.max_length,
        packing=message.packing,
        loss_on=LossOn(message.loss_on),
        length_grouped=message.length_grouped,
        method=Method(message.method),
        chat_template=message.chat_template,
        day=datetime.fromtimestamp(unit.now, UTC).date(),
        early_stopping_patience=message.early_stopping_patience,
        keep_best=message.keep_best,
        oom_retry=world.desk.settings.oom_retry,
        out_dir=out_dir,
        resources=freezing.resources(message),
        needs_token=model.location is None or dataset.hub_name is not None,
        user_script=message.user_script or None,
        user_script_sha256=sha256(world.script(message.user_script)) if message.user_script else None,
        user_config=None if user_config is None else json.dumps(user_config),
    )


def _out_dir(message: StartFineTuningJob, world: RealWorld) -> Path:
    """The directory for the adapter; the default one is created."""
    if message.out_dir:
        return world.path(message.out_dir, write=True)
    path = world.desk.settings.adapters_root
    path.mkdir(parents=True, exist_ok=True)
    return path


def _columns(message: StartFineTuningJob, spec: FineTuningSpec, configs: Configs) -> dict[str, Any]:
    skipped = {"priority", "out_dir", "user_config", *PROMOTED} | {
        name for stem, _ in CONFIG_FIELDS for name in (stem, f"{stem}_id")
    }
    columns = {name: None if value == "" else value for name, value in message.model_dump(exclude=skipped).items()}
    for stem, (id, content) in configs.items():
        columns[f"{stem}_id"] = id
        if stem != "user_config":
            columns[stem] = None if content is None else json.dumps(content)
    arguments = spec.training_arguments
    epochs = arguments.get("num_train_epochs")
    columns["num_epochs"] = round(epochs) if isinstance(epochs, int | float) and abs(epochs) < LARGEST_COUNT else None
    columns["learning_rate"] = arguments.get("learning_rate")
    return {**columns, "out_dir": spec.out_dir}


@handles(GetFineTuningJob)
def get_fine_tuning_job(message: GetFineTuningJob, session: Session, world: RealWorld) -> FineTuningJobReply:
    """One job."""
    row = found(session, FineTuningJob, message.id, "fine-tuning job")
    return FineTuningJobReply(
        fine_tuning_job=metadata(row, session.get(Job, row.id), Board(session, world.desk.settings))
    )


SHELF = Shelf(
    select(FineTuningJob, Job).join(Job, Job.id == FineTuningJob.id).where(Job.kind == JobKind.fine_tuning.value),
    Job.id,
    own=(Key(Job.created_at, down=True),),
    orders=by(Job, "name", "status", "priority", "created_at", "started_at", "finished_at")
    | by(FineTuningJob, "adapter_name"),
    seen=(Job.name, FineTuningJob.adapter_name, *JOB_SEEN),
    what="job",
    options=(defer(Job.spec),),
)


@handles(ListFineTuningJobs)
def list_fine_tuning_jobs(message: ListFineTuningJobs, session: Session, world: RealWorld) -> FineTuningJobsReply:
    """A page of jobs, newest first."""
    query = equal(
        containing(SHELF.query, message.name_contains, Job.name, FineTuningJob.adapter_name),
        (Job.status, message.status),
        (FineTuningJob.dataset_id, message.dataset_id),
        (FineTuningJob.base_model_id, message.base_model_id),
        (FineTuningJob.framework_type, message.framework_type),
    )
    part = page(session, SHELF, message, query)
    board = Board(session, world.desk.settings)
    return FineTuningJobsReply(fine_tuning_jobs=[metadata(row, job, board) for row, job in part.rows], **part.told)


def metadata(row: FineTuningJob, job: Job | None, board: Board | None = None) -> FineTuningJobMetadata:
    """The request and its state as they are answered."""
    columns = {name: value for name, value in as_dict(row).items() if value is not None}
    stop = _stop(job) if job is not None else None
    return FineTuningJobMetadata.model_validate({**columns, **state(job, board), "stopped_early": stop})


def _stop(job: Job) -> dict[str, Any] | None:
    """Where its patience ran out, as its runner told it; None where it went to its end."""
    told = job.summary or {}
    if job.status != JobStatus.succeeded or told.get("stopped_early") is not True:
        return None
    step, loss = told.get("best_step"), told.get("best_eval_loss")
    return {
        "step": job.step,
        "best_step": step if isinstance(step, int) else None,
        "best_eval_loss": loss if isinstance(loss, int | float) and isfinite(loss) else None,
    }
