"""The promotion gate: train, evaluate against what has the name, and register what is better. Each step is asked for as anyone
would, under a key of its own: a studio that dies between goes on where it was.

waiting ──> evaluating ──> exporting ──> promoted
   └────────────┴──> kept (not better) | failed
"""

from __future__ import annotations

import json
import logging
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from actors.answering import answer
from actors.desk import Desk
from actors.handlers import handles
from actors.pages import Shelf, by, equal, found, page
from actors.places import Key
from actors.world import RealWorld, as_dict
from core.messages.fine_tuning import StartFineTuningJob
from core.messages.promoting import GetPromotion, ListPromotions, PromotionMetadata, PromotionReply, PromotionsReply
from core.store.session import Unit
from core.store.tables import Adapter, EvaluationJob, ExportJob, FineTuningJob, Job, Promotion
from core.types import Code, JobStatus, ModelExportType, PromotionState

log = logging.getLogger("fts.promoting")
P = PromotionState
OPEN = (P.waiting.value, P.evaluating.value, P.exporting.value)
BUSY = (P.evaluating.value, P.exporting.value)
OVER = (JobStatus.succeeded.value, JobStatus.failed.value, JobStatus.cancelled.value)
LATER = 30.0  # seconds until a step is tried again that the studio could not do
LOWER = {"loss", "perplexity", "latency", "toxicity"}  # metrics of which less is better
GREEDY = json.dumps({"do_sample": False, "max_new_tokens": 60})
Outcome = tuple[PromotionState, dict[str, Any]]


def note(unit: Unit, id: str, message: StartFineTuningJob) -> None:
    """Remember that what the training makes is to be promoted."""
    if message.promote_as is None:
        return
    row = Promotion(
        id=id,
        name=message.promote_as.strip(),
        metric=message.promote_metric,
        dataset_id=message.promote_dataset_id or message.dataset_id,
        prompt_id=message.promote_prompt_id or message.prompt_id,
        waits_for=id,
        look_at=0.0,
        created_at=unit.now,
    )
    unit.session.add(row)
    _tell(unit, row, P.waiting, f"what the training makes is registered as {row.name} if its {row.metric} is better")


def advance(desk: Desk, now: float) -> None:
    """Take every promotion whose job is over one step on."""
    with desk.store.read() as session:
        due = list(session.scalars(_due(now)))
    for id in due:
        try:
            _advance(desk, id, now)
        except Exception:  # the others, and all else that a tick does, don't wait for one that can't be taken on
            log.exception("promotion %s can't be taken on; it is tried again in %.0f s", id, LATER)
            with desk.store.write() as unit:
                unit.session.get_one(Promotion, id).look_at = now + LATER


def _due(now: float) -> Any:
    """The ids of promotions that have something to do: their job is over, or was removed. What failed may be tried again: a
    training, and an export, which has given the name away when it succeeds after all."""
    succeeded = Job.status == JobStatus.succeeded.value
    over = and_(Job.status.in_(OVER), or_(Promotion.state != P.waiting.value, succeeded))
    open_ = and_(Promotion.state.in_(OPEN), Promotion.look_at <= now, or_(Job.id.is_(None), over))
    again = and_(Promotion.state == P.failed.value, Promotion.waits_for == Promotion.export_id, succeeded)
    query = select(Promotion.id).outerjoin(Job, Job.id == Promotion.waits_for).where(or_(open_, again))
    return query.order_by(Promotion.created_at, Promotion.id)


