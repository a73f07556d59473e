"""vLLM as the engine: its own server on the runner's loopback, with a key that nobody else knows, behind the endpoint's door."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from core.settings import settings
from core.spec import AdapterSource, EndpointSpec
from core.types import FailureClass
from gpu_runner.failures import JobError
from gpu_runner.files import read_json
from gpu_runner.models import adapter_path, verify
from gpu_runner.serving.asking import PredictSettings, read
from gpu_runner.serving.door import watch
from gpu_runner.serving.engine import known
from gpu_runner.serving.errors import ApiError, failed, stopping
from gpu_runner.serving.tally import Tally

log = logging.getLogger(__name__)
LOOK = 0.25  # seconds between looks at whether it is ready
READY = 3600.0  # seconds that it may take to load a model
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what --max-lora-rank takes
GRACE = 5.0  # seconds from SIGTERM to SIGKILL
TAKEN_OVER = {"max_new_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p", "top_k": "top_k",
              "repetition_penalty": "repetition_penalty", "min_p": "min_p"}  # fmt: skip


class Passed(BaseModel):
    """A body that vLLM judges; who is asked is judged here."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str = ""


def executable() -> str | None:
    """The vLLM of this machine; None when there is none."""
    return shutil.which(settings().vllm)


def command(program: str, spec: EndpointSpec, port: int, adapters: Sequence[tuple[AdapterSource, str]]) -> list[str]:
    """How vLLM is started: safetensors only, the base by its name, each adapter by its own."""
    made = [program, "serve", spec.model.location or spec.model.hub_name or "", "--host", "127.0.0.1"]
    made += ["--port", str(port), "--served-model-name", spec.model.name, "--load-format", "safetensors"]
    if spec.model.location is None and spec.model.revision:
        made += ["--revision", spec.model.revision]
    if spec.resources.gpus > 1:
        made += ["--tensor-parallel-size", str(spec.resources.gpus)]
    if adapters:
        told = [json.dumps({"name": each.name, "path": path}) for each, path in adapters]
        made += ["--enable-lora", "--max-loras", str(len(adapters)), "--max-lora-rank", str(_rank(adapters))]
        made += ["--lora-modules", *told]
    return made


def _rank(adapters: Sequence[tuple[AdapterSource, str]]) -> int:
    largest = max(int((read_json(Path(path) / "adapter_config.json") or {}).get("r") or 1) for _, path in adapters)
    return next((each for each in RANKS if each >= largest), RANKS[-1])


