"""Database Import and Export: a whole studio is moved into an empty one by its keys, on the real handlers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import select
from textual.events import Key
from textual.pilot import Pilot

from actors import handlers
from actors.desk import Desk
from core.client import Answer
from core.errors import Refused, Unavailable
from core.messages.base import Message
from core.messages.database import ImportDatabase, ImportDatabaseReply, RowOutcome, TableOutcome
from core.rules import Breach
from core.settings import Settings
from core.store.session import Store
from core.store.tables import Dataset, Prompt
from core.store.upgrade import upgrade
from tests.handlers.work import add_inputs
from tests.tui.direct import Direct
from tests.tui.rows import HOSTILE
from tests.tui.test_dashboard import shown, until
from tests.tui.test_snapshots import SIZES, timeless
from tui.app import Dashboard
from tui.screens.confirm import ConfirmScreen
from tui.screens.database import DatabaseScreen

Compare = Callable[..., bool]


@pytest.fixture
def studios(tmp_path: Path, valkey_url: str, ns: str, client: redis.Redis) -> Iterator[Callable[[str], Direct]]:
    """Makes empty studios of one project."""
    with ExitStack() as stack:
        handlers.load()

        def new(name: str) -> Direct:
            settings = Settings(
                home=tmp_path / name, project=tmp_path, namespace=ns, FTS_REDIS_URL=SecretStr(valkey_url)
            )
            store = Store(settings)
            stack.callback(store.close)
            upgrade(store)
            made = Direct(Desk(settings, store, client))
            stack.callback(made.close)
            return made

        yield new


async def typed(pilot: Pilot[None], key: str, name: str) -> None:
    """A file's name, behind a key that asks for one."""
    await pilot.press(key)
    await until(pilot, lambda: pilot.app.focused is not None and pilot.app.focused.id == "path")
    await pilot.press("ctrl+u", *name, "enter")


async def opened(pilot: Pilot[None]) -> None:
    """The page."""
    await pilot.pause()
    await pilot.press("colon", *"database", "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, DatabaseScreen))


async def test_a_studio_is_moved_into_an_empty_one(studios: Callable[[str], Direct], tmp_path: Path) -> None:
    old, new = studios("old"), studios("new")
    add_inputs(old.desk.store)
    async with Dashboard(make=lambda: old).run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "restore a studio" in shown(pilot.app))
        await typed(pilot, "x", "moved.json")
        await until(pilot, lambda: "holds everything" in shown(pilot.app))
        await typed(pilot, "x", "moved.json")  # a second time: never without asking
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("n")
    assert set(json.loads((tmp_path / "moved.json").read_text())) >= {"datasets", "models", "prompts"}

    async with Dashboard(make=lambda: new).run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await typed(pilot, "i", "moved.json")
        await until(pilot, lambda: "would bring" in shown(pilot.app) and "+ new" in shown(pilot.app))
        with new.desk.store.read() as session:
            assert session.scalars(select(Dataset)).all() == []  # a preview changes nothing
        await pilot.press("I")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: "is imported" in shown(pilot.app))
        assert "the store as it was" in shown(pilot.app)
    with new.desk.store.read() as session:
        assert [row.name for row in session.scalars(select(Dataset))] == ["t"]
        assert [row.name for row in session.scalars(select(Prompt))] == ["p"]


