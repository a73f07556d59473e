"""An endpoint, from top to bottom: the model is loaded, a port is taken, requests are answered until someone ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NoReturn

import torch
import uvicorn
from transformers.utils import logging as transformers_logging

from core.events import PROVEN, Finished
from core.spec import EndpointSpec
from core.types import EndpointEngine
from gpu_runner.child import Context
from gpu_runner.evaluate import LIBRARIES, device_for
from gpu_runner.failures import Cancelled, Paused
from gpu_runner.serving.app import make_app
from gpu_runner.serving.connection import Connection
from gpu_runner.serving.door import Terms
from gpu_runner.serving.engine import Engine
from gpu_runner.serving.listening import address, free_port, listen, note
from gpu_runner.serving.speaking import Speaking
from gpu_runner.speaking import Speaker

LOOK = 0.1  # seconds between looks at orders and counts
TELL = 1.0  # seconds between records of what was done
OLD = 5.0  # seconds between looks at whether a later attempt is there
GRACE = 5.0  # seconds that answers under way get when the endpoint ends
CONNECTIONS = 1024  # open at once; beyond that callers are told 503


def serve(spec: EndpointSpec, context: Context) -> Finished:
    """Serve until it is told to end, or nobody asks. Raises JobError, Cancelled, Paused."""
    spool = context.spool
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(spec.resources.cpus)

    # ─── a port: who can't have it need not load anything ─────────────────────────────────────────
    with listen(spec.host, spec.port, context.directory, spool.warn, lambda: _obey(context)) as bound:
        terms = Terms(spec.key_sha256, spec.max_concurrency)

        # ─── the model and its adapters ───────────────────────────────────────────────────────────
        spool.phase("loading the model")
        engine = _engine(spec, context, terms)

        # ─── answers ──────────────────────────────────────────────────────────────────────────────
        reason = asyncio.run(Serving(spec, context, engine, terms, bound).run())
    spool.log(reason)
    return Finished(at=time.time(), outcome="succeeded", summary={"ended": reason})


def _engine(spec: EndpointSpec, context: Context, terms: Terms) -> Engine:
    spool = context.spool
    device = device_for(spec.model, spec.resources.gpus, context.token, spool.warn)
    spool.write(
        "started",
        pid=os.getpid(),
        device=device.name,
        versions={name: version(name) for name in LIBRARIES},
        details={"engine": spec.engine, "precision": device.precision},
    )
    if spec.engine is EndpointEngine.vllm:
        from gpu_runner.serving.vllm import Vllm

        made = Vllm(spec, context.token, terms.tally, free_port())
        try:
            made.wait(lambda: _obey(context))
        except BaseException:
            made.end()
            raise
        return made
    adapters = {each.name: each for each in spec.adapters}
    speaker = Speaker(spec.model, adapters, device, None, context.token)
    for name in (None, *adapters):  # what a library does once is not to be waited for at the first request
        list(speaker.speak("a", name, {"max_new_tokens": 2}))
    return Speaking(speaker, [spec.model.name, *adapters], spec.generation, terms.tally)


def _obey(context: Context) -> None:
    """Raise what was ordered."""
    order = context.order()
    if order is not None:
        _end(order)


def _end(order: str) -> NoReturn:
    raise Cancelled if order == "cancel" else Paused


class _Server(uvicorn.Server):
    """Signals are the job's, not the server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


@dataclass
class Serving:
    """One run of the server, and what ends it."""

    spec: EndpointSpec
    context: Context
    engine: Engine
    terms: Terms
    bound: socket.socket
    began: float = 0.0  # monotonic times
    told: float = 0.0
    looked: float = 0.0
    proven: bool = False

    async def run(self) -> str:
        """Answer until there is a reason not to; the reason when it is no order and no fault."""
        server = _Server(_config(make_app(self.engine, self.terms)))
        serving = asyncio.create_task(server.serve(sockets=[self.bound]))
        try:
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
            _obey(self.context)  # it may have come while the model was loaded
            self._announce()
            while (reason := self._reason()) is None and not serving.done():
                self._tell()
                self.context.spool.flush()  # what a full disk did not take, where it is called among it
                await asyncio.sleep(LOOK)
        finally:
            await self._close(server, serving)
        if reason is None:
            raise RuntimeError("the server ended by itself; the log tells why")
        return reason

    def _announce(self) -> None:
        self.began = self.terms.tally.used = time.monotonic()  # while it loads nobody can ask
        note(self.context.directory, self.bound)
        spool, where = self.context.spool, address(self.spec.host, self.bound)
        spool.phase("serving")
        spool.log(f"answering at {where} to {', '.join(self.engine.names)}")
        spool.write("serving", address=where, port=self.bound.getsockname()[1], models=self.engine.names)

    def _reason(self) -> str | None:
        """Why it ends now by itself. Raises Cancelled, Paused, and RuntimeError when nothing can be computed any more."""
        _obey(self.context)
        if (broken := self.engine.broken()) is not None:
            raise RuntimeError(broken)
        if self.spec.idle_seconds and self.terms.tally.idle_for() >= self.spec.idle_seconds:
            return f"nobody asked for {self.spec.idle_seconds} s"
        if time.monotonic() - self.looked >= OLD:
            self.looked = time.monotonic()
            if self._is_old():
                raise Cancelled
        return None

    def _is_old(self) -> bool:
        """Whether a later attempt serves in its place, or its files are gone: nobody is left who could stop this one."""
        directory = self.context.directory
        try:
            numbers = [int(each.name) for each in directory.parent.iterdir() if each.name.isdecimal()]
        except OSError:
            return self.context.spool.gone
        return any(number > self.context.attempt for number in numbers) or self.context.spool.gone

    def _tell(self, *, last: bool = False) -> None:
        """Say what was done since; and once that it has served for so long that earlier deaths are no pattern."""
        now = time.monotonic()
        if not last and now - self.told < TELL:
            return
        proves = not self.proven and now - self.began > PROVEN + 1
        if (news := self.terms.tally.news()) is not None or proves:
            self.told, self.proven = now, self.proven or proves
            self.context.spool.write("served", **(news or {}))

    async def _close(self, server: uvicorn.Server, serving: asyncio.Task[Any]) -> None:
        """Take no more requests, give those under way a moment, then end them."""
        self.terms.closing = True
        deadline = time.monotonic() + GRACE
        while self.terms.tally.active and time.monotonic() < deadline and self.engine.broken() is None:
            await asyncio.sleep(0.02)
        await self.engine.stop()
        server.should_exit = True
        await asyncio.wait([serving], timeout=2 * GRACE)
        serving.cancel()
        self._tell(last=True)


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        access_log=False,  # addresses may hold keys
        log_config=None,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(GRACE),
    )
