"""The store on both databases: what the migrations make is what the tables say, and units of work are whole."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from core.settings import Settings
from core.spec import Training
from core.store.session import Store, as_of
from core.store.tables import Base, Config, Dataset, Endpoint, EventRow, Job, Meta, Prompt, TrainedWeights, TrainingRow
from core.store.upgrade import MIGRATIONS, TooNew, upgrade
from tests.runner.studio import spec_of


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = Settings(home=tmp_path)
    if request.param == "postgresql":
        made = made.model_copy(update={"database_url": SecretStr(request.getfixturevalue("fresh_postgres"))})
    store = Store(made)
    upgrade(store)
    yield store
    store.close()


def test_the_migrations_make_what_the_tables_say(fresh: Store) -> None:
    with fresh.writer.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_endpoints_of_an_older_store_ask_for_a_key_as_they_did(fresh: Store) -> None:
    columns = {each.name: None for each in Endpoint.__table__.columns if each.name not in ("auth", "cml_model_id")}
    numbers = dict.fromkeys(
        ("port", "idle_seconds", "max_concurrency", "num_cpu", "num_gpu", "num_memory", "requests", "refused", "failures",
         "tokens", "active"), 0,
    )  # fmt: skip
    texts = {"adapter_ids": "[]", "models": "[]", "engine": "studio", "host": "127.0.0.1", "stop_asked": False}
    with fresh.writer.connect() as connection:
        connection.execute(text("ALTER TABLE endpoints DROP COLUMN auth"))
        connection.execute(text("ALTER TABLE endpoints DROP COLUMN cml_model_id"))
        script = AlembicConfig()
        script.set_main_option("script_location", str(MIGRATIONS))
        script.attributes["connection"] = connection
        before = ScriptDirectory.from_config(script).get_revision("0025").down_revision
        connection.execute(text("UPDATE alembic_version SET version_num = :before"), {"before": before})
        for id, key in (("open", None), ("asks", "0a" * 32)):
            row = columns | numbers | texts | {"id": id, "name": id, "key_sha256": key}
            names = ", ".join(row)
            connection.execute(
                text(f"INSERT INTO endpoints ({names}) VALUES ({', '.join(f':{each}' for each in row)})"), row
            )
        connection.commit()
        command.upgrade(script, "0025")
        connection.commit()
    with fresh.read() as session:
        assert dict(session.execute(select(Endpoint.id, Endpoint.auth)).all()) == {"open": False, "asks": True}


def test_an_upgraded_store_has_a_name_that_stays(fresh: Store) -> None:
    with fresh.read() as session:
        epoch = as_of(session).epoch
    assert epoch and not upgrade(fresh)
    with fresh.read() as session:
        assert as_of(session).epoch == epoch


def test_event_ids_have_no_gaps_under_concurrent_writers(fresh: Store) -> None:
    def write(name: str) -> None:
        for n in range(20):
            try:
                with fresh.write() as unit:
                    unit.emit("ResourceAdded", "configs", f"{name}{n}")
                    if n % 5 == 0:
                        raise ValueError("given up")
            except ValueError:
                pass

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with fresh.read() as session:
        ids = list(session.scalars(select(EventRow.id).order_by(EventRow.id)))
    assert len(ids) == 64
    assert fresh.is_sqlite is False or ids == list(range(1, 65))


def test_a_failed_unit_leaves_nothing(fresh: Store) -> None:
    done = []
    with pytest.raises(RuntimeError), fresh.write() as unit:
        unit.session.add(Config(id="c"))
        unit.emit("ResourceAdded", "configs", "c")
        unit.after(lambda: done.append(1))
        raise RuntimeError
    with fresh.read() as session:
        assert session.get(Config, "c") is None and as_of(session).event == 0
    assert not done


LONG = "".join(chr(0x4E00 + 7919 * number % 20_000) for number in range(3_000))  # a name that does not compress


def _at_revision(settings: Settings, revision: str) -> Store:
    """A store as an older studio left it."""
    store = Store(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.store.upgrade._head", lambda: revision)
        upgrade(store)
    return store


def test_a_file_is_backed_up_before_its_tables_change(tmp_path: Path) -> None:
    store = _at_revision(Settings(home=tmp_path), "0001")
    with store.write() as unit:
        unit.session.add(Meta(key="mine", value="kept"))
    assert upgrade(store)
    store.close()
    (backup,) = (tmp_path / "backups").glob("state-0001-*.db")
    with sqlite3.connect(backup) as copy:
        assert copy.execute("SELECT value FROM meta WHERE key='mine'").fetchone() == ("kept",)
    copy.close()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_rows_and_their_links_survive_every_revision(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = Settings(home=tmp_path)
    if database == "postgresql":
        settings = settings.model_copy(update={"database_url": SecretStr(request.getfixturevalue("fresh_postgres"))})
    store = _at_revision(settings, "0001")
    with store.write() as unit:
        unit.session.execute(text("INSERT INTO datasets (id, name, huggingface_name) VALUES ('d', 'n', 'org/n')"))
        unit.session.execute(text("INSERT INTO prompts (id, name, dataset_id) VALUES ('p', 'n', 'd')"))
        for id, name in (("j", "n"), ("k", LONG)):
            unit.session.execute(
                text(
                    "INSERT INTO jobs (id, kind, name, engine, status, spec, priority, cpus, gpus, memory, workers, attempt,"
                    " accepted, losses, step, created_at, queued_at) VALUES (:id, 'fine_tuning', :name, 'legacy', 'queued',"
                    """ '{"resources": {"gpu_label_id": 3}}', 0, 1, 2, 4, 2, 0, 0, 0, 0, 1, 1)"""
                ),
                {"id": id, "name": name},
            )
    assert upgrade(store)
    with store.read() as session:
        dataset, prompt = session.get_one(Dataset, "d"), session.get_one(Prompt, "p")
        assert (dataset.huggingface_name, dataset.config_name, prompt.dataset_id) == ("org/n", "", "d")
        assert session.get_one(Job, "k").name == LONG[:254] + "…", "an index of PostgreSQL holds no more"
        assert session.get_one(Job, "j").shape == '["legacy",1,2,4,2,3]'
        connection = session.connection()
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    store.close()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_trainings_before_have_learned_is_known_after_an_upgrade(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = Settings(home=tmp_path)
    if database == "postgresql":
        settings = settings.model_copy(update={"database_url": SecretStr(request.getfixturevalue("fresh_postgres"))})
    store = _at_revision(settings, "0001")
    spec = spec_of("j", tmp_path, sampling={"split": 0.8})
    summary = {"adapter": "x", "adapter_files": {"adapter_model.safetensors": "aa", "adapter_config.json": "bb"}}
    columns = "id, kind, name, engine, status, spec, summary, priority, cpus, gpus, memory, workers, attempt, accepted, losses, step, created_at, queued_at"
    values = "'j', 'fine_tuning', 'n', 'legacy', 'succeeded', :spec, :summary, 0, 1, 2, 4, 2, 0, 0, 0, 0, 1, 1"
    with store.write() as unit:
        told = {"spec": json.dumps(spec), "summary": json.dumps(summary)}
        unit.session.execute(text(f"INSERT INTO jobs ({columns}) VALUES ({values})"), told)
    upgrade(store)
    with store.read() as session:
        training = Training.model_validate(session.get_one(TrainingRow, "j").told)
        assert (training.job_id, training.dataset.id, training.sampling.split) == ("j", "d", 0.8)
        assert [(row.sha256, row.job_id) for row in session.scalars(select(TrainedWeights))] == [("aa", "j")]
    store.close()


def test_processes_that_start_together_upgrade_once(tmp_path: Path) -> None:
    stores = [Store(Settings(home=tmp_path)) for _ in range(4)]
    changed: list[bool] = []
    threads = [threading.Thread(target=lambda store=store: changed.append(upgrade(store))) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(changed) == [False, False, False, True]
    for store in stores:
        store.close()


def test_the_newest_five_backups_are_kept_and_nothing_else_is_touched(tmp_path: Path) -> None:
    store = Store(Settings(home=tmp_path))
    upgrade(store)
    with store.read() as session:
        made = session.scalar(text("SELECT version_num FROM alembic_version"))
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "mine.db").write_text("keep")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.store.upgrade._head", lambda: "later")
        patch.setattr("core.store.upgrade._alembic", lambda connection: None)
        for hour in range(7):
            patch.setattr("time.strftime", lambda _, hour=hour: f"20300101-{hour:02}0000")
            upgrade(store)
    store.close()
    kept = sorted(path.name for path in (tmp_path / "backups").iterdir())
    assert kept == ["mine.db", *(f"state-{made}-20300101-{hour:02}0000.db" for hour in range(2, 7))]


def test_a_store_of_a_newer_studio_is_left_alone(tmp_path: Path) -> None:
    store = Store(Settings(home=tmp_path))
    upgrade(store)
    with store.write() as unit:
        unit.session.execute(text("UPDATE alembic_version SET version_num='9999'"))
    with pytest.raises(TooNew, match="9999"):
        upgrade(store)
    store.close()
    assert not (tmp_path / "backups").exists()


def test_links_are_whole_and_checked_after_an_upgrade(tmp_path: Path) -> None:
    store = Store(Settings(home=tmp_path))
    upgrade(store)
    with store.writer.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with pytest.raises(IntegrityError), store.write() as unit:
        unit.session.execute(text("INSERT INTO prompts (id, name, dataset_id) VALUES ('p', 'p', 'nowhere')"))
    store.close()
