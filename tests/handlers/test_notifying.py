"""What a webhook and a command are told when a job ends (D-221): at least once, whoever dies meanwhile, and never anything secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from actors import delivering, notifying
from actors.answering import answer
from actors.delivering import CLAIMED, deliver
from actors.desk import Desk
from core.store.eventlog import last_events
from core.store.tables import Notification
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, say, start
from tests.hook import CANARY, KEY, SCRIPT, USER, Hook

SECRETS = (CANARY, USER, KEY)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook.serving() as made:
        yield made


@pytest.fixture(autouse=True)
def telling(desk: Desk, hook: Hook, tmp_path: Path) -> None:
    """A studio that tells a webhook, and a command that writes down what it is given."""
    script = tmp_path / "told.py"
    script.write_text(SCRIPT)
    new = {
        "notify_webhook": SecretStr(hook.url),
        "notify_webhook_secret": SecretStr(KEY),
        "notify_command": [sys.executable, str(script), "; touch /tmp/never"],
        "notify_seconds": 5.0,
    }
    desk.settings = desk.settings.model_copy(update=new)
    desk.store.targets = desk.settings.notify_targets


NEVER = threading.Event()
ON_ONE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the database makes no difference to these


def ended(desk: Desk, name: str = "tickets", **ending: Any) -> str:
    """A job that ended; its id."""
    if not hasattr(desk, "speaker"):
        add_inputs(desk.store)
        desk.speaker = Speaker(desk)  # type: ignore[attr-defined]
    id = start(desk, name)
    speaker: Speaker = desk.speaker  # type: ignore[attr-defined]
    speaker.begin(id)
    speaker.tell(id, {**SUCCEEDED, **ending}, begin=10)
    return id


def rows(desk: Desk) -> dict[str, Notification]:
    """What is in the outbox, by target."""
    with desk.store.read() as session:
        return {row.target: row for row in session.query(Notification)}


def log(desk: Desk) -> list[str]:
    with desk.store.read() as session:
        return [event.type for event in last_events(session, 50, kind="notifications")]


def told(tmp_path: Path) -> list[dict[str, Any]]:
    """What the command was given."""
    path = tmp_path / "told.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_end_of_a_job_is_told_once_to_each_with_its_facts(desk: Desk, hook: Hook, tmp_path: Path) -> None:
    id = ended(desk)
    assert {row.state for row in rows(desk).values()} == {"waiting"} and len(rows(desk)) == 2
    assert deliver(desk, time.time(), NEVER) == 2
    assert deliver(desk, time.time(), NEVER) == 0, "what is told is told once"
    ((headers, data, path),) = hook.got
    body = json.loads(data)
    assert path == f"/hooks/{CANARY}?token={CANARY}" and body["type"] == "job.ended"
    assert (body["job"]["id"], body["job"]["status"], body["text"]) == (id, "succeeded", "tickets succeeded")
    expected = hmac.new(KEY.encode(), headers["X-FTS-Timestamp"].encode() + b"." + data, hashlib.sha256).hexdigest()
    assert headers["X-FTS-Signature"] == f"sha256={expected}" and headers["X-FTS-Delivery"] == body["id"]
    (run,) = told(tmp_path)
    assert run["environment"]["FTS_JOB_ID"] == id and run["environment"]["FTS_JOB_STATUS"] == "succeeded"
    assert run["body"]["job"] == body["job"] and run["argv"][1] == "; touch /tmp/never"
    assert {row.state for row in rows(desk).values()} == {"sent"} and log(desk) == ["NotificationSent"] * 2
    listed = say(desk, "ListNotifications", job_id=id, counts=True)
    assert [each["text"] for each in listed["notifications"]] == ["tickets succeeded"] * 2 and listed["total"] == 2


@ON_ONE
def test_a_command_gets_nothing_of_the_studio_that_is_secret(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FTS_NOTIFY_WEBHOOK", "FTS_REDIS_URL", "HF_TOKEN", "FTS_WEB_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("LC_TIME", "C")
    ended(desk)
    deliver(desk, time.time(), NEVER)
    environment = told(tmp_path)[0]["environment"]
    assert CANARY not in json.dumps(environment) and environment["LC_TIME"] == "C"
    assert environment["FTS_HOME"] == str(desk.settings.root)


@ON_ONE
@pytest.mark.parametrize("status", [500, 301])
def test_a_webhook_that_fails_is_tried_again_later_and_holds_no_command(desk: Desk, hook: Hook, status: int) -> None:
    hook.status = status
    ended(desk)
    deliver(desk, now := time.time(), NEVER)
    waiting = rows(desk)["webhook"]
    assert (waiting.state, waiting.tries) == ("waiting", 1) and f"it answered {status}" in str(waiting.error)
    assert rows(desk)["command"].state == "sent" and "NotificationDelayed" in log(desk)
    assert deliver(desk, now + 1, NEVER) == 0 and 4 < waiting.next_at - now < 10
    hook.status = 200
    assert deliver(desk, now + 11, NEVER) == 1
    assert rows(desk)["webhook"].state == "sent" and rows(desk)["webhook"].error is None
    assert len(hook.got) == 2 and all(path.startswith("/hooks/") for _, _, path in hook.got)
    assert {headers["X-FTS-Delivery"] for headers, _, _ in hook.got} == {rows(desk)["webhook"].id}


def test_it_is_tried_ever_more_rarely_given_up_after_a_day_and_told_once_more_when_asked(
    desk: Desk, hook: Hook
) -> None:
    hook.status = 503
    ended(desk)
    now = began = time.time()
    for _ in range(100):
        deliver(desk, now, NEVER)
        if rows(desk)["webhook"].state != "waiting":
            break
        now = max(now + 1, rows(desk)["webhook"].next_at + 0.001)
    given_up = rows(desk)["webhook"]
    assert given_up.state == "given_up" and 20 < given_up.tries < 40
    assert log(desk).count("NotificationDelayed") == 1 and log(desk).count("NotificationGivenUp") == 1
    assert now - began < 86_400
    assert say(desk, "ListNotifications", state="given_up")["notifications"][0]["tries"] == given_up.tries
    hook.status = 200
    assert say(desk, "RetryNotifications")["ids"] == [given_up.id]
    deliver(desk, time.time(), NEVER)
    assert rows(desk)["webhook"].state == "sent"
    assert answer(desk, "RetryNotifications", {"id": given_up.id}, "k")["code"] == "conflict"
    assert answer(desk, "RetryNotifications", {"id": "no"}, "l")["code"] == "not_found"


def test_of_very_many_that_were_given_up_the_oldest_are_told_once_more_and_the_others_are_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "AT_ONCE", 2)
    for number in range(2):
        ended(desk, f"job-{number}")
    with desk.store.write() as unit:
        for number, row in enumerate(unit.session.query(Notification).order_by(Notification.id.desc())):
            row.state, row.created_at = "given_up", float(number)
    aged = [each["id"] for each in say(desk, "ListNotifications", order="created_at")["notifications"]]
    first = say(desk, "RetryNotifications")
    assert (first["ids"], first["left"]) == (aged[:2], 2)
    assert say(desk, "RetryNotifications") == {"ids": aged[2:], "left": 0}
    assert say(desk, "RetryNotifications") == {"ids": [], "left": 0} and log(desk).count("NotificationRetried") == 4


def test_one_of_two_processes_tells_it_and_one_that_died_leaves_it_to_the_other(desk: Desk, hook: Hook) -> None:
    ended(desk)
    id, now = rows(desk)["webhook"].id, time.time()
    dead = delivering._claimed(desk, id, now)  # kill -9 before, or right after, it was told
    assert dead is not None and delivering._claimed(desk, id, now) is None
    assert deliver(desk, now + 1, NEVER) == 1 and not hook.got, "only the command is left for others"
    assert deliver(desk, now + CLAIMED + 1, NEVER) == 1 and len(hook.got) == 1
    assert rows(desk)["webhook"].tries == 2
    delivering._failed(desk, dead, "it comes back from the dead", now)
    assert rows(desk)["webhook"].state == "sent"


def test_many_at_once_tell_each_once(desk: Desk, hook: Hook) -> None:
    for number in range(4):
        ended(desk, f"job-{number}")
    threads = [threading.Thread(target=deliver, args=(desk, time.time(), NEVER)) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(json.loads(data)["job"]["name"] for _, data, _ in hook.got) == [f"job-{n}" for n in range(4)]


@ON_ONE
def test_no_secret_of_a_webhook_reaches_rows_events_logs_or_replies(
    desk: Desk, hook: Hook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    ended(desk)
    wrong = [
        desk.settings.notify_webhook,
        SecretStr(f"http://{USER}:{KEY}@127.0.0.1:1/{CANARY}"),
        SecretStr(f"https://{USER}:{KEY}@127.0.0.1:{hook.server_port}/{CANARY}"),
        SecretStr(f"http://{CANARY}.invalid/{CANARY}"),
    ]
    seen = []
    for number, url in enumerate(wrong):
        hook.status = 500
        desk.settings = desk.settings.model_copy(update={"notify_webhook": url})
        deliver(desk, time.time() + 4_000 * number, NEVER)
        seen.append(rows(desk)["webhook"].error)
    stop = threading.Event()
    monkeypatch.setattr(delivering, "LOOK", 0.01)
    monkeypatch.setattr(delivering, "deliver", lambda *given: (stop.set(), 1 / 0))
    delivering.forever(desk, stop)
    with desk.store.read() as session:
        events = [event.model_dump_json() for event in last_events(session, 100)]
        stored = [json.dumps(row.body) + str(row.error) for row in session.query(Notification)]
    everything = "\n".join([*map(str, seen), *events, *stored, caplog.text, repr(desk.settings), str(desk.settings)])
    everything += json.dumps(say(desk, "ListNotifications"))
    assert "telling of jobs' ends failed" in caplog.text and "it can't be reached: Connection refused" in everything
    assert not [secret for secret in SECRETS if secret in everything]


@ON_ONE
def test_who_knows_and_plans_are_not_told_and_a_studio_that_tells_nobody_keeps_nothing(desk: Desk) -> None:
    from core.store.tables import Job

    with desk.store.write() as unit:
        for kind, status, expected in (("plan", "failed", 0), ("endpoint", "succeeded", 0), ("endpoint", "failed", 2)):
            row = Job(id=f"{kind}{status}", kind=kind, name="x", status=status, attempt=1, step=0)
            notifying.note(unit, row)
            assert len([each for each in unit.session.new if isinstance(each, Notification)]) == expected
        unit.session.expunge_all()
        unit.targets = ()
        notifying.note(unit, Job(id="j", kind="fine_tuning", name="x", status="failed"))
        assert not unit.session.new
    desk.store.targets = ()
    assert answer(desk, "TestNotifications", {}, "k")["breaches"][0]["rule"] == "NT-102"


@ON_ONE
def test_what_a_failure_says_of_secrets_leaves_the_studio_masked(desk: Desk, hook: Hook, tmp_path: Path) -> None:
    token, own = "hf_" + "Canary1234567890", "canary of the studio"
    desk.settings = desk.settings.model_copy(update={"hub_token": SecretStr(own)})
    wrong = {"kind": "Error", "message": f"401 for {token}, 'password': 'canary horse', {own}", "hint": own}
    ended(desk, outcome="failed", error=wrong)
    deliver(desk, time.time(), NEVER)
    outside = hook.got[0][1].decode() + json.dumps(told(tmp_path))
    assert "401 for" in outside
    assert not [secret for secret in (token, "horse", own) if secret in outside]
    assert token not in json.dumps(say(desk, "ListNotifications")) + json.dumps(
        [row.body for row in rows(desk).values()]
    )


@ON_ONE
def test_one_that_can_not_be_told_at_all_is_put_off_as_others_are_and_stops_none(desk: Desk, hook: Hook) -> None:
    ended(desk)
    with desk.store.write() as unit:
        row = unit.session.query(Notification).filter_by(target="command").one()
        job = {**row.body["job"], "name": "\ud800"}  # no environment holds half a character
        row.body = {**row.body, "job": job}
        row.next_at -= 1
    deliver(desk, now := time.time(), NEVER)
    assert rows(desk)["webhook"].state == "sent" and len(hook.got) == 1
    waiting = rows(desk)["command"]
    assert waiting.error == "it can't be told (UnicodeEncodeError)" and 4 < waiting.next_at - now < 30
    assert "NotificationDelayed" in log(desk)


@ON_ONE
def test_what_takes_long_holds_no_claim_of_the_next_that_has_run_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        ended(desk, f"job-{number}")
    clock = [0.0]
    held = []
    monkeypatch.setattr("actors.delivering.time.monotonic", lambda: clock[0])

    def slow(settings: object, target: str, body: dict[str, Any], stop: object) -> None:
        with desk.store.read() as session:
            held.append(session.get(Notification, body["id"]).next_at - (began + clock[0]))  # type: ignore[union-attr]
        clock[0] += 50.0

    monkeypatch.setattr(delivering, "tell", slow)
    deliver(desk, began := time.time(), NEVER)
    assert held == pytest.approx([CLAIMED] * 4), "each is claimed from when it is begun"


@ON_ONE
def test_what_nobody_tells_any_more_is_forgotten_too(desk: Desk) -> None:
    ended(desk)
    desk.store.targets = ()
    notifying.forget(desk, (now := time.time()) + 30.5 * 86_400)
    assert len(rows(desk)) == 2, "it waits until it would be given up"
    notifying.forget(desk, now + 32 * 86_400)
    assert rows(desk) == {}


@ON_ONE
def test_a_try_is_told_to_all(desk: Desk, hook: Hook, tmp_path: Path) -> None:
    assert len(say(desk, "TestNotifications")["ids"]) == 2
    deliver(desk, time.time(), NEVER)
    assert json.loads(hook.got[0][1])["type"] == "test" and told(tmp_path)[0]["body"]["job"] is None


@ON_ONE
def test_what_was_told_is_forgotten_in_the_end(desk: Desk) -> None:
    ended(desk)
    deliver(desk, now := time.time(), NEVER)
    notifying.forget(desk, now + 29 * 86_400)
    assert len(rows(desk)) == 2
    notifying.forget(desk, now + 31 * 86_400)
    assert rows(desk) == {}