async def test_a_file_that_is_none_tells_every_reason(studios: Callable[[str], Direct], tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    async with Dashboard(make=lambda: studios("s")).run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await typed(pilot, "i", "bad.json")
        await until(pilot, lambda: "nothing was done" in shown(pilot.app) and "DB-103" in shown(pilot.app))


async def test_strict_imports_nothing_when_a_row_fails(studios: Callable[[str], Direct], tmp_path: Path) -> None:
    rows = [{"id": "d1", "type": "project_csv", "name": "one", "location": "a.csv"}, {"id": ["x"], "name": "two"}]
    (tmp_path / "half.json").write_text(json.dumps({"datasets": {"data": rows}}))
    studio = studios("s")
    async with Dashboard(make=lambda: studio).run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await typed(pilot, "i", "half.json")
        await until(pilot, lambda: "failed" in shown(pilot.app) and "would bring" in shown(pilot.app))
        await pilot.press("s")
        await until(pilot, lambda: "nothing was done" in shown(pilot.app) and "DB-106" in shown(pilot.app))
    with studio.desk.store.read() as session:
        assert session.scalars(select(Dataset)).all() == []


class Slow(Direct):
    """Answers nothing about a file whose name begins with slow before it is let go; `fails` is what it says then."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.free, self.came = threading.Event(), threading.Event()
        self.fails: Exception | None = None

    def ask(self, message: Message[Any], *, key: str | None = None, timeout: float | None = None) -> Answer[Any]:
        """As Direct does, in time."""
        if not str(getattr(message, "imported_json_path", "")).startswith("slow") or self.free.is_set():
            return super().ask(message, key=key, timeout=timeout)
        self.came.set()
        assert self.free.wait(60)
        if self.fails is not None:
            raise self.fails
        return super().ask(message, key=key, timeout=timeout)


def prompts(*names: str) -> str:
    """A file that brings prompts."""
    return json.dumps({"prompts": {"data": [{"id": name, "type": "in_place", "name": name, "prompt_template": "{a}", "input_template": "{a}", "completion_template": "{a}"} for name in names]}})  # fmt: skip


async def test_what_is_shown_is_of_the_file_that_would_be_imported(
    studios: Callable[[str], Direct], tmp_path: Path
) -> None:
    (tmp_path / "slow.json").write_text(prompts("one", "two", "three"))
    (tmp_path / "fast.json").write_text(prompts("four"))
    studio = Slow(studios("s").desk)
    async with Dashboard(make=lambda: studio).run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await typed(pilot, "i", "slow.json")
        await until(pilot, studio.came.is_set)
        await typed(pilot, "i", "fast.json")
        await until(pilot, lambda: "fast.json would bring: 1 " in shown(pilot.app))
        studio.free.set()
        await until(pilot, lambda: all(act.over for act in pilot.app.acting.made))  # type: ignore[attr-defined]
        await pilot.pause()
        assert "fast.json would bring: 1 " in shown(pilot.app)
    studio.close()


async def test_strict_that_comes_while_a_file_is_read_is_what_the_preview_tells_of(
    studios: Callable[[str], Direct], tmp_path: Path
) -> None:
    (tmp_path / "slow.json").write_text(prompts("one"))
    studio = Slow(studios("s").desk)
    async with Dashboard(make=lambda: studio).run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await typed(pilot, "i", "slow.json")
        await until(pilot, studio.came.is_set)
        await pilot.press("s")
        studio.free.set()
        await until(pilot, lambda: "would bring" in shown(pilot.app))
        imports = [each for each in studio.asked if type(each).__name__ == "ImportDatabase"]
        await until(pilot, lambda: any(each.strict for each in imports))  # type: ignore[attr-defined]
    studio.close()


@pytest.mark.parametrize("fails", [None, Unavailable("no answer within 600 s")])
async def test_an_import_whose_page_was_left_is_told_of(
    studios: Callable[[str], Direct], tmp_path: Path, fails: Exception | None
) -> None:
    (tmp_path / "slow.json").write_text(prompts("one"))
    studio = Slow(studios("s").desk)
    studio.free.set()
    async with Dashboard(make=lambda: studio).run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot)
        await typed(pilot, "i", "slow.json")
        await until(pilot, lambda: "would bring" in shown(pilot.app))
        studio.free.clear()
        studio.fails = fails
        await pilot.press("I")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, studio.came.is_set)
        await pilot.press("colon", *"prompts", "enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, DatabaseScreen))
        studio.free.set()
        told = "slow.json is imported" if fails is None else "it may be done all the same"
        await until(pilot, lambda: told in " ".join(shown(pilot.app).split()))
        assert "nothing was done" not in shown(pilot.app)
    studio.close()


async def test_a_dashboard_that_only_looks_asks_for_no_file(studios: Callable[[str], Direct]) -> None:
    studio = studios("s")
    async with Dashboard(make=lambda: studio, readonly=True).run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("i")
        await until(pilot, lambda: "only looks" in shown(pilot.app))
        assert pilot.app.focused is None or pilot.app.focused.id != "path"


async def test_tab_and_enter_typed_before_the_candidates_come_wait_for_them(
    studios: Callable[[str], Direct], tmp_path: Path
) -> None:
    (tmp_path / "export.json").write_text("{")
    studio = studios("s")
    dashboard = Dashboard(make=lambda: studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("i")
        await until(pilot, lambda: dashboard.focused is not None and dashboard.focused.id == "path")
        for key in ("ctrl+u", *"exp", "tab", "enter"):
            dashboard.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: "nothing was done" in shown(dashboard))
        (asked,) = [each for each in studio.asked if isinstance(each, ImportDatabase)]
        assert asked.imported_json_path == "export.json"


def reply(*, hostile: bool = False, preview: bool = True) -> ImportDatabaseReply:
    """What an import would do."""
    text = HOSTILE if hostile else "its dataset is nowhere: the link is emptied"
    rows = [
        RowOutcome(table="datasets", index=1, id="d1", outcome="inserted"),
        RowOutcome(table="prompts", index=1, id=text if hostile else "p1", outcome="mended", reasons=[text]),
        RowOutcome(table="models", index=2, id="m2", outcome="failed", reasons=["type is missing"]),
        RowOutcome(table="configs", index=1, id="c1", outcome="skipped", reasons=["it is there already"]),
    ]
    tables = [
        TableOutcome(table="datasets", inserted=1),
        TableOutcome(table="models", failed=1),
        TableOutcome(table="prompts", mended=1),
        TableOutcome(table="configs", skipped=1),
    ]
    kept = None if preview else ".app/backups/state-before-import.db"
    return ImportDatabaseReply(
        preview=preview, tables=tables, rows=rows, ignored_tables=["alembic_version"], backup=kept
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", ["empty", "preview", "imported", "refused", "hostile"])
def test_snapshot(snap_compare: Compare, size: tuple[int, int], state: str) -> None:
    async def ready(pilot: Pilot[None]) -> None:
        await opened(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, DatabaseScreen)
        if state == "refused":
            breaches = [
                Breach(rule="DB-001", field="imported_json_path", message=f"moved.json is no {each}")
                for each in ("JSON", "export")
            ]
            screen._refused(Refused.because(breaches))
        elif state != "empty":
            told = reply(hostile=state == "hostile", preview=state != "imported")
            screen.path, screen.told = HOSTILE if state == "hostile" else "moved.json", told.model_dump(mode="json")
            screen._draw()
        await pilot.pause(0.3)

    assert snap_compare(Dashboard(make=timeless), terminal_size=size, run_before=ready)
