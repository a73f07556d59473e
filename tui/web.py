"""The dashboard in a browser: textual-serve's page and protocol behind a token, on a host that no other page can speak to.

Each browser gets a dashboard in a process of its own, which ends with its connection. What a page of another site could do
(read by DNS rebinding, open the socket, frame the page) is refused by Host, Origin and headers before the token is looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import os
import re
import secrets
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager
from textual_serve.server import Server as Page

from tui.web_proxy import Proxy, Right

MOST = 16  # dashboards at once
GRACE = 5.0  # seconds that a dashboard has to end when its browser is gone
WIDEST, HIGHEST = 1_000, 500  # cells
# Only its own files, and its own socket: not every browser takes 'self' for that.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self' ws://{host} wss://{host}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
NOT_US = "This server is not of that name.\n"
REFUSED = "This is not for you, or its token is missing: open the address that `fts web` printed.\n"
UNKNOWN = (
    "Cloudera ML does not say that you are a member of this project, or can't be believed: open this address with ?token= and\n"
    "the token of FTS_WEB_TOKEN, or the one that logs/web.log tells in the studio's directory (.app of the project).\n"
)

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:@/\[\]\s]+)(?::\d+)?")


@dataclass
class Door:
    """Who is let in: `token` once, then the cookie that is made of it; only by names of this machine."""

    host: str
    token: str
    port: int = 0
    names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.names = {"localhost", self.host.lower()}
        if not is_loopback(self.host):
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    @property
    def cookie(self) -> str:
        """The cookie's name; cookies know no ports."""
        return f"fts_web_{self.port}"

    @property
    def proof(self) -> str:
        """The cookie's value; the token can't be told from it."""
        return hmac.new(self.token.encode(), b"fts web cookie", hashlib.sha256).hexdigest()

    def knows(self, host: str) -> bool:
        """Whether a Host header names this machine: a name that another site may own could lead here by its DNS."""
        found = _HOST.fullmatch(host.lower())
        name = found[1].strip("[]") if found else ""
        if name in self.names:
            return True
        with suppress(ValueError):
            address = ipaddress.ip_address(name)
            return address.is_loopback or not is_loopback(self.host)  # an address is nobody's name
        return False

    def takes(self, request: web.Request) -> bool:
        """Whether it has the cookie."""
        return same(request.cookies.get(self.cookie, ""), self.proof)


