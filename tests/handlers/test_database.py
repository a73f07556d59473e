"""Resources go out and come back whole, whatever else a file holds (docs/decisions.md, D-036, D-037 and D-114)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import JSON, event, inspect, select, text

from actors import handlers
from actors.answering import answer
from actors.desk import Desk
from core.settings import Settings
from core.store.eventlog import events_after
from core.store.session import Store
from core.store.tables import (
    TABLE_TO_MODEL,
    Adapter,
    EvaluationJob,
    FineTuningJob,
    Job,
)
from core.store.transfer.importing import Import
from core.store.transfer.reading import read_tables
from core.store.upgrade import upgrade
from tests.databases import PostgreSQL
from tests.handlers.work import add_inputs, say, start

NewStudio = Callable[[str], Desk]


@pytest.fixture
def studio(
    request: pytest.FixtureRequest, studio_settings: Settings, client: redis.Redis, tmp_path: Path
) -> Iterator[NewStudio]:
    """Makes empty studios, each with a home and a database of its own."""
    with ExitStack() as stack:
        handlers.load()

        def new(name: str) -> Desk:
            settings = studio_settings.model_copy(update={"home": tmp_path / name})
            if settings.database_url is not None:
                server: PostgreSQL = request.getfixturevalue("postgresql")
                url = stack.enter_context(server.database(tmp_path, bare=True))
                settings = settings.model_copy(update={"database_url": SecretStr(url)})
            store = Store(settings)
            stack.callback(store.close)
            upgrade(store)
            return Desk(settings, store, client)

        yield new


SIZES = dict.fromkeys(("parameters", "hidden", "layers", "heads", "kv_heads", "head_dim", "intermediate", "vocab"), 8)
# What columns of lists and objects hold, for each there is.
STRUCTURED: dict[str, dict[str, Any]] = {
    "datasets": {
        "column_types": {"q": "string"},
        "preview": [{"q": "say '\\u0000'"}],
        "splits": {"train": 2, "test": None},
    },
    "models": {"files": {"w": "1"}, "shape": SIZES},
    "adapters": {"files": {"w": "1"}},
    "fine_tuning_jobs": {"train_splits": ["train", "more"]},
    "evaluation_jobs": {
        "scores": {"exact_match": 0.1 + 0.2},
        "statistics": {"exact_match": {"low": 0.1, "high": 0.5, "p": 0.25}},
        "selected_features": ["q"],
    },
}


def fill(desk: Desk) -> None:
    """Rows in every table, linked in a circle, with the texts that break careless readers."""
    add_inputs(desk.store)
    say(desk, "AddConfig", type="axolotl", config="base_model: x\n# kept\n")
    # the order of a format's columns says which one is answered
    say(desk, "AddConfig", type="axolotl_dataset_formats", config='{"question": "string", "answer": "string"}')
    say(desk, "AddConfig", type="lora_config", config='{"r": 3}', description="größe \x1b[31m'; DROP TABLE models; --")
    job = start(desk)
    pair = [{"base_model_id": "m"}]
    batch = say(desk, "StartEvaluationJob", model_adapter_combinations=pair, dataset_id="d", prompt_id="p")
    with desk.store.write() as unit:
        unit.session.add(Adapter(id="a", type="project", name="a", model_id="m", fine_tuning_job_id=job, prompt_id="p"))
        unit.session.flush()
        for table in TABLE_TO_MODEL.values():
            for row in unit.session.scalars(select(table)):
                for name, value in STRUCTURED.get(table.__tablename__, {}).items():
                    setattr(row, name, value)
        unit.session.get_one(FineTuningJob, job).adapter_id = "a"
        unit.session.get_one(Job, job).status = "succeeded"
        row = unit.session.get_one(EvaluationJob, batch["evaluation_jobs"][0]["id"])
        row.comparison_adapter_id = "a"


def resources(desk: Desk) -> str:
    exported = json.loads(say(desk, "ExportDatabase")["exported_json"])
    return json.dumps({name: exported[name] for name in TABLE_TO_MODEL}, indent=2, ensure_ascii=False)


def do_import(desk: Desk, content: object, **fields: Any) -> dict[str, Any]:
    return say(desk, "ImportDatabase", imported_json=json.dumps(content), **fields)


def counts(reply: dict[str, Any]) -> dict[str, tuple[int, int, int, int]]:
    return {
        each["table"]: (each["inserted"], each["mended"], each["skipped"], each["failed"]) for each in reply["tables"]
    }


def reasons(reply: dict[str, Any]) -> dict[str, str]:
    return {each["id"]: f"{each['outcome']}: {'; '.join(each['reasons'])}" for each in reply["rows"]}


def test_an_export_imported_into_an_empty_studio_is_exported_the_same(studio: NewStudio) -> None:
    first = studio("first")
    fill(first)
    exported = say(first, "ExportDatabase")["exported_json"]
    kept = resources(first)
    second = studio("second")
    reply = say(second, "ImportDatabase", imported_json=exported)
    assert {end for table in counts(reply).values() for end in table[2:]} == {0}
    assert resources(second) == kept
    names = {each["name"]: each["status"] for each in say(second, "ListFineTuningJobs")["fine_tuning_jobs"]}
    assert names == {"tickets": "succeeded"}
    (evaluated,) = say(second, "ListEvaluationJobs")["evaluation_jobs"]
    assert evaluated["status"] == "cancelled"  # nobody works on it here
    again = say(second, "ImportDatabase", imported_json=exported)
    assert {end for table in counts(again).values() for end in (*table[:2], table[3])} == {0}
    assert resources(second) == kept


def test_what_lists_and_objects_hold_goes_out_and_in_for_every_such_column() -> None:
    there = {
        name: {column.name for column in model.__table__.columns if isinstance(column.type, JSON)}
        for name, model in TABLE_TO_MODEL.items()
    }
    assert {name: set(STRUCTURED.get(name, {})) for name in TABLE_TO_MODEL} == there


def test_a_bad_row_in_the_middle_of_each_table_loses_nothing_else(studio: NewStudio) -> None:
    first = studio("first")
    fill(first)
    content = json.loads(say(first, "ExportDatabase")["exported_json"])
    kept = resources(first)
    for table in TABLE_TO_MODEL:
        rows = content[table]["data"]
        rows[len(rows) // 2 : len(rows) // 2] = [
            {"id": {}},
            "no row",
            None,
            {"id": "\0"},
            {"id": f"bad-{table}"} | BAD[table],
        ]
    second = studio("second")
    reply = do_import(second, content)
    assert {table: ends[3] for table, ends in counts(reply).items()} == dict.fromkeys(TABLE_TO_MODEL, 5)
    assert resources(second) == kept


BAD: dict[str, dict[str, Any]] = {
    "datasets": {"type": "zip"},
    "models": {"type": "zip"},
    "prompts": {"prompt_template": "{a.b}"},
    "adapters": {"type": "zip"},
    "fine_tuning_jobs": {"num_cpu": "many"},
    "evaluation_jobs": {"status": "done"},
    "configs": {"type": "lora_config", "config": "{"},
}


def test_strict_is_all_or_nothing_and_names_every_bad_row(studio: NewStudio) -> None:
    desk = studio("first")
    content = {
        "models": [{"id": "m", "type": "project", "name": "m"}],
        "prompts": [{"id": "p", "prompt_template": "{"}],
    }
    reply = answer(desk, "ImportDatabase", {"imported_json": json.dumps(content), "strict": True}, None)
    assert [(each["rule"], each["field"]) for each in reply["breaches"]] == [("DB-106", "prompts.1")]
    assert say(desk, "ListModels")["models"] == []


def test_a_preview_tells_row_by_row_and_changes_nothing(studio: NewStudio) -> None:
    desk = studio("first")
    content = {"models": [{"id": "m", "name": "m"}, {"id": "n", "name": "m"}], "prompts": [{"id": "p"}]}
    before = resources(desk)
    reply = do_import(desk, content, preview=True)
    assert [(each["id"], each["outcome"]) for each in reply["rows"]] == [
        ("m", "mended"),
        ("n", "mended"),
        ("p", "failed"),
    ]
    assert reply["backup"] is None and resources(desk) == before
    with desk.store.read() as session:
        assert [each for each in events_after(session, 0) if each.type != "ResourceAdded"] == []


def test_an_imported_prompt_names_only_the_columns_of_its_dataset(studio: NewStudio) -> None:
    desk = studio("first")
    dataset = {"id": "d", "type": "project_csv", "name": "d", "location": "d.csv", "features": '["q", "a"]'}
    prompts = [
        {"id": "good", "name": "good", "dataset_id": "d", "prompt_template": "{q}{a}"},
        {"id": "bad", "name": "bad", "dataset_id": "d", "prompt_template": "{q}{b}"},
        {"id": "spec", "name": "spec", "dataset_id": "d", "prompt_template": "{q:}"},
        {"id": "alone", "name": "alone", "dataset_id": "nowhere", "prompt_template": "{b}"},
    ]
    told = reasons(do_import(desk, {"prompts": prompts, "datasets": [dataset]}))
    assert told["bad"].startswith("failed: prompt_template: {b} is not a column of the dataset")
    assert told["spec"].startswith("failed: prompt_template: {q:} is not a bare column name")
    assert {each["id"] for each in say(desk, "ListPrompts")["prompts"]} == {"good", "alone"}


def test_names_links_and_configs_that_clash_are_mended_and_told(studio: NewStudio) -> None:
    desk = studio("first")
    add_inputs(desk.store)
    config = say(desk, "AddConfig", type="lora_config", config='{"r": 3}')["config"]["id"]
    content = {
        "adapters": [
            {"id": "a1", "type": "project", "name": "x", "model_id": "h2", "prompt_id": "nowhere", "location": "/a"}
        ],
        "models": [{"id": "h2", "type": "huggingface", "name": "tiny", "huggingface_model_name": "org/m"}],
        "configs": [{"id": "c2", "type": "lora_config", "config": '{ "r":3 }', "is_default": 0}],
        "fine_tuning_jobs": [{"id": "j", "lora_config_id": "c2", "adapter_id": "a1", "num_cpu": "2"}],
    }
    reply = do_import(desk, content)
    told = reasons(reply)
    assert told["h2"] == "mended: the name 'tiny' is taken: it is called 'tiny-2'"
    assert told["a1"] == "mended: prompt_id named a row that is nowhere (nowhere) and is left empty"
    assert told["c2"].startswith(f"skipped: it is the one that exists with id {config}")
    assert f"lora_config_id leads to {config} now" in told["j"] and "num_cpu was read as a whole number" in told["j"]
    job = say(desk, "GetFineTuningJob", id="j")["fine_tuning_job"]
    assert (job["lora_config_id"], job["adapter_id"], job["status"]) == (config, "a1", "cancelled")
    assert job["error"]["message"] == "the file does not tell how it ended"
    empty = {"evaluation_jobs": [{"id": "e", "base_model_id": "h2", "adapter_id": "", "prompt_id": ""}]}
    assert counts(do_import(desk, empty)) == {"evaluation_jobs": (0, 1, 0, 0)}, (
        "the original writes no adapter as empty text"
    )
    twin = {"models": [{"id": "h3", "type": "huggingface", "name": "other", "huggingface_model_name": "org/m"}],
            "adapters": [{"id": "a2", "type": "project", "name": "y", "model_id": "h3"}]}  # fmt: skip
    told = reasons(do_import(desk, twin))
    assert told["h3"].startswith("skipped: it is the one that exists with id h2")
    assert told["a2"] == "mended: model_id leads to h2 now"


HOSTILE = """
DROP TABLE models; ATTACH DATABASE '{evil}' AS evil; CREATE TABLE evil.t (a);
PRAGMA writable_schema=ON; DELETE FROM datasets; CREATE TRIGGER t AFTER INSERT ON models BEGIN DELETE FROM prompts; END
"""


def test_schema_text_and_names_of_a_hostile_file_run_nothing(desk: Desk, tmp_path: Path) -> None:
    add_inputs(desk.store)
    evil = tmp_path / "evil.db"
    schema = HOSTILE.replace("{evil}", str(evil))
    content = {
        "models": {"schema": schema, "data": [
            {"id": "x", "name": "x'); DROP TABLE models; --", "type": "project", 'name" TEXT); DROP TABLE prompts; --': 1}
        ]},
        'prompts"; DROP TABLE prompts; --': {"schema": schema, "data": [{"id": "1"}]},
        "sqlite_master": {"schema": schema, "data": [{"type": "trigger", "name": "t", "sql": schema}]},
        "meta": {"schema": schema, "data": [{"key": "epoch", "value": "mine"}]},
    }  # fmt: skip
    before = _tables(desk)
    reply = do_import(desk, content)
    assert _tables(desk) == before and not evil.exists()
    assert reply["ignored_tables"] == ["meta", 'prompts"; DROP TABLE prompts; --', "sqlite_master"]
    assert reply["tables"][0]["unknown_columns"] == ['name" TEXT); DROP TABLE prompts; --']
    assert say(desk, "GetModel", id="x")["model"]["name"] == "x'); DROP TABLE models; --"
    assert {each["id"] for each in say(desk, "ListPrompts")["prompts"]} == {"p"}


def _tables(desk: Desk) -> list[Any]:
    if not desk.store.is_sqlite:
        with desk.store.read() as session:
            columns = "table_name, column_name, data_type, is_nullable"
            query = f"SELECT {columns} FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
            return list(session.execute(text(query)))
    with sqlite3.connect(desk.settings.root / "state.db") as connection:
        found = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return found


ORIGINAL = Path(__file__).parent / "original_export.json"


def test_a_file_of_the_original_studio_comes_in_whole(studio: NewStudio, tmp_path: Path) -> None:
    desk = studio("first")
    (tmp_path / "export.json").write_bytes(ORIGINAL.read_bytes())
    reply = say(desk, "ImportDatabase", imported_json_path="export.json")
    content = json.loads(ORIGINAL.read_text())
    assert {table: sum(ends[:2]) for table, ends in counts(reply).items()} == {
        name: len(content[name]["data"]) for name in TABLE_TO_MODEL
    }
    assert reply["ignored_tables"] == ["alembic_version"]
    job = say(desk, "GetFineTuningJob", id="ft-1")["fine_tuning_job"]
    assert (job["status"], job["learning_rate"], job["adapter_id"]) == ("succeeded", 2e-4, "ad-1")
    for name, field in (("ListDatasets", "datasets"), ("ListModels", "models"), ("ListAdapters", "adapters"),
                        ("ListPrompts", "prompts"), ("ListConfigs", "configs"),
                        ("ListEvaluationJobs", "evaluation_jobs")):  # fmt: skip
        assert {row["id"] for row in content[field]["data"]} <= {row["id"] for row in say(desk, name)[field]}


def test_the_guides_columns_alone_are_what_the_original_knows(desk: Desk) -> None:
    fill(desk)
    content = json.loads(say(desk, "ExportDatabase", guide_columns=True)["exported_json"])
    original = json.loads(ORIGINAL.read_text())
    assert set(content) == set(TABLE_TO_MODEL)
    with sqlite3.connect(":memory:") as connection:
        for name, table in content.items():
            assert set(table["data"][0]) <= set(original[name]["data"][0]), name
            connection.execute(table["schema"])
            known = {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
            assert known == set(table["data"][0])
    connection.close()


def test_the_store_is_backed_up_before_an_import(studio: NewStudio) -> None:
    desk = studio("first")
    add_inputs(desk.store)
    backup = Path(do_import(desk, {"models": [{"id": "z", "type": "project", "name": "z"}]})["backup"])
    if backup.suffix == ".json":
        assert "z" not in {row["id"] for row in json.loads(backup.read_text())["models"]["data"]}
        return
    with sqlite3.connect(backup) as connection:
        assert connection.execute("SELECT id FROM models").fetchall() == [("m",)]
    connection.close()


def test_rows_that_are_all_called_alike_are_numbered_without_a_look_at_all_before(desk: Desk) -> None:
    statements: list[str] = []
    event.listen(desk.store.writer, "before_cursor_execute", lambda *given: statements.append(given[2]))
    rows = [{"id": f"{number}", "type": "project", "name": "same"} for number in range(60)]
    do_import(desk, {"models": rows[:30]})
    few = len(statements)
    do_import(desk, {"models": rows})
    assert len(statements) < 3 * few
    names = {each["name"] for each in say(desk, "ListModels")["models"]}
    assert names == {"same", *(f"same-{number}" for number in range(2, 61))}


def test_rows_that_are_new_and_linked_are_not_looked_for_one_by_one(desk: Desk) -> None:
    looks: list[str] = []

    def imported(*ids: int) -> int:
        datasets = [{"id": f"d{id}", "type": "project_csv", "name": f"d{id}", "location": "x.csv"} for id in ids]
        adapters = [{"id": f"j{id}", "type": "project", "name": f"a{id}", "location": "a"} for id in ids]
        jobs = [
            {"id": f"j{id}", "adapter_name": f"a{id}", "dataset_id": f"d{id}", "adapter_id": f"j{id}"} for id in ids
        ]
        tables = read_tables(json.dumps({"datasets": datasets, "adapters": adapters, "fine_tuning_jobs": jobs}))
        looks.clear()
        with desk.store.write() as unit:
            assert {each.outcome for each in Import(unit.session, tables).run().outcomes} == {"inserted"}
        return sum(each.startswith("SELECT") for each in looks)

    event.listen(desk.store.writer, "before_cursor_execute", lambda *given: looks.append(given[2]))
    assert imported(1, 2) == imported(*range(3, 40))


def test_imports_in_one_second_have_a_backup_each(desk: Desk) -> None:
    backups = [do_import(desk, {"models": [{"id": f"{number}", "type": "project"}]})["backup"] for number in range(4)]
    assert len(set(backups)) == 4
    for number, path in enumerate(map(Path, backups)):
        if path.suffix == ".json":
            held = len(json.loads(path.read_text())["models"]["data"])
        else:
            with sqlite3.connect(path) as connection:
                ((held,),) = connection.execute("SELECT count(*) FROM models")
            connection.close()
        assert held == number


def test_an_imported_name_is_found_again_by_who_adds_it(desk: Desk) -> None:
    told = reasons(do_import(desk, {"models": [{"id": "x", "type": "project", "name": " tiny\n"}]}))
    assert told == {"x": "mended: blanks around its name were left out"}
    again = answer(desk, "EditModel", {"id": "x", "name": "tiny"}, None)
    assert again["ok"] and say(desk, "ListModels")["models"][0]["name"] == "tiny"


def test_a_state_that_is_none_keeps_a_row_out_but_not_one_that_is_there_already(desk: Desk) -> None:
    do_import(desk, {"evaluation_jobs": [{"id": "there", "status": "failed"}]})
    rows = [{"id": each, "status": "done"} for each in ("there", "new")]
    told = reasons(do_import(desk, {"evaluation_jobs": rows}))
    assert told["there"] == "skipped: a row with this id exists and is kept; it differs in status"
    assert told["new"].startswith("failed: status 'done' is none of queued, ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not valid JSON"),
        ("[1]", "must hold an object of tables"),
        ('{"tables": []}', "none of the tables"),
        ('{"models": {"schema": "x"}}', "must be a list of rows"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_export_is_refused_with_the_reason(desk: Desk, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "e.json").write_text(text)
    (breach,) = answer(desk, "ImportDatabase", {"imported_json_path": "e.json"}, None)["breaches"]
    assert breach["rule"] == "DB-103" and told in breach["message"]


def test_files_outside_the_project_and_files_that_exist_are_left_alone(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("mine")
    for path in ("/etc/export.json", "../export.json", "there.json", "."):
        reply = answer(desk, "ExportDatabase", {"path": path}, None)
        assert [each["rule"] for each in reply["breaches"]] == ["DB-101"], path
    assert (tmp_path / "there.json").read_text() == "mine"
    reply = say(desk, "ExportDatabase", path="there.json", overwrite=True)
    assert len((tmp_path / "there.json").read_bytes()) == reply["bytes"] and reply["exported_json"] is None
    assert say(desk, "ExportDatabase", path="new/export.json")["rows"]["configs"] == reply["rows"]["configs"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["export.json"]


def test_every_table_of_the_guide_is_exported_with_all_its_columns(desk: Desk) -> None:
    fill(desk)
    content = json.loads(say(desk, "ExportDatabase")["exported_json"])
    for name, model in TABLE_TO_MODEL.items():
        assert list(content[name]["data"][0]) == [column.name for column in inspect(model).columns]


def test_an_imported_row_leads_no_job_to_files_outside_the_project(desk: Desk, tmp_path: Path) -> None:
    add_inputs(desk.store)
    (tmp_path / "link").symlink_to("/etc")
    for number, location in enumerate(("/etc/passwd", "../../x.csv", "link/passwd")):
        row = {"id": f"e{number}", "type": "project_csv", "name": f"e{number}", "location": location}
        do_import(desk, {"datasets": [{**row, "features": '["q", "a"]'}]})
        asked = {"adapter_name": f"x{number}", "base_model_id": "m", "dataset_id": row["id"], "prompt_id": "p"}
        reply = answer(desk, "StartFineTuningJob", asked, None)
        assert [(each["rule"], each["field"]) for each in reply["breaches"]] == [("MS-108", "dataset_id")], reply
    assert say(desk, "ListFineTuningJobs")["fine_tuning_jobs"] == []


def test_imported_jobs_stand_in_the_log_as_in_their_rows(desk: Desk) -> None:
    do_import(desk, {"fine_tuning_jobs": [{"id": "j", "adapter_name": "x"}], "evaluation_jobs": [{"id": "e"}]})
    from core.events import fold_status
    from core.types import JobStatus

    states: dict[str, JobStatus] = {}
    with desk.store.read() as session:
        for event in events_after(session, 0):
            fold_status(states, event)
        rows = {row.id: row.status for row in session.scalars(select(Job))}
    assert rows == states == {"j": "cancelled", "e": "cancelled"}