def _advance(desk: Desk, id: str, now: float) -> None:
    with desk.store.read() as session:
        row = session.get_one(Promotion, id)
        before, job = P(row.state), session.get(Job, row.waits_for)
        if job is None:
            outcome: Outcome | None = _failed("the job that it waited for was removed")
        elif before is P.waiting:
            outcome = _evaluated(desk, session, row)
        elif job.status != JobStatus.succeeded.value:
            reason = (job.error or {}).get("message") or job.status
            outcome = _failed(f"the {'evaluation' if before is P.evaluating else 'export'} ended: {reason}")
        else:
            outcome = _judged(desk, session, row) if before is P.evaluating else _promoted(session, row)
    with desk.store.write() as unit:
        unit.now = now
        locked = unit.session.get_one(Promotion, id, with_for_update=True)
        if locked.state != before.value:
            return  # another process was quicker
        if outcome is None or (before is P.waiting and outcome[0] is P.evaluating and _busy(unit.session, row.name)):
            locked.look_at = now + LATER
            return
        state, values = outcome
        reason, locked.look_at = values.pop("reason"), 0.0
        for name, value in values.items():
            setattr(locked, name, value)
        _tell(unit, locked, state, reason)
    desk.publish()


def _evaluated(desk: Desk, session: Session, row: Promotion) -> Outcome | None:
    """Ask for the evaluation of champion and candidate; one promotion towards a name after the other."""
    if _busy(session, row.name):
        return None
    training = session.get(FineTuningJob, row.id)
    if training is None or training.adapter_id is None:
        return _failed("the training registered no adapter")
    champion = _champion(session, row.name)
    there = session.get(Adapter, champion.adapter_id) if champion is not None and champion.adapter_id else None
    if champion is not None and there is None and _measure(champion) != _measure(row):
        hint = "promote by that, on its dataset and prompt, or under another name"
        return _failed(f"the champion was removed, and is known by its {champion.metric} alone: {hint}")
    pairs = [{"base_model_id": there.model_id, "adapter_id": there.id}] if there is not None else []
    pairs.append({"base_model_id": training.base_model_id, "adapter_id": training.adapter_id})
    payload = {
        "model_adapter_combinations": pairs,
        "dataset_id": row.dataset_id,
        "prompt_id": row.prompt_id,
        "generation_config": GREEDY,
        **{name: getattr(training, name) for name in ("num_cpu", "num_gpu", "num_memory")},
    }
    against_whom = "-".join(["alone" if there is None else there.id, champion.id if champion is not None else "first"])
    reply = answer(desk, "StartEvaluationJob", payload, f"promotion-{row.id}-evaluation-{against_whom}")
    if not reply["ok"]:
        return _not_taken(reply, "evaluation")
    parent = reply["value"]["parent_job_id"]
    told = {"waits_for": parent, "evaluation_id": parent, "adapter_id": training.adapter_id}
    if champion is not None:
        told |= {"champion_adapter_id": champion.adapter_id, "champion_value": champion.value}
    against = "against the champion" if there is not None else "alone: nothing of that name can be asked"
    return P.evaluating, {**told, "reason": f"the candidate is evaluated {against}"}


def _judged(desk: Desk, session: Session, row: Promotion) -> Outcome | None:
    """Compare, and ask for the export of what is better."""
    scores = {
        each.adapter_id: each
        for each in session.scalars(select(EvaluationJob).where(EvaluationJob.parent_job_id == row.evaluation_id))
    }
    candidate = scores.get(row.adapter_id)
    value = ((candidate.scores if candidate else None) or {}).get(row.metric)
    if candidate is None or value is None:
        return _failed(f"the candidate has no {row.metric}: {(candidate and candidate.error) or 'it was not scored'}")
    other = scores.get(row.champion_adapter_id) if row.champion_adapter_id else None
    champion = ((other.scores or {}).get(row.metric)) if other is not None else row.champion_value
    told = {"value": value, "champion_value": champion}
    if row.champion_adapter_id and champion is None:
        return P.failed, {**told, "reason": f"the champion has no {row.metric}, so nothing is compared"}
    if champion is not None and not _better(value, champion, row.metric):
        return P.kept, {**told, "reason": f"{row.metric} {value:.4g} is not better than the champion's {champion:.4g}"}
    adapter = session.get(Adapter, row.adapter_id) if row.adapter_id else None
    if adapter is None:
        return P.failed, {**told, "reason": "the candidate was removed"}
    payload = {
        "type": ModelExportType.model_registry.value,
        "base_model_id": adapter.model_id,
        "adapter_id": adapter.id,
        "model_name": row.name,
        "alias": "champion",
        "generation_config": GREEDY,
        **{name: getattr(candidate, name) for name in ("num_cpu", "num_gpu", "num_memory")},
    }
    reply = answer(desk, "ExportModel", payload, f"promotion-{row.id}-export")
    if not reply["ok"]:
        return _not_taken(reply, "export")
    export = reply["value"]["export_job"]["id"]
    than = f"better than the champion's {champion:.4g}" if champion is not None else "the first of that name"
    return P.exporting, {
        **told,
        "waits_for": export,
        "export_id": export,
        "reason": f"{row.metric} {value:.4g} is {than}",
    }