def same(given: str, right: str) -> bool:
    """Compared in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


class Session(AppService):
    """A dashboard in a process, for one browser: no shell, and nothing of the token in its environment."""

    async def _open_app_process(self, width: int = 80, height: int = 24) -> asyncio.subprocess.Process:
        environment = self._build_environment(width=width, height=height)
        environment["TEXTUAL_FPS"] = "20"  # a browser on a slow line is sent no more than that
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            *json.loads(self.command), stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
        self._stdin = process.stdin
        return process

    async def end(self) -> None:
        """End the process: asked first, then made to."""
        process = self._process
        if process is None:
            return
        with suppress(Exception):
            await asyncio.wait_for(self.stop(), GRACE)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(number)
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(process.wait(), GRACE)
        if self._task is not None:
            self._task.cancel()


class Web:
    """The server. `token` is what lets in; empty: a new one is made. `proxy` stands before it, and may let in too."""

    def __init__(
        self, host: str, port: int, token: str = "", *, readonly: bool = False, proxy: Proxy | None = None
    ) -> None:
        self.door = Door(host, token or secrets.token_urlsafe(32), port)
        self.command = [sys.executable, "-m", "tui", *(["--readonly"] if readonly else [])]
        self.sessions: dict[Session, web.WebSocketResponse] = {}
        self.proxy = proxy
        self.by_proxy: set[web.WebSocketResponse] = set()  # those that the proxy alone let in
        self.page = Page("", host=host, port=port, title="Fine Tuning Studio")
        self.downloads = DownloadManager()

    @property
    def url(self) -> str:
        """Where it is, without the token."""
        host = self.door.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.door.port}/"

    async def begin(self) -> None:
        """Listen; raises OSError."""
        app = web.Application(middlewares=[self.guard])
        aiohttp_jinja2.setup(app, loader=jinja2.FileSystemLoader(self.page.templates_path))
        app.add_routes(
            [
                web.get("/", self.index),
                web.get("/ws", self.socket),
                web.static("/static", self.page.statics_path),
            ]
        )
        app.on_shutdown.append(self._close)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE)  # an access log would have the token
        await self.runner.setup()
        site = web.TCPSite(self.runner, self.door.host, self.door.port)
        await site.start()
        self.door.port = self.runner.addresses[0][1]
        if self.proxy is not None:
            self.watching = asyncio.create_task(self.proxy.watch(self._withdrawn))

    async def _withdrawn(self) -> None:
        """The proxy is no longer believed: whoever came by it alone goes."""
        await asyncio.gather(*(each.close() for each in list(self.by_proxy)), return_exceptions=True)

    async def end(self) -> None:
        """Stop listening, and end every dashboard."""
        if self.proxy is not None:
            self.watching.cancel()
        await self.runner.cleanup()

    async def _close(self, app: web.Application) -> None:
        await asyncio.gather(*(each.close() for each in self.sessions.values()), return_exceptions=True)

    @web.middleware
    async def guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Refuse what is not the owner's browser on our own page; headers for all that is answered."""
        known = self.door.knows(request.host) or (self.proxy is not None and self.proxy.knows(request.host))
        try:
            refusal = self._refusal(request) if known else web.Response(status=403, text=NOT_US)
            response: web.StreamResponse = refusal if refusal is not None else await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=f"{error.reason}\n")
        if not response.prepared:
            response.headers.update(HEADERS)
            response.headers["Content-Security-Policy"] = POLICY.format(host=self.seen_as(request) if known else "")
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        origin = request.headers.get("Origin")
        is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        ours = [f"{scheme}://{host}" for scheme in ("http", "https") for host in (request.host, self.seen_as(request))]
        if (origin is None and is_socket) or (origin is not None and origin not in ours):
            return web.Response(status=403, text="Another page's request.\n")
        if request.path == "/" and "token" in request.query:
            return self._first(request)
        if self.right(request) is not Right.none:
            return None
        return web.Response(status=401, text=UNKNOWN if self.proxy else REFUSED)

    def right(self, request: web.Request) -> Right:
        """What who comes may do: everything with the cookie, else what the proxy says."""
        if self.door.takes(request):
            return Right.all
        return self.proxy.right(request) if self.proxy else Right.none

    def seen_as(self, request: web.Request) -> str:
        """The host that the browser asked: a proxy may have put another name."""
        proxy = self.proxy
        return (proxy.host if proxy and proxy.brought(request) else None) or request.host

    def secure(self, request: web.Request) -> bool:
        """Whether the browser came by TLS, which only a proxy before us can have."""
        by_proxy = self.proxy is not None and self.proxy.brought(request) and self.proxy.secure
        return by_proxy or request.headers.get("X-Forwarded-Proto", request.scheme) == "https"

    def _first(self, request: web.Request) -> web.Response:
        """The visit with the token: it goes into a cookie, and out of the address."""
        if not same(request.query.get("token", ""), self.door.token):
            return web.Response(status=401, text=REFUSED)
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            self.door.cookie, self.door.proof, httponly=True, samesite="Strict", path="/", secure=self.secure(request)
        )
        return response

    async def index(self, request: web.Request) -> web.Response:
        """The page with the terminal."""
        context = {
            "font_size": 16,
            "app_websocket_url": f"{'wss' if self.secure(request) else 'ws'}://{self.seen_as(request)}/ws",
            "config": {"static": {"url": "/static/"}},
            "application": {"name": self.page.title},
        }
        return aiohttp_jinja2.render_template("app_index.html", request, context)

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """A browser's connection: its dashboard lives as long."""
        if len(self.sessions) >= MOST:
            return web.Response(status=503, text=f"There are {MOST} dashboards open already.\n")
        browser = web.WebSocketResponse(heartbeat=15)
        await browser.prepare(request)

        async def closing() -> None:
            await browser.close()

        cookie = self.door.takes(request)
        looks = self.right(request) is Right.look and "--readonly" not in self.command
        session = Session(
            json.dumps([*self.command, *(["--readonly"] if looks else [])]),
            write_bytes=browser.send_bytes,
            write_str=browser.send_str,
            close=closing,
            download_manager=self.downloads,
        )
        self.sessions[session] = browser
        if not cookie:
            self.by_proxy.add(browser)
        try:
            await session.start(
                cells(request.query.get("width"), 80, WIDEST), cells(request.query.get("height"), 24, HIGHEST)
            )
            async for message in browser:
                if message.type is WSMsgType.TEXT and not await _told(session, browser, message.data):
                    break
        finally:
            await session.end()
            del self.sessions[session]
            self.by_proxy.discard(browser)
            await browser.close()
        return browser


async def _told(session: Session, browser: web.WebSocketResponse, text: str) -> bool:
    """Do what the page says; False when it is none of what a page of ours says."""
    try:
        kind, *given = json.loads(text)
        if kind == "stdin":
            await session.send_bytes(str(given[0]).encode("utf-8", "replace"))
        elif kind == "resize":
            size = given[0]
            await session.set_terminal_size(cells(size["width"], 80, WIDEST), cells(size["height"], 24, HIGHEST))
        elif kind == "ping":
            await browser.send_json(["pong", given[0]])
        elif kind in ("blur", "focus"):
            await (session.blur() if kind == "blur" else session.focus())
    except (ValueError, TypeError, LookupError):
        return False
    return True


def cells(given: object, otherwise: int, most: int) -> int:
    """A number of cells, whatever was sent for one."""
    try:
        return max(1, min(most, int(str(given))))
    except ValueError:
        return otherwise


def taken_token() -> str:
    """FTS_WEB_TOKEN, taken out of the environment so that no process that is started from here has it."""
    return os.environ.pop("FTS_WEB_TOKEN", "")
