"""The routes: OpenAI's, the guide's, and /health."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gpu_runner.serving.asking import Predict, read
from gpu_runner.serving.door import Door, Terms, body_of
from gpu_runner.serving.engine import Engine, known
from gpu_runner.serving.errors import ApiError, failed
from gpu_runner.serving.tally import LEFT

log = logging.getLogger(__name__)


def make_app(engine: Engine, terms: Terms) -> ASGIApp:
    """The app around an engine, behind its door."""
    routes = Routes(engine)
    made = [
        Route("/health", routes.health),
        Route("/v1/models", routes.models),
        Route("/v1/models/{name:path}", routes.model),
        Route("/v1/chat/completions", routes.chat, methods=["POST"]),
        Route("/v1/completions", routes.complete, methods=["POST"]),
        Route("/predict", routes.predict, methods=["POST"]),
        Route("/", routes.predict, methods=["POST"]),
    ]
    handlers: dict[Any, Any] = {
        ApiError: _told,
        HTTPException: _unknown,
        ClientDisconnect: _left,
        Exception: _broke,
    }
    return Door(Starlette(routes=made, exception_handlers=handlers), terms)


class Routes:
    """What each address does."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.created = engine, int(time.time())

    async def health(self, request: Request) -> Response:
        """Whether it answers, for those who watch it; told without a key, so it tells no more."""
        broken = self.engine.broken() is not None
        return JSONResponse({"status": "broken" if broken else "ok"}, 503 if broken else 200)

    async def models(self, request: Request) -> Response:
        """The base model and its adapters."""
        return JSONResponse({"object": "list", "data": [self._model(each) for each in self.engine.names]})

    async def model(self, request: Request) -> Response:
        """One of them."""
        return JSONResponse(self._model(known(request.path_params["name"], self.engine.names)))

    async def chat(self, request: Request) -> Response:
        """OpenAI's chat."""
        return await self.engine.chat(request, await body_of(request))

    async def complete(self, request: Request) -> Response:
        """OpenAI's completions."""
        return await self.engine.complete(request, await body_of(request))

    async def predict(self, request: Request) -> Response:
        """The guide's format; who names no model means the first adapter."""
        try:
            asked = read(Predict, await body_of(request)).request
            model = known(asked.model or (self.engine.names[1:2] or self.engine.names)[0], self.engine.names)
            said = await self.engine.predict(request, asked, model)
        except ApiError as error:
            told = {"success": False, "errors": error.message}
            return JSONResponse(told, error.status, headers=error.headers)
        return JSONResponse({"success": True, "response": said})

    def _model(self, name: str) -> dict[str, Any]:
        base = self.engine.names[0]
        told = {"id": name, "object": "model", "created": self.created, "owned_by": "fine-tuning-studio"}
        return told if name == base else {**told, "parent": base}


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _unknown(request: Request, error: Exception) -> Response:
    """An address, or a method, that there is not."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    known = any(getattr(route, "path", None) == f"/v1{path}" for route in request.app.routes)
    text = f"{request.method} {path} is not known here{f'; /v1{path} is: base_url ends in /v1' if known else ''}"
    return ApiError(error.status_code, text, code="unknown_url", headers=dict(error.headers or {})).response()


async def _left(request: Request, error: Exception) -> Response:
    """Nobody waits for the answer."""
    return Response(status_code=LEFT)


async def _broke(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return failed(error).response()
