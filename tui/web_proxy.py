"""Cloudera ML's proxy before `fts web`: it has asked who comes, and says so with each request (Remote-user, Remote-user-perm).

It is believed only while the API says that no application of ours is open to everybody: then nobody is asked, and whoever
comes may say of himself what he likes. Until the API has said so, where it doesn't, and when it has said nothing for long (a
key that has run out), the token lets in as everywhere else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from urllib.parse import urlsplit

from aiohttp import web

from core import cml
from core.settings import Settings
from core.text import plain

SCRIPT = "configs/cml/start.py"  # what the studio's application runs
EVERY, SOON = 60.0, 10.0  # seconds between looks at the API; while it has not answered
LASTS = 900.0  # seconds that what it said last is good for while it says nothing
SAID = ("Remote-user", "Remote-user-perm")
BROUGHT = ("Remote-user", "X-Forwarded-Host", "X-Forwarded-For", "X-Real-Ip")
GONE = ("stopping", "stopped", "failed")


class Right(StrEnum):
    """What who comes may do."""

    all = "all"
    look = "look"
    none = "none"


class Proxy:
    """`trusted`: whether what it says of who comes is believed. `url` is the application's, once the API told it."""

    def __init__(self, using: Settings) -> None:
        self.using = using
        self.domain = (using.cdsw_domain or "").lower().partition(":")[0]
        self.trusted = False
        self.url: str | None = None
        self.told = ""
        self.heard = 0.0  # when the API said so, monotonic
        self.door: cml.Cloudera | None = None

    @property
    def host(self) -> str | None:
        """The application's host, with its port if it has one."""
        return urlsplit(self.url).netloc if self.url else None

    @property
    def secure(self) -> bool:
        """Whether browsers come by TLS: as the workbench's own pages do."""
        return (self.using.cdsw_api_url or "").startswith("https:")

    def knows(self, host: str) -> bool:
        """Whether a Host header names the application; any application of the workbench while ours has no name."""
        if self.url is not None:
            return host.lower() == self.host
        return bool(self.domain) and host.lower().partition(":")[0].endswith(f".{self.domain}")

    def right(self, request: web.Request) -> Right:
        """What the proxy lets who comes do: everything to who may write to the project, looking to other members."""
        if any(len(request.headers.getall(name, ())) > 1 for name in SAID):  # one of them is of who comes himself
            return Right.none
        user, may = request.headers.get("Remote-user", ""), request.headers.get("Remote-user-perm", "").upper()
        if not (self.trusted and user.strip()) or may not in ("RW", "RO", ""):
            return Right.none
        return Right.all if may == "RW" else Right.look

    def brought(self, request: web.Request) -> bool:
        """Whether a request came through it, and not by a tunnel to this machine."""
        return any(name in request.headers for name in BROUGHT)

    async def watch(self, withdrawn: Callable[[], Awaitable[None]]) -> None:
        """Ask the API again and again, for ever; `withdrawn` is called while the proxy is not to be believed."""
        while True:
            answered = await asyncio.to_thread(self.look)
            if not self.trusted:
                await withdrawn()
            await asyncio.sleep(EVERY if answered else SOON)

    def look(self) -> bool:
        """Ask the API once which applications there are, and which of them is open to everybody; False when it does not say."""
        try:
            self.door = self.door or cml.connect(self.using)
            found = self.door.applications()
        except Exception as error:  # whatever it is, it must not end the watch
            self.trusted = self.trusted and time.monotonic() - self.heard < LASTS
            self._tell(f"who comes by Cloudera ML needs the token: {plain(error, limit=500)}", unless=self.trusted)
            return False
        self.heard = time.monotonic()
        ours = [each for each in found if each.script.endswith(SCRIPT)]
        running = [each for each in ours if each.status not in GONE]
        # Where none of ours runs, another that is not known as ours has started this one: all of them count.
        self.trusted = bool(found) and not any(each.public for each in (ours if running else found))
        self.url = self._address(running[0].subdomain) if len(running) == 1 else None
        if not self.trusted:
            self._tell(
                "who comes by Cloudera ML needs the token: its application is open to everybody, or can't be found"
            )
        else:
            self._tell(f"members of the project come in by Cloudera ML{f' at {self.url}' if self.url else ''}")
        return True

    def _address(self, subdomain: str) -> str | None:
        if not (subdomain and self.using.cdsw_domain):
            return None
        name = subdomain if "." in subdomain else f"{subdomain}.{self.using.cdsw_domain}"
        return f"{'https' if self.secure else 'http'}://{name.lower()}"

    def _tell(self, text: str, *, unless: bool = False) -> None:
        if not unless and text != self.told:
            print(plain(text, limit=1_000), flush=True)  # noqa: T201  # what runs in front says it to its log
            self.told = text
