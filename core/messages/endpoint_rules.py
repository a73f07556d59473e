"""The rules of endpoints: what can be served, where it may listen, and that nobody is let in unasked from other machines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from core.messages import asking
from core.messages.common import exists, filled, of_model, one_of, one_of_or_none
from core.messages.endpoints import ListEndpoints, StartEndpoint
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.types import ConfigType, EndpointEngine, JobStatus

HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
SHA256 = re.compile(r"[0-9a-f]{64}")
MOST_ADAPTERS = 32
MOST_AT_ONCE = 256
LONGEST_IDLE = 30 * 86_400

_PAIR = {
    "models": [{"id": "m", "name": "base", "type": "project"}],
    "adapters": [{"id": "a", "name": "tickets", "model_id": "m"}, {"id": "b", "name": "other", "model_id": "n"}],
}
_THERE = NoWorld(_PAIR)
_SERVED = {"endpoints": [{"id": "1", "name": "support"}]}


def loopback(host: str) -> bool:
    """Whether only the runner's own machine reaches what listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def name_taken(world: World, name: str) -> Iterator[str]:
    """Complain when an endpoint that is not over has the name."""
    for row in world.find("endpoints", name=name.strip()) if name.strip() else ():
        job = world.get("jobs", row["id"])
        if job is not None and not JobStatus(job["status"]).finished:
            yield f"an endpoint named {name.strip()!r} is there (id {row['id']}, {job['status'].replace('_', ' ')}): stop it first, or take another name"


@rule(ListEndpoints, "EP-125", "status", passes=[{}, {"status": "running"}], fails=[{"status": "done"}])
def _listed_status(message: ListEndpoints, world: World) -> Iterator[str]:
    """a list is filtered by a state that there is"""
    yield from one_of_or_none(message.status, JobStatus, "status")


@rule(StartEndpoint, "EP-101", "base_model_id", passes=[{}], fails=[{"base_model_id": " "}])
def _model(message: StartEndpoint, world: World) -> Iterator[str]:
    """base_model_id is required"""
    yield from filled(message.base_model_id, "base_model_id")


@rule(StartEndpoint, "EP-101", "base_model_id", need=Need.store, passes=[Example({}, _THERE)], fails=[{}])
def _model_exists(message: StartEndpoint, world: World) -> Iterator[str]:
    """base_model_id must exist"""
    yield from exists(world, "models", message.base_model_id, "model")


@rule(
    StartEndpoint,
    "EP-102",
    "adapter_ids",
    passes=[{}, {"adapter_ids": []}],
    fails=[{"adapter_ids": ["a", "a"]}, {"adapter_ids": [""]}, {"adapter_ids": [str(i) for i in range(33)]}],
)
def _adapters(message: StartEndpoint, world: World) -> Iterator[str]:
    """adapter_ids names each adapter once, and 32 of them at most"""
    given = message.adapter_ids
    if twice := sorted({id for id in given if given.count(id) > 1}):
        yield f"adapter {twice[0]!r} is there twice"
    if any(not id.strip() for id in given):
        yield "an adapter's id can't be blank"
    if len(given) > MOST_ADAPTERS:
        yield f"an endpoint takes {MOST_ADAPTERS} adapters at most, not {len(given)}"


@rule(
    StartEndpoint,
    "EP-102",
    "adapter_ids",
    need=Need.store,
    passes=[Example({}, _THERE)],
    fails=[{}, Example({"adapter_ids": ["b"]}, _THERE)],
)
def _adapters_exist(message: StartEndpoint, world: World) -> Iterator[str]:
    """the adapters must exist and belong to the base model"""
    for id in message.adapter_ids:
        yield from exists(world, "adapters", id, "adapter")
        yield from of_model(world, world.get("adapters", id) if id else None, message.base_model_id)


@rule(
    StartEndpoint,
    "EP-103",
    "adapter_ids",
    need=Need.store,
    passes=[Example({}, _THERE)],
    fails=[Example({}, NoWorld({**_PAIR, "adapters": [{"id": "a", "name": "base", "model_id": "m"}]}))],
)
def _told_apart(message: StartEndpoint, world: World) -> Iterator[str]:
    """callers tell the base model and its adapters apart by their names"""
    model = world.get("models", message.base_model_id) if message.base_model_id else None
    for id in message.adapter_ids:
        row = world.get("adapters", id) if id else None
        if row is not None and model is not None and row["name"] == model["name"]:
            yield f"an adapter and its base model are both called {row['name']!r}: rename one of them (EditAdapter, EditModel)"


@rule(StartEndpoint, "EP-104", "name", passes=[{}], fails=[{"name": " "}, {"name": "a\nb"}])
def _name(message: StartEndpoint, world: World) -> Iterator[str]:
    """name is required, on one line"""
    yield from filled(message.name, "name")
    if not message.name.isprintable():
        yield "name holds characters that can't be shown on a line"


@rule(
    StartEndpoint,
    "EP-104",
    "name",
    need=Need.store,
    passes=[{}, Example({}, NoWorld({**_SERVED, "jobs": [{"id": "1", "status": "succeeded"}]}))],
    fails=[Example({}, NoWorld({**_SERVED, "jobs": [{"id": "1", "status": "running"}]}))],
)
def _name_free(message: StartEndpoint, world: World) -> Iterator[str]:
    """two endpoints that are not over have different names"""
    yield from name_taken(world, message.name)


