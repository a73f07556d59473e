"""An adapter with its base model as an endpoint of Cloudera ML: an export that lasts until someone stops it."""

from __future__ import annotations

import json
from uuid import uuid4

from actors import freezing
from actors.endpoints import answered
from actors.jobs import of_request, submit
from actors.pages import locked
from actors.world import RealWorld
from core.facts import default
from core.messages.export import ExportModel, ExportModelReply
from core.spec import EndpointSpec, Resources
from core.store.session import Unit
from core.store.tables import Adapter, Endpoint
from core.types import ConfigType, EndpointEngine

ENGINE = EndpointEngine.cml_model


def deploy(message: ExportModel, unit: Unit, world: RealWorld) -> ExportModelReply:
    """Freeze every input and queue the endpoint: only a runner of Cloudera ML takes it."""
    row = _row(message, unit, world)
    spec = _spec(message, unit, world, row)
    row.models = [each.name for each in spec.adapters]
    job = of_request(message, spec, engine=ENGINE.value)
    unit.session.add(row)
    submit(world.desk, unit, job)
    told = answered(unit.session, [(row, job)], world)[0]
    return ExportModelReply(base_model_id=message.base_model_id, adapter_id=message.adapter_id, endpoint=told)


def _row(message: ExportModel, unit: Unit, world: RealWorld) -> Endpoint:
    """Where it listens, and how many it answers at once, is Cloudera's."""
    given = message.generation_config or json.dumps(default(ConfigType.generation_config))
    config_id, content = freezing.from_id_or_text(world, unit, ConfigType.generation_config, given)
    return Endpoint(
        id=str(uuid4()),
        name=message.model_name.strip(),
        base_model_id=message.base_model_id,
        adapter_ids=[message.adapter_id],
        engine=ENGINE.value,
        host="",
        port=0,
        auth=message.auth,
        idle_seconds=0,
        max_concurrency=0,
        generation_config_id=config_id,
        generation_config=json.dumps(content),
        num_cpu=message.num_cpu,
        num_gpu=message.num_gpu,
        num_memory=message.num_memory,
    )


def _spec(message: ExportModel, unit: Unit, world: RealWorld, row: Endpoint) -> EndpointSpec:
    settings = world.desk.settings
    locked(unit.session, Adapter, message.adapter_id)  # no column links to it: who removes it must see this endpoint
    model = freezing.model_source(settings, unit.session, message.base_model_id)
    return EndpointSpec(
        job_id=row.id,
        name=row.name,
        model=model,
        adapters=[freezing.adapter_source(settings, unit.session, message.adapter_id)],
        engine=ENGINE,
        description=message.model_description or "",
        auth=row.auth,
        generation=json.loads(row.generation_config or "{}"),
        resources=Resources(cpus=row.num_cpu, gpus=row.num_gpu, memory=row.num_memory),
    )
