"""`fts serve MODEL --adapter A`: start an endpoint, wait until it answers, and say how it is called."""

from __future__ import annotations

import argparse
import shlex
import time
from typing import TYPE_CHECKING, Any

from core.errors import NotFound, Refused, StudioError
from core.keys import hash_of, new_key
from core.messages import parse
from core.messages.endpoints import EndpointMetadata, GetEndpoint, StartEndpoint
from core.text import plain
from tui.cli import console, output, verbs
from tui.cli.commands import ALONE
from tui.cli.console import say, warn
from tui.cli.fields import add_options, payload
from tui.cli.parsing import add_command, refer
from tui.cli.references import ADAPTER, MODEL, hints, resolve
from tui.cli.watch import describe
from tui.view.calling import CLOUDERA, curl
from tui.view.describe import described
from tui.view.failure import card

if TYPE_CHECKING:
    from core.client import StudioClient

AGAIN = 0.3  # seconds between looks at how far it is


def add(commands: Any) -> None:
    """Declare `fts serve`."""
    parser = add_command(commands, "serve", ALONE["serve"], description=f"{ALONE['serve']} (StartEndpoint)")
    verbs.common(parser, command=True, key=f"{verbs.KEY}; a key for callers is given by --key-sha256")
    refer(parser.add_argument("model", metavar="MODEL", help="a base model: id, or name"), (MODEL,))
    adapter = parser.add_argument(
        "--adapter", action="append", default=[], metavar="NAME", help="an adapter of it; again for each"
    )
    refer(adapter, (ADAPTER,))
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it answers")
    add_options(parser, StartEndpoint, without=("base_model_id", "adapter_ids"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Start it; exit code 1 when it ends before it answers. Ctrl-C stops the waiting, not the endpoint."""
    fields = payload(arguments, StartEndpoint)
    fields |= {"base_model_id": arguments.model, "adapter_ids": arguments.adapter}
    fields.setdefault("name", (arguments.adapter or [arguments.model])[0])
    key = new_key() if fields.get("auth", True) and "key_sha256" not in fields else None
    if key is not None:
        fields["key_sha256"] = hash_of(key)
    try:
        if arguments.dry_run:
            return verbs.dry_run("StartEndpoint", fields, arguments.output)
        with console.client() as client:
            return _serve(client, arguments, fields, key)
    except StudioError as error:
        return output.fail(error, arguments.output)


def _serve(client: StudioClient, arguments: argparse.Namespace, fields: dict[str, Any], key: str | None) -> int:
    try:
        message: Any = parse("StartEndpoint", resolve(client, fields, "StartEndpoint"))
        answer = client.ask(message, key=arguments.key, timeout=arguments.timeout)
    except (Refused, NotFound) as error:
        code = output.fail(error, arguments.output)
        for text in hints(client, fields, "StartEndpoint", error.message):
            warn(f"  hint: {text}")
        return code
    output.notes(answer.breaches)
    endpoint = answer.value.endpoint
    if arguments.output == "table" and key is not None:
        say(f"key  {key}\n     the studio has no more than its hash: this is the only time it is told", flush=True)
    try:
        if not arguments.no_wait:
            endpoint = _answering(client, endpoint.id)
    finally:
        _show(endpoint, key, arguments.output)
    return output.EXIT_FAILED if endpoint.status.value in ("failed", "cancelled") else 0


def wait_until_it_answers(client: StudioClient, id: str, form: str) -> int:
    """Wait until an endpoint answers, or has ended, and say how it is called; the exit code."""
    endpoint = _answering(client, id)
    _show(endpoint, None, form)
    return output.EXIT_FAILED if endpoint.error is not None else 0


def _answering(client: StudioClient, id: str) -> EndpointMetadata:
    """The endpoint when it answers, or has ended; what it waits for is told meanwhile."""
    told = ""
    while True:
        endpoint = client.call(GetEndpoint(id=id)).endpoint
        if endpoint.address or endpoint.status.finished:
            return endpoint
        if (line := describe(endpoint)) != told:
            warn(line, flush=True)
            told = line
        time.sleep(AGAIN)


def _show(endpoint: EndpointMetadata, key: str | None, form: str) -> None:
    if form != "table":
        output.show({"endpoint": endpoint.model_dump(mode="json"), "key": key}, form)
        return
    told = endpoint.model_dump(mode="json")
    if endpoint.error is not None:
        warn("\n".join(card(told["error"])))
        return
    say(described({name: told[name] for name in ("name", "status", "address", "models", "waiting_for", "id")}))
    if line := curl(told, key):
        if endpoint.engine == CLOUDERA:  # its key is Cloudera's
            line = f"KEY=$(fts endpoint key {shlex.quote(plain(endpoint.name, limit=200))})\n{line}"
        say(f"\n{line}\n\n`fts endpoint stop {plain(endpoint.name, limit=200)}` ends it")