@rule(
    StartEndpoint,
    "EP-105",
    "host",
    passes=[{}, {"host": "0.0.0.0"}, {"host": "::1"}, {"host": "gpu-7.example.org"}],
    fails=[{"host": ""}, {"host": "http://a"}, {"host": "a:80"}, {"host": "a b"}],
)
def _host(message: StartEndpoint, world: World) -> Iterator[str]:
    """host is an address of the runner's host, or a name of it"""
    try:
        ipaddress.ip_address(message.host)
    except ValueError:
        numbers = message.host.replace(".", "").isdigit()
        if numbers or len(message.host) > 253 or not HOST_NAME.fullmatch(message.host):
            yield f"host must be an IP address or a host's name, without port, not {message.host!r}"


@rule(
    StartEndpoint, "EP-106", "port", passes=[{}, {"port": 8000}, {"port": 65535}], fails=[{"port": -1}, {"port": 65536}]
)
def _port(message: StartEndpoint, world: World) -> Iterator[str]:
    """port is 0 or a port's number"""
    if not 0 <= message.port <= 65535:
        yield f"port must be from 1 to 65535, or 0 for any that is free, not {message.port}"


@rule(
    StartEndpoint,
    "EP-107",
    "auth",
    passes=[{}, {"auth": False}, {"auth": False, "host": "::1"}, {"auth": True, "host": "0.0.0.0"}],
    fails=[{"auth": False, "host": "0.0.0.0"}, {"auth": False, "host": "10.0.0.7"}],
)
def _asked_for_a_key(message: StartEndpoint, world: World) -> Iterator[str]:
    """who can be reached from other machines asks for a key"""
    if not message.auth and not loopback(message.host):
        yield f"without auth anyone who reaches {message.host} could use it: keep auth, or listen at 127.0.0.1"


@rule(
    StartEndpoint,
    "EP-113",
    "key_sha256",
    passes=[{}, {"key_sha256": "0a" * 32}],
    fails=[{"key_sha256": "0a"}, {"key_sha256": "0A" * 32}, {"key_sha256": "0a" * 32, "auth": False}],
)
def _own_key(message: StartEndpoint, world: World) -> Iterator[str]:
    """key_sha256 is a SHA-256 in lower case, and of use with auth only"""
    if message.key_sha256 is None:
        return
    if not SHA256.fullmatch(message.key_sha256):
        yield "key_sha256 must be 64 hexadecimal digits in lower case, as sha256sum tells them"
    if not message.auth:
        yield "key_sha256 is of no use without auth: leave it out, or keep auth"


@rule(
    StartEndpoint,
    "EP-108",
    "idle_seconds",
    passes=[{}, {"idle_seconds": 900}],
    fails=[{"idle_seconds": -1}, {"idle_seconds": 10**9}],
)
def _idle(message: StartEndpoint, world: World) -> Iterator[str]:
    """idle_seconds is 0, or how long nobody may ask, up to 30 days"""
    if not 0 <= message.idle_seconds <= LONGEST_IDLE:
        yield f"idle_seconds must be from 0 (never) to {LONGEST_IDLE}, not {message.idle_seconds}"


@rule(
    StartEndpoint,
    "EP-109",
    "engine",
    passes=[{}, {"engine": "studio"}],
    fails=[{"engine": "tgi"}, {"engine": "cml_model"}],
)
def _engine(message: StartEndpoint, world: World) -> Iterator[str]:
    """engine must be auto, studio or vllm"""
    yield from one_of(message.engine, EndpointEngine, "engine")
    if message.engine == EndpointEngine.cml_model:
        yield "an endpoint of Cloudera ML is made by an export of type cml_model (ExportModel), of one adapter with its base model"


@rule(
    StartEndpoint,
    "EP-110",
    "max_concurrency",
    passes=[{}, {"max_concurrency": 1}],
    fails=[{"max_concurrency": 0}, {"max_concurrency": 257}],
)
def _at_once(message: StartEndpoint, world: World) -> Iterator[str]:
    """max_concurrency is from 1 to 256"""
    if not 1 <= message.max_concurrency <= MOST_AT_ONCE:
        yield f"max_concurrency must be from 1 to {MOST_AT_ONCE}, not {message.max_concurrency}"


@rule(StartEndpoint, "EP-111", "num_cpu", passes=[{}], fails=[{"num_cpu": 0}, {"num_gpu": -1}, {"num_memory": 0}])
def _resources(message: StartEndpoint, world: World) -> Iterator[Breach]:
    """num_cpu and num_memory must be greater than 0, num_gpu at least 0"""
    yield from asking.resources(message, "EP-111")


@rule(
    StartEndpoint,
    "EP-112",
    "generation_config",
    need=Need.store,
    passes=[{"generation_config": '{"max_new_tokens": 8}'}],
    fails=[{"generation_config": '{"max_tokens": 8}'}, {"generation_config": "{"}, {"generation_config": "no-such-id"}],
)
def _generation(message: StartEndpoint, world: World) -> Iterator[str]:
    """generation_config is an inline JSON object of known keys, or the id of a generation config"""
    yield from asking.config(world, ConfigType.generation_config, message.generation_config)
