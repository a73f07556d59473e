"""`fts web`: the dashboard in a browser, for whoever has the token."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

from core.settings import settings
from core.text import plain
from tui.cli.commands import ALONE
from tui.cli.parsing import add_command

if TYPE_CHECKING:
    from tui.web import Web

PORT = 8765
SHORTEST = 16  # characters of a token that is given
MISSING = "fts web needs its libraries: pip install 'fine-tuning-studio[web]'"
EXPOSED = (
    "▲ anyone who reaches {host} can ask for this page, and what it sends is not encrypted: whoever listens on the way\n"
    "  reads the token and all that you see and type. An SSH tunnel does without: ssh -L {port}:127.0.0.1:{port} HOST"
)


def add(commands: Any) -> None:
    """Declare the command."""
    made = add_command(commands, "web", ALONE["web"])
    made.add_argument("--port", type=int, help=f"where to listen; {PORT} without it, 0: any that is free")
    made.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; others than loopback need --expose"
    )
    made.add_argument("--expose", action="store_true", help="listen where other machines reach it")
    made.add_argument(
        "--cloudera", action="store_true",
        help="behind Cloudera ML, on CDSW_APP_PORT: it says who comes, and members of the project need no token",
    )  # fmt: skip
    made.add_argument("--readonly", action="store_true", help="a dashboard that changes nothing")
    made.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Exit code 2 for what can't be meant, 1 when the port is taken."""
    try:
        from tui.web import Web, is_loopback, taken_token
        from tui.web_proxy import Proxy
    except ImportError:
        print(MISSING, file=sys.stderr)
        return 1
    host, given = arguments.host, taken_token()
    if not is_loopback(host) and not arguments.expose:
        told = f"{plain(host, limit=200)} is no address of loopback: other machines would reach it; --expose if you mean it"
        print(told, file=sys.stderr)
        return 2
    if arguments.cloudera and not is_loopback(host):
        told = "--cloudera listens on loopback only: whoever reached it past Cloudera ML could say that he is anybody"
        print(told, file=sys.stderr)
        return 2
    if given and len(given) < SHORTEST:
        print(f"FTS_WEB_TOKEN has fewer than {SHORTEST} characters: it could be guessed", file=sys.stderr)
        return 2
    using = settings()
    port = arguments.port if arguments.port is not None else (using.cdsw_app_port if arguments.cloudera else PORT)
    if port is None or not 0 <= port < 65_536:
        print("--port is a number from 0 to 65535; with --cloudera CDSW_APP_PORT tells it", file=sys.stderr)
        return 2
    proxy = Proxy(using) if arguments.cloudera else None
    return asyncio.run(_serve(Web(host, port, given, readonly=arguments.readonly, proxy=proxy), bool(given)))


async def _serve(made: Web, given: bool) -> int:
    from tui.web import is_loopback

    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    try:
        await made.begin()
    except OSError as error:
        told = f"can't listen on {made.url}: {error.strerror}; --port takes another"
        print(plain(told, limit=500), file=sys.stderr)
        return 1
    address = plain(made.url if given else f"{made.url}?token={made.door.token}", limit=500)
    print(f"the dashboard is at {address}", flush=True)
    print(
        "with ?token= and the token of FTS_WEB_TOKEN" if given else "this is the only time that the token is told",
        flush=True,
    )
    if not is_loopback(made.door.host):
        print(plain(EXPOSED.format(host=made.door.host, port=made.door.port), limit=1_000, lines=True), file=sys.stderr)
    await stop.wait()
    await made.end()
    return 0