class Vllm:
    """A running vLLM. Raises JobError when it does not come up; `check` may raise while it loads."""

    def __init__(self, spec: EndpointSpec, token: str | None, tally: Tally, port: int) -> None:
        program = executable()
        if program is None:
            raise JobError(
                "vLLM is not on this runner any more", "Install it there, or start the endpoint with engine studio."
            )
        verify(spec.model)
        adapters = [(each, adapter_path(each, token)) for each in spec.adapters]
        self.names, self.tally = [spec.model.name, *(each.name for each in spec.adapters)], tally
        self.defaults = _defaults(spec.generation)
        key = secrets.token_urlsafe(32)
        environment = {**os.environ, "VLLM_API_KEY": key, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        self.process = subprocess.Popen(
            command(program, spec, port, adapters), env=environment, stdin=subprocess.DEVNULL
        )
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._url = f"http://127.0.0.1:{port}"
        self._client: httpx.AsyncClient | None = None
        self._stopped = False

    def wait(self, check: Callable[[], None]) -> None:
        """Wait until it has loaded the model. Raises JobError."""
        deadline = time.monotonic() + READY
        while time.monotonic() < deadline:
            check()
            if (why := self.broken()) is not None:
                raise JobError(
                    why, "The log has what vLLM said; engine studio serves without it.", FailureClass.user_error
                )
            try:
                if httpx.get(f"{self._url}/health", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass  # it does not listen yet
            time.sleep(LOOK)
        raise JobError(f"vLLM was not ready within {READY:.0f} s", "The log has what it said.")

    async def chat(self, request: Request, body: bytes) -> Response:
        """OpenAI's chat, as vLLM answers it."""
        return await self._pass_on(request, "/v1/chat/completions", self._asked(body))

    async def complete(self, request: Request, body: bytes) -> Response:
        """OpenAI's completions, as vLLM answers them."""
        return await self._pass_on(request, "/v1/completions", self._asked(body))

    async def predict(self, request: Request, asked: PredictSettings, model: str) -> str:
        """Go on with a text."""
        if asked.num_beams not in (None, 1):
            raise ApiError(400, "num_beams: vLLM searches no beams here", param="num_beams")
        told = asked.model_dump(include={"temperature", "top_p", "top_k", "repetition_penalty"}, exclude_none=True)
        if asked.max_new_tokens is not None:
            told["max_tokens"] = asked.max_new_tokens
        answer = await self._pass_on(
            request, "/v1/completions", {**self.defaults, **told, "model": model, "prompt": asked.prompt}
        )
        found = json.loads(bytes(answer.body))
        if answer.status_code != 200:
            raise ApiError(answer.status_code, str((found.get("error") or found).get("message", "vLLM refused it")))
        return str(found["choices"][0]["text"])

    def _asked(self, body: bytes) -> dict[str, Any]:
        asked = read(Passed, body)
        known(asked.model, self.names)
        given = {name: value for name, value in asked.model_dump().items() if value is not None}
        defaults = self.defaults
        if "max_completion_tokens" in given:
            defaults = {name: value for name, value in defaults.items() if name != "max_tokens"}
        return {**defaults, **given}

    async def _pass_on(self, request: Request, path: str, asked: dict[str, Any]) -> Response:
        client = self._client = self._client or httpx.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=None, trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )  # fmt: skip
        sending = asyncio.ensure_future(client.send(client.build_request("POST", path, json=asked), stream=True))
        watching = watch(request, sending.cancel)
        try:
            answer = await sending
            if asked.get("stream") and answer.status_code == 200:
                return StreamingResponse(self._stream(request, answer), 200, media_type="text/event-stream")
            reading = asyncio.ensure_future(answer.aread())
            watching.add_done_callback(lambda _: reading.cancel() if not watching.cancelled() else None)
            content = await reading
        except asyncio.CancelledError:
            if watching.done():
                raise ClientDisconnect from None
            raise
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        finally:
            watching.cancel()
        self._count(content)
        return Response(content, answer.status_code, media_type="application/json")

    async def _stream(self, request: Request, answer: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for piece in answer.aiter_raw():
                yield piece
        except httpx.HTTPError as error:
            request.state.failed = True
            yield b"data: " + json.dumps(self._failed(error).body).encode() + b"\n\n"
        finally:
            await answer.aclose()  # vLLM ends what nobody reads

    def _failed(self, error: Exception) -> ApiError:
        if self._stopped:
            return stopping()
        log.error("vLLM did not answer", exc_info=error)
        return failed(error)

    def _count(self, content: bytes) -> None:
        try:
            self.tally.counts.tokens += int(json.loads(content)["usage"]["completion_tokens"])
        except (ValueError, KeyError, TypeError):
            pass  # an error of its own

    def broken(self) -> str | None:
        """Why it answers no more."""
        code = self.process.poll()
        return None if code is None or self._stopped else f"vLLM ended with exit code {code}"

    async def stop(self) -> None:
        """End it, and the talk with it."""
        await asyncio.to_thread(self.end)
        if self._client is not None:
            await self._client.aclose()

    def end(self) -> None:
        """End it."""
        self._stopped = True
        self.process.terminate()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _defaults(config: dict[str, Any]) -> dict[str, Any]:
    """A generation config in vLLM's words: what requests that say nothing are answered with."""
    made = {theirs: config[ours] for ours, theirs in TAKEN_OVER.items() if config.get(ours) is not None}
    if not config.get("do_sample"):
        made = {name: value for name, value in made.items() if name in ("max_tokens", "repetition_penalty")}
        made["temperature"] = 0
    return made
