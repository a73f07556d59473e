"""The handler that tells what would be refused. Nothing is locked: it is asked again when the command is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from actors import references
from actors.handlers import handles
from actors.world import RealWorld
from core.errors import Refused
from core.messages import parse
from core.messages.checking import CheckCommand, Checked, CheckedReply
from core.rules import CHEAP, Row, check, refusing


class Onlooker(RealWorld):
    """A world in which nobody is kept off anything."""

    def users(self, table: str, ids: Sequence[str]) -> list[Row]:
        """The unfinished jobs that use one of the rows, as of now."""
        return references.users(self.session, table, ids, lock=False)


@handles(CheckCommand)
def check_command(message: CheckCommand, session: Session, world: RealWorld) -> CheckedReply:
    """What each payload breaks."""
    onlooker = Onlooker(world.desk, session)
    return CheckedReply(checked=[_checked(message.name, payload, onlooker) for payload in message.payloads])


def _checked(name: str, payload: dict[str, Any], world: Onlooker) -> Checked:
    try:
        breaches = check(parse(name, payload), world, CHEAP)
    except Refused as error:
        return Checked(refused=True, breaches=error.breaches)
    return Checked(refused=bool(refusing(breaches)), breaches=breaches)
