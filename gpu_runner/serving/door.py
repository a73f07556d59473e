"""The door: who may come in, how many at once, and with how much. What is refused here costs the model nothing.

An endpoint without a key listens at a loopback address only, and takes no request that a web page of another host could
have sent: those say another host's name, or do not say that they are JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.messages.endpoint_rules import loopback
from gpu_runner.serving.errors import ApiError, stopping, too_many, wrong_key
from gpu_runner.serving.tally import LEFT, Tally

BODY = 4 << 20  # bytes of a body
READING = 30.0  # seconds in which a body must be here
TAKING = 60.0  # seconds in which a caller must take some of what is said
OPEN = frozenset({"/health"})  # asked without a key
GUIDES = frozenset({"/", "/predict"})  # Cloudera's callers put their key into the address


@dataclass
class Terms:
    """What the door is told; `closing` is set when the endpoint ends."""

    key_sha256: str | None
    at_once: int
    tally: Tally = field(default_factory=Tally)
    closing: bool = False


class Door:
    """The middleware around the app."""

    def __init__(self, app: ASGIApp, terms: Terms) -> None:
        self.app, self.terms = app, terms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        tally = self.terms.tally
        try:
            self._check(scope)
        except ApiError as error:
            tally.counts.refused += 1
            await error.response()(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 500
        state = scope.setdefault("state", {})

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            try:
                async with asyncio.timeout(TAKING):  # who reads no further would keep others out
                    await send(message)
            except TimeoutError:
                status = LEFT
                raise

        self.terms.tally.began()
        try:
            await self.app(scope, receive, told)
        finally:
            self.terms.tally.ended(status, failed=bool(state.get("failed")))

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self.terms.key_sha256 is not None:
            if not self._has_key(scope, headers):
                raise wrong_key()
        elif not loopback(_host(headers.get("host", "")) or ""):
            raise ApiError(403, "this endpoint asks for no key, and answers to its own host's names only")
        if scope["method"] != "POST":
            return
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "the body must be JSON, and say so: 'Content-Type: application/json'")
        if self.terms.closing:
            raise stopping()
        if self.terms.tally.active >= self.terms.at_once:
            raise too_many(self.terms.at_once)

    def _has_key(self, scope: Scope, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        keys = [given.strip()] if kind.lower() == "bearer" else []
        if scope["path"] in GUIDES:
            keys += parse_qs(scope.get("query_string", b"").decode("latin-1")).get("accessKey", [])
        wanted = self.terms.key_sha256 or ""
        return any(hmac.compare_digest(hashlib.sha256(key.encode()).hexdigest(), wanted) for key in keys)


def _host(header: str) -> str | None:
    """The host that a request says it means."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


async def body_of(request: Request) -> bytes:
    """The whole body; raises ApiError when it is too large, or takes too long."""
    told = request.headers.get("content-length", "0")
    if told.isascii() and told.isdigit() and len(told) < 20 and int(told) > BODY:
        raise _too_large()
    try:
        async with asyncio.timeout(READING):
            return await _read(request)
    except TimeoutError:
        raise ApiError(408, f"the body was not here within {READING:g} s") from None


async def _read(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY:
            raise _too_large()
    return bytes(content)


def _too_large() -> ApiError:
    return ApiError(413, f"the body has more than {BODY >> 20} MiB", headers={"Connection": "close"})


def watch(request: Request, gone: Callable[[], object]) -> asyncio.Task[None]:
    """Call `gone` when the caller goes away; the body must be read before. To be cancelled when the answer is out."""

    async def wait() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone()

    return asyncio.create_task(wait())
