"""A plan made of what a runner found: memory and time on each runner that is heard of, corrected by what finished there."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors.hosts import all_runners
from actors.world import as_dict
from core import history, short
from core.fits import Place, nearest, places
from core.history import Band, Kind, Past
from core.memory import estimate, trained_parameters
from core.messages.planning import Fit, Longer, Nearest, Plan
from core.shapes import Shape
from core.spec import FineTuningSpec, PlanSpec
from core.store.tables import Job, Model
from core.text import counted
from core.tuning import Tuning, attention_of, tuning_of
from core.types import JobKind, JobStatus
from core.work import operations

REMEMBERED = 200  # finished jobs that a plan is corrected by
STARTING = 10.0  # seconds around the steps of a job, as long as no job tells


def made(session: Session, job: Job) -> Plan:
    """The plan of a job that found out what there is to know about the rows."""
    asked = PlanSpec.model_validate(job.spec).request
    found: dict[str, Any] = job.summary or {}
    plan = Plan.model_validate({**found, "warnings": _warnings(asked, found)})
    arguments = asked.training_arguments
    accumulated, at_once = int(arguments.get("gradient_accumulation_steps", 1)), _batch(asked) * asked.resources.workers
    plan.batch = min(at_once * accumulated, plan.sequences)
    of_an_epoch = ceil(ceil(plan.sequences / at_once) / accumulated)  # its last batch, and step, may be smaller
    plan.epochs = plan.steps / max(1, of_an_epoch)
    if plan.steps < short.FEW:
        plan.longer = _longer(asked, plan, at_once, accumulated)
        advice = f": {plan.longer.text}" if plan.longer is not None else ""
        plan.warnings.insert(0, short.told(plan.steps) + advice)
    shape = _shape(session, asked, found)
    if shape is None:
        plan.warnings.append("the model's files don't tell its sizes: memory and time are not reckoned")
        return plan
    return _reckoned(session, asked, found, plan, shape)


def _shape(session: Session, asked: FineTuningSpec, found: dict[str, Any]) -> Shape | None:
    model = session.get(Model, asked.model.id)
    told = found.get("shape") or (model.shape if model is not None else None)
    return Shape.model_validate(told) if told else None


def _warnings(asked: FineTuningSpec, found: dict[str, Any]) -> list[str]:
    told = list(found.get("notes") or [])
    if found["looked_at"] < found["rows"] + found["dropped"]:
        told.append(f"{counted(found['looked_at'], 'row')} stand for all of them: no more were looked at")
    if found["cut"]:
        many = counted(found["cut"], "row is", "rows are")
        told.append(f"{many} longer than {asked.max_length} tokens and will be cut to that: such rows teach no end")
    if found["dropped"]:
        told.append(f"{counted(found['dropped'], 'row')} will be left out: max_length cuts before what is learned")
    if asked.training_arguments.get("fp16") and not asked.resources.gpus:
        told.append("fp16 is asked for, but no GPU is: fp32 will be used")
    return told


def _longer(asked: FineTuningSpec, plan: Plan, at_once: int, accumulated: int) -> Longer | None:
    """Rows each by themselves, as often as it takes; None where the training arguments say how many steps there are."""
    if int(asked.training_arguments.get("max_steps") or 0) > 0:
        return None
    packed = asked.packing and plan.sequences < plan.rows
    of_an_epoch = ceil(ceil((plan.rows if packed else plan.sequences) / at_once) / accumulated)
    epochs = short.epochs_for(of_an_epoch)
    settings: dict[str, Any] = {"num_epochs": epochs, **({"packing": False} if packed else {})}
    text = (
        f"{counted(epochs, 'epoch')}{' with rows not packed' if packed else ''} would make {of_an_epoch * epochs} steps"
    )
    return Longer(settings=settings, steps=of_an_epoch * epochs, text=text)


def _batch(asked: FineTuningSpec) -> int:
    return int(asked.training_arguments.get("per_device_train_batch_size", 8))


def tuning(asked: FineTuningSpec, found: dict[str, Any], device: str) -> Tuning:
    """The settings on the batches that there are; a processor without bf16 does without."""
    batch = _batch(asked)
    longest = min(asked.max_length, int(found["tokens"])) if asked.packing else int(found["longest"])
    made: Tuning = tuning_of(
        asked.training_arguments,
        asked.lora,
        asked.model_bnb or asked.adapter_bnb,
        method=asked.method.value,
        length=-(-int(found["largest"]) // batch),
        scored=int(found["scored"]),
        tokens=int(found["tokens"]),
        packing=asked.packing,
        padded=bool(found["padded"]),
        device=device,
        attention=attention_of(asked.training_arguments, device, longest),
    )
    return replace(made, precision="fp32") if device == "cpu" and not found.get("bf16") else made


def _reckoned(session: Session, asked: FineTuningSpec, found: dict[str, Any], plan: Plan, shape: Shape) -> Plan:
    resources = asked.resources
    runners = [as_dict(runner) for runner in all_runners(session) if not runner.lost]
    able = list(places(runners, resources.gpus, resources.gpu_label_id or -1, resources.workers))
    how = tuning(asked, found, "cuda" if resources.gpus else "cpu")
    parts = estimate(shape, how)
    plan.parameters, plan.trained_parameters = shape.parameters, trained_parameters(shape, how)
    plan.memory = {name: size for name, size in vars(parts).items() if size}
    if not plan.trained_parameters and not asked.lora.get("modules_to_save"):
        layers = ", ".join(dict.fromkeys(each.name for each in shape.linears))
        plan.warnings.append(f"the LoRA config's target_modules match no layer of the model, which has {layers}")
    past = _past(session)
    kind = Kind(
        asked.model.id,
        how.device,
        how.precision,
        how.method,
        how.bits,
        how.checkpointing,
        how.packing,
    )
    work = operations(shape, how, plan.computed / max(1, plan.steps) / resources.workers)
    rate = found.get("rate") if how.device == "cpu" else None
    plan.fits = [
        _fit(place, parts.total, kind, past.get(place.runner_id, []), work, plan.steps, rate) for place in able
    ]
    plan.fits.sort(key=lambda fit: (fit.fits is False, fit.fits is None, fit.seconds[1] if fit.seconds else 0.0))
    best = plan.fits[0] if plan.fits else None
    plan.needed = best.needed if best else _three(Band.around(parts.total, history.MEMORY_ERRORS[-1]))
    plan.seconds = best.seconds if best else None
    if best is not None and best.fits is not True:
        factor = best.needed[2] / parts.total
        changes = nearest(shape, how, max(fit.available for fit in plan.fits), factor)
        plan.nearest = [Nearest(settings=dict(each.settings), bytes=each.bytes, text=str(each)) for each in changes]
    return plan


def _fit(
    place: Place, reckoned: float, kind: Kind, past: list[Past], work: float, steps: int, rate: float | None
) -> Fit:
    needed = history.memory(reckoned, kind, past)
    a_step = history.step_seconds(work, kind, past, rate)
    around = history.overhead(kind, past) or STARTING
    seconds = (
        None
        if a_step is None
        else (around + steps * a_step.low, around + steps * a_step.mid, around + steps * a_step.high)
    )
    fits = True if needed.high <= place.bytes else False if needed.low > place.bytes else None
    return Fit(
        runner_id=place.runner_id,
        host=place.host,
        device=place.device,
        name=place.name if place.device == "cuda" else "",
        whole=place.whole,
        available=place.bytes,
        needed=_three(needed),
        fits=fits,
        seconds=seconds,
        jobs=max(needed.jobs, a_step.jobs if a_step else 0),
    )


def _three(band: Band) -> tuple[float, float, float]:
    return band.low, band.mid, band.high


def _past(session: Session) -> dict[str, list[Past]]:
    """What finished jobs tell, by the runner that they ran on, the newest first."""
    query = select(Job.summary, Job.spec).where(
        Job.kind == JobKind.fine_tuning.value, Job.status == JobStatus.succeeded.value
    )
    found: dict[str, list[Past]] = {}
    for summary, spec in session.execute(query.order_by(Job.finished_at.desc()).limit(REMEMBERED)):
        runner = (summary or {}).get("runner_id")
        if runner:
            found.setdefault(runner, []).append(history.past_of(summary, spec))
    return found