def _promoted(session: Session, row: Promotion) -> Outcome:
    export = session.get(ExportJob, row.export_id) if row.export_id else None
    version = ((export.result if export else None) or {}).get("version")
    return P.promoted, {"version": version, "reason": f"{row.name}/{version} is the champion"}


def _measure(row: Promotion) -> tuple[str | None, ...]:
    """What its value is a value of."""
    return row.metric, row.dataset_id, row.prompt_id


def _busy(session: Session, name: str) -> bool:
    """Whether another promotion towards the name is on its way."""
    query = select(Promotion.id).where(Promotion.name == name, Promotion.state.in_(BUSY))
    return session.scalar(query.limit(1)) is not None


def _champion(session: Session, name: str) -> Promotion | None:
    """What has the name now: the last that was promoted."""
    query = select(Promotion).where(Promotion.name == name, Promotion.state == P.promoted.value)
    return session.scalars(query.order_by(Promotion.updated_at.desc(), Promotion.id).limit(1)).first()


def _better(value: float, champion: float, metric: str) -> bool:
    return value < champion if metric in LOWER else value > champion


def _failed(reason: str) -> Outcome:
    return P.failed, {"reason": reason}


def _not_taken(reply: dict[str, Any], what: str) -> Outcome | None:
    """A refusal ends it; what the studio can't do just now is tried again."""
    if reply["code"] in (Code.unavailable, Code.internal, Code.expired):
        return None
    return _failed(f"the {what} was refused: {reply['message']}")


def _tell(unit: Unit, row: Promotion, state: PromotionState, reason: str) -> None:
    row.state, row.reason, row.updated_at = state.value, reason, unit.now
    data = {"name": row.name, "state": state.value, "metric": row.metric, "value": row.value}
    level = "warning" if state is P.failed else "info"
    text = f"{row.name}: {reason}"
    unit.emit("PromotionChanged", "promotions", row.id, text, level=level, **data, champion_value=row.champion_value)


@handles(GetPromotion)
def get_promotion(message: GetPromotion, session: Session, world: RealWorld) -> PromotionReply:
    """One promotion."""
    return PromotionReply(promotion=_metadata(found(session, Promotion, message.id, "promotion")))


SHELF = Shelf(
    select(Promotion),
    Promotion.id,
    own=(Key(Promotion.created_at, down=True),),
    orders=by(Promotion, "name", "state", "value", "created_at", "updated_at"),
    seen=(Promotion.name, Promotion.state, Promotion.metric, Promotion.reason, Promotion.version, Promotion.id),
    what="promotion",
)


@handles(ListPromotions)
def list_promotions(message: ListPromotions, session: Session, world: RealWorld) -> PromotionsReply:
    """A page of promotions, newest first."""
    query = equal(SHELF.query, (Promotion.name, message.name), (Promotion.state, message.state))
    part = page(session, SHELF, message, query)
    return PromotionsReply(promotions=[_metadata(row) for row in part.rows], **part.told)


def _metadata(row: Promotion) -> PromotionMetadata:
    return PromotionMetadata.model_validate(as_dict(row))
