"""The outbox emptied: what jobs' ends are to be told to the webhook and the command, each at least once.

This runs in a thread of the slow queue's process, which may wait: no unit of work is open while something is told. A claim
moves `next_at` on before it, so that a process that dies meanwhile leaves it to be told again.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from actors.desk import Desk
from actors.notifying import said
from actors.posting import NotTold, post
from core.masking import masked
from core.settings import Settings
from core.store.tables import Notification
from core.types import NotificationState as S

log = logging.getLogger("fts.notifications")
LOOK = 1.0  # seconds between looks at the outbox
CLAIMED = 60.0  # seconds for which nobody else tells what one began to tell
AT_ONCE = 20  # claimed one by one, looked for at once
FIRST, LONGEST = 5.0, 3600.0  # seconds from a failed try to the next, at first and at last
FACTOR = 3.0
LOG_BYTES = 1 << 20  # what the command printed is kept in a file of about this size
# All that the command gets of the studio's environment: nothing that is secret.
PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR",
    "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
)  # fmt: skip


def forever(desk: Desk, stop: threading.Event) -> None:
    """Tell what is due until `stop` is set; whatever goes wrong, it is tried again."""
    pause = LOOK
    while not stop.wait(pause):
        try:
            deliver(desk, time.time(), stop)
            pause = LOOK
        except SQLAlchemyError as error:
            log.warning("the outbox can't be read, it is tried again: %s", str(error).partition("\n")[0])
            pause = min(60.0, pause * 2)
        except Exception:
            log.exception("telling of jobs' ends failed; it goes on in a minute")
            pause = 60.0


def deliver(desk: Desk, now: float, stop: threading.Event) -> int:
    """Tell what is due at `now` (unix seconds); how much was tried. One that can't be told holds the others of its target until
    the next look: a webhook that is away would cost each of them its whole time."""
    with desk.store.read() as session:
        due = (Notification.state == S.waiting.value, Notification.next_at <= now)
        query = select(Notification.id, Notification.target).where(*due).order_by(Notification.next_at).limit(AT_ONCE)
        rows = list(session.execute(query))
    held: set[str] = set()
    began = time.monotonic()
    for tried, (id, target) in enumerate(rows):
        if stop.is_set():
            return tried
        if target not in held and not _deliver(desk, id, now + time.monotonic() - began, stop):
            held.add(target)
    return len(rows)


def _deliver(desk: Desk, id: str, now: float, stop: threading.Event) -> bool:
    """Claim it, tell it, write down what came of it; False when it could not be told."""
    row, began = _claimed(desk, id, now), time.monotonic()
    if row is None:
        return True
    try:
        _tell(desk.settings, row, stop)
    except NotTold as error:
        if not stop.is_set():  # else it was not told because we end: the claim lapses, and the next one of us tells it
            _failed(desk, row, str(error), now + time.monotonic() - began)
        return False
    _sent(desk, row, now + time.monotonic() - began)
    return True


def _claimed(desk: Desk, id: str, now: float) -> Notification | None:
    """The row, when it is ours to tell now."""
    with desk.store.write() as unit:
        mine = (Notification.id == id, Notification.state == S.waiting.value, Notification.next_at <= now)
        taken: Any = unit.session.execute(
            update(Notification).where(*mine).values(next_at=now + CLAIMED, tries=Notification.tries + 1)
        )
        return unit.session.get(Notification, id, populate_existing=True) if taken.rowcount else None


def _sent(desk: Desk, row: Notification, now: float) -> None:
    with desk.store.write() as unit:
        unsent = (Notification.id == row.id, Notification.state != S.sent.value)
        changed: Any = unit.session.execute(
            update(Notification).where(*unsent).values(state=S.sent.value, told_at=now, error=None)
        )
        if changed.rowcount:
            said(unit, row, "NotificationSent", f"{row.target}: told “{row.body['text']}”", tries=row.tries)
    desk.publish()


def _failed(desk: Desk, row: Notification, reason: str, now: float) -> None:
    """Try it later, or give it up; nothing when another one of us has it by now."""
    later = now + min(LONGEST, FIRST * FACTOR ** min(row.tries - 1, 20))
    over = later > row.give_up_at
    with desk.store.write() as unit:
        mine = (Notification.id == row.id, Notification.state == S.waiting.value, Notification.tries == row.tries)
        values = {"state": (S.given_up if over else S.waiting).value, "next_at": later, "error": reason}
        changed: Any = unit.session.execute(update(Notification).where(*mine).values(**values))
        if changed.rowcount and (over or row.tries == 1):  # once; how often it failed since is in the row
            type = "NotificationGivenUp" if over else "NotificationDelayed"
            what = "given up; `fts notifications retry` tells it once more" if over else "it is tried again"
            text = f"{row.target}: {reason}; {what}"
            said(unit, row, type, text, level="warning", tries=row.tries, reason=reason)
    desk.publish()


def _tell(settings: Settings, row: Notification, stop: threading.Event) -> None:
    """Tell it without what is secret in it, which a job's failure may hold. Whatever goes wrong is told of this one: it is put
    off and given up as others are, and stops none of them."""
    try:
        tell(settings, row.target, masked(row.body, settings.secrets), stop)
    except NotTold:
        raise
    except Exception as error:  # its text may hold the URL
        raise NotTold(f"it can't be told ({type(error).__name__})") from None


def tell(settings: Settings, target: str, body: dict[str, Any], stop: threading.Event) -> None:
    """Tell one of the targets; raises NotTold."""
    if target == "command" and settings.notify_command:
        _run(settings, body, stop)
    elif target == "webhook" and settings.notify_webhook is not None:
        secret = settings.notify_webhook_secret
        key = None if secret is None else secret.get_secret_value()
        post(settings.notify_webhook.get_secret_value(), body, key, settings.notify_seconds)
    else:
        raise NotTold(f"no {target} is set any more (FTS_NOTIFY_{target.upper()})")


def _run(settings: Settings, body: dict[str, Any], stop: threading.Event) -> None:
    """Run the command: no shell, facts in its environment and as JSON on its standard input, a session of its own to end."""
    path = settings.root / "logs" / "notify-command.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as printed:
            process = subprocess.Popen(
                settings.notify_command, stdin=subprocess.PIPE, stdout=printed, stderr=printed, env=facts(settings, body),
                cwd=settings.project.resolve(), start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise NotTold(f"{settings.notify_command[0]} can't be run: {error.strerror}") from None
    code = _ended(process, json.dumps(body).encode(), settings.notify_seconds, stop)
    if code != 0:
        raise NotTold(f"{settings.notify_command[0]} ended with exit code {code} ({path.name} has what it printed)")


def _ended(process: subprocess.Popen[bytes], given: bytes, seconds: float, stop: threading.Event) -> int:
    """Its exit code; raises NotTold when it takes too long, or we end."""
    deadline, rest = time.monotonic() + seconds, given or None
    while time.monotonic() < deadline and not stop.is_set():
        try:
            process.communicate(rest, timeout=0.2)
        except subprocess.TimeoutExpired:
            rest = None  # it has begun to be given
            continue
        return process.returncode
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    raise NotTold(f"the command did not end within {seconds:g} s")


def facts(settings: Settings, body: dict[str, Any]) -> dict[str, str]:
    """The environment of the command."""
    job = body.get("job") or {}
    told = {
        "FTS_NOTIFICATION_ID": body["id"],
        "FTS_NOTIFICATION_TYPE": body["type"],
        "FTS_NOTIFICATION_TEXT": body["text"],
        **{f"FTS_JOB_{name.upper()}": job.get(name) for name in ("id", "kind", "name", "status", "attempt")},
        "FTS_JOB_ERROR": (job.get("error") or {}).get("message"),
    }
    own = {name: os.environ[name] for name in os.environ if name in PASSED or name.startswith("LC_")}
    places = {"FTS_HOME": str(settings.root), "FTS_PROJECT": str(settings.project.resolve())}
    return {
        **own,
        **places,
        **{name: str(value).replace("\0", "") for name, value in told.items() if value is not None},
    }
