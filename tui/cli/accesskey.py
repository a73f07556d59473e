"""`fts endpoint key`: the access key of an endpoint that is a model of Cloudera ML, from Cloudera itself.

It goes from there to who asks, and nowhere else: not through the studio's queue, rows or log.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from core.errors import Conflict, StudioError, Unavailable
from core.messages.endpoints import GetEndpoint
from core.text import plain
from tui.cli import console, output
from tui.cli.console import say
from tui.cli.parsing import add_command, refer
from tui.cli.references import ENDPOINT, by_name
from tui.view.calling import CLOUDERA

TEXT = "the access key of an endpoint that is a model of Cloudera ML; asked of Cloudera, in a pod of the project"


def add(endpoints: Any) -> None:
    """Declare it."""
    parser = add_command(endpoints, "key", TEXT)
    refer(parser.add_argument("id", help=ENDPOINT.help), (ENDPOINT,))
    parser.add_argument("-o", "--output", choices=output.FORMS, default="table", help="table: the key alone")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Find the endpoint, ask Cloudera, and print it."""
    try:
        with console.client() as client:
            found = client.call(GetEndpoint(id=by_name(client, (ENDPOINT,), arguments.id))).endpoint
        key = access_key(found.model_dump(mode="json"))
    except StudioError as error:
        return output.fail(error, arguments.output)
    if arguments.output == "table":
        say(plain(key, limit=1_000))
    else:
        output.show({"id": found.id, "access_key": key}, arguments.output)
    return 0


def access_key(row: Mapping[str, Any]) -> str:
    """The key of an endpoint, asked of Cloudera. Raises Conflict where there is none to be had, Unavailable with what to do."""
    if row.get("engine") != CLOUDERA:
        raise Conflict(
            "its key was told once, when it was started; only models of Cloudera ML have one that is kept there"
        )
    if not row.get("cml_model_id"):
        raise Conflict("it is no model of Cloudera ML yet, and has no key")
    from core.cml import Declined, Missing, connect  # late: most commands have nothing to do with Cloudera
    from core.settings import settings

    try:
        return connect(settings()).model(str(row["cml_model_id"])).access_key.get_secret_value()
    except Unavailable as error:
        raise Unavailable(f"{error}; the model's page in Cloudera ML, under Settings, has its access key too") from None
    except (Missing, Declined) as error:
        raise Conflict(str(error)) from None
