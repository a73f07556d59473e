"""Handlers of endpoints: models behind HTTP, as jobs that runners hold until someone stops them (docs/serving.md)."""

from __future__ import annotations

import json
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from actors import freezing
from actors.handlers import handles
from actors.hosts import all_runners
from actors.jobs import of_request, stop, submit
from actors.pages import JOB_SEEN, Shelf, by, containing, equal, found, locked, page
from actors.places import Key
from actors.waiting import Board, state
from actors.world import RealWorld, as_dict
from core.errors import Conflict, Refused
from core.facts import default
from core.keys import hash_of, new_key
from core.messages.endpoints import (
    EndpointMetadata,
    EndpointReply,
    EndpointsReply,
    GetEndpoint,
    ListEndpoints,
    StartEndpoint,
    StartEndpointReply,
    StopEndpoint,
)
from core.messages.jobs import JobStateReply
from core.settings import Settings
from core.spec import AdapterSource, EndpointSpec, Resources
from core.store.session import Unit
from core.store.tables import Adapter, Endpoint, Job, Model
from core.types import ConfigType, EndpointEngine, JobKind, JobStatus

S = JobStatus


@handles(StartEndpoint)
def start_endpoint(message: StartEndpoint, unit: Unit, world: RealWorld) -> StartEndpointReply:
    """Freeze every input and queue the endpoint; of its key the hash alone is kept."""
    key = new_key() if message.auth and message.key_sha256 is None else None
    row = _row(message, unit, world, key)
    spec = _spec(message, unit, world.desk.settings, row)
    row.models = [spec.model.name, *(each.name for each in spec.adapters)]
    vllm = spec.engine is EndpointEngine.vllm
    job = of_request(message, spec, engine=EndpointEngine.vllm.value if vllm else None)
    unit.session.add(row)
    submit(world.desk, unit, job)
    return StartEndpointReply(endpoint=answered(unit.session, [(row, job)], world)[0], key=key)


def _row(message: StartEndpoint, unit: Unit, world: RealWorld, key: str | None) -> Endpoint:
    given = message.generation_config or json.dumps(default(ConfigType.generation_config))
    config_id, content = freezing.from_id_or_text(world, unit, ConfigType.generation_config, given)
    columns = message.model_dump(exclude={"priority", "generation_config", "name", "engine", "key_sha256"})
    return Endpoint(
        id=str(uuid4()),
        name=message.name.strip(),
        engine=_engine(message, unit.session).value,
        key_sha256=message.key_sha256 if key is None else hash_of(key),
        generation_config_id=config_id,
        generation_config=json.dumps(content),
        **columns,
    )


def _engine(message: StartEndpoint, session: Session) -> EndpointEngine:
    """What was asked for; vLLM by itself where it computes best, on a GPU, and a runner has it."""
    asked = EndpointEngine(message.engine)
    if asked is not EndpointEngine.auto:
        return asked
    there = any(asked_for(each.engines) for each in all_runners(session) if each.trusted and not each.lost)
    return EndpointEngine.vllm if message.num_gpu and there else EndpointEngine.studio


def asked_for(engines: list[str]) -> bool:
    """Whether a runner with these engines has vLLM."""
    return EndpointEngine.vllm.value in engines


def _spec(message: StartEndpoint, unit: Unit, settings: Settings, row: Endpoint) -> EndpointSpec:
    for id in sorted(message.adapter_ids):
        locked(unit.session, Adapter, id)  # no column links to it: who removes one must see this endpoint
    model = freezing.model_source(settings, unit.session, message.base_model_id)
    adapters = [_adapter(settings, unit.session, each) for each in message.adapter_ids]
    return EndpointSpec(
        job_id=row.id,
        name=row.name,
        model=model,
        adapters=adapters,
        engine=EndpointEngine(row.engine),
        host=row.host,
        port=row.port,
        key_sha256=row.key_sha256,
        auth=row.auth,
        idle_seconds=row.idle_seconds,
        max_concurrency=row.max_concurrency,
        generation=json.loads(row.generation_config or "{}"),
        resources=Resources(cpus=message.num_cpu, gpus=message.num_gpu, memory=message.num_memory),
        needs_token=model.location is None or any(each.location is None for each in adapters),
    )


def _adapter(settings: Settings, session: Session, id: str) -> AdapterSource:
    try:
        return freezing.adapter_source(settings, session, id)
    except Refused as error:
        told = [each.model_copy(update={"field": "adapter_ids"}) for each in error.breaches]
        raise Refused.because(told) from None


@handles(StopEndpoint)
def stop_endpoint(message: StopEndpoint, unit: Unit, world: RealWorld) -> JobStateReply:
    """A queued endpoint ends now, one that serves when its runner has stopped it: it has succeeded then."""
    row: Endpoint = found(unit.session, Endpoint, message.id, "endpoint")
    job: Job = locked(unit.session, Job, row.id)
    status = S(job.status)
    if status.finished:
        raise Conflict(f"the endpoint has ended: {status.value}")
    stop(world.desk, unit, job, "was stopped before it served", "it was asked to stop")
    return JobStateReply(id=row.id, status=S(job.status), priority=job.priority)


@handles(GetEndpoint)
def get_endpoint(message: GetEndpoint, session: Session, world: RealWorld) -> EndpointReply:
    """One endpoint."""
    row = found(session, Endpoint, message.id, "endpoint")
    return EndpointReply(endpoint=answered(session, [(row, session.get_one(Job, row.id))], world)[0])


SHELF = Shelf(
    select(Endpoint, Job).join(Job, Job.id == Endpoint.id).where(Job.kind == JobKind.endpoint.value),
    Job.id,
    own=(Key(Job.created_at, down=True),),
    orders=by(Endpoint, "name", "requests", "tokens", "last_used_at") | by(Job, "status", "created_at"),
    seen=(
        Endpoint.name,
        Endpoint.address,
        select(Model.name).where(Model.id == Endpoint.base_model_id).correlate(Endpoint).scalar_subquery(),
        *JOB_SEEN,
    ),
    what="endpoint",
    options=(defer(Job.spec),),
)


@handles(ListEndpoints)
def list_endpoints(message: ListEndpoints, session: Session, world: RealWorld) -> EndpointsReply:
    """A page of endpoints, newest first."""
    query = equal(
        containing(SHELF.query, message.name_contains, Endpoint.name),
        (Job.status, message.status),
        (Endpoint.base_model_id, message.base_model_id),
    )
    part = page(session, SHELF, message, query)
    return EndpointsReply(endpoints=answered(session, part.rows, world), **part.told)


def answered(session: Session, rows: list[tuple[Endpoint, Job]], world: RealWorld) -> list[EndpointMetadata]:
    """The rows as they are answered, with the name that the model has now."""
    board = Board(session, world.desk.settings)
    ids = {row.base_model_id for row, _ in rows if row.base_model_id}
    names = {each.id: each.name for each in session.scalars(select(Model).where(Model.id.in_(ids)))} if ids else {}
    return [_metadata(row, job, board, names.get(row.base_model_id or "")) for row, job in rows]


def _metadata(row: Endpoint, job: Job, board: Board, model: str | None) -> EndpointMetadata:
    serves = S(job.status).held and row.served_by == job.attempt and row.address is not None
    columns = {name: value for name, value in as_dict(row).items() if value is not None}
    told = {
        "base_model_name": model,
        "address": row.address if serves else None,
        "last_address": row.address,
        "serving_at": row.serving_since if serves else None,
        "active": row.active if serves else 0,
    }
    return EndpointMetadata.model_validate({**state(job, board), **columns, **told})
