"""Files of what is removed (docs/decisions.md, D-115): freed when asked for, only the studio's own, and never those that another row needs."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actors import freeing
from actors.answering import answer
from actors.desk import Desk
from actors.freeing import Candidate
from actors.ticking import RETAIN_EVERY, tick
from core.store.tables import Adapter, Dataset, EvaluationJob, FineTuningJob, Job, Model
from tests.handlers.test_removal import batch
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, say, start


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def fill(path: Path, number: int = 2) -> Path:
    """A directory with `number` files of a hundred bytes each."""
    path.mkdir(parents=True)
    for each in range(number):
        (path / f"{each}.bin").write_bytes(b"x" * 100)
    return path


def add(desk: Desk, *rows: Any) -> None:
    with desk.store.write() as unit:
        unit.session.add_all(rows)


def adapter(desk: Desk, location: Path | str, id: str = "a", **fields: Any) -> str:
    add(desk, Adapter(id=id, type="project", name=id, model_id="m", location=str(location), **fields))
    return id


def trained(
    desk: Desk, out_dir: Path, *, registered: bool = True, kind: str = "adapter", **fields: Any
) -> tuple[str, Path]:
    """A job that has ended after two attempts, each with an adapter; the second one's is registered."""
    asked = {} if out_dir == desk.settings.root.parent / "data/adapters" else {"out_dir": str(out_dir)}
    id, a = start(desk, f"j{uuid4().hex[:6]}", auto_add_adapter=registered, **asked, **fields), Speaker(desk)
    a.begin(id)
    for attempt in "12":
        fill(out_dir / id / attempt)
        fill(desk.settings.artifacts_root / "jobs" / id / attempt, 3)
    a.tell(id, {"type": "artifact", "at": 1.0, "kind": kind, "path": str(out_dir / id / "2")}, SUCCEEDED, begin=10)
    return id, out_dir / id


@pytest.fixture
def adapters(desk: Desk) -> Path:
    """Where the studio keeps adapters."""
    return desk.settings.project / "data" / "adapters"


def remove(desk: Desk, name: str, id: str) -> dict[str, Any]:
    reply = say(desk, name, id=id, remove_files=True)
    assert reply["removed"]
    return reply


def test_a_jobs_files_stay_unless_asked_for(desk: Desk, adapters: Path) -> None:
    id, out = trained(desk, adapters)
    reply = say(desk, "RemoveFineTuningJob", id=id)
    assert (reply["paths"], reply["freed_bytes"]) == ([], 0)
    assert (out / "1").is_dir() and (desk.settings.artifacts_root / "jobs" / id).is_dir()


def test_a_jobs_files_go_but_for_the_adapter_that_is_registered(desk: Desk, adapters: Path) -> None:
    id, out = trained(desk, adapters)
    own = desk.settings.artifacts_root / "jobs" / id
    reply = remove(desk, "RemoveFineTuningJob", id)
    assert reply["paths"] == [str(own), str(out / "1")]
    assert reply["freed_bytes"] == 6 * 100 + 2 * 100
    assert [each["path"] for each in reply["kept"]] == [str(out / "2")]
    assert "points there" in reply["kept"][0]["reason"]
    assert not own.exists()
    assert [each.name for each in out.iterdir()] == ["2"]


def test_an_adapter_that_was_never_registered_goes_with_its_job(desk: Desk, adapters: Path) -> None:
    id, out = trained(desk, adapters, registered=False)
    reply = remove(desk, "RemoveFineTuningJob", id)
    assert reply["freed_bytes"] == 1000
    assert not out.exists(), "the directory of the attempts goes with the last of them"
    assert adapters.is_dir()


def test_an_adapters_files_go_with_it_from_where_the_studio_keeps_them(desk: Desk, adapters: Path) -> None:
    _, out = trained(desk, adapters)
    id = say(desk, "ListAdapters")["adapters"][0]["id"]
    reply = remove(desk, "RemoveAdapter", id)
    assert (reply["paths"], reply["freed_bytes"], reply["kept"]) == ([str(out / "2")], 200, [])
    assert [each.name for each in out.iterdir()] == ["1"]


@pytest.mark.parametrize("where", ["data/adapters", "elsewhere"])
def test_a_models_files_go_with_it_when_full_fine_tuning_made_them(desk: Desk, tmp_path: Path, where: str) -> None:
    place = desk.settings.project / where
    place.mkdir(parents=True, exist_ok=True)
    _, out = trained(desk, place, kind="model", method="full")
    (made,) = (each for each in say(desk, "ListModels")["models"] if each["id"] != "m")
    reply = remove(desk, "RemoveModel", made["id"])
    assert (reply["paths"], reply["freed_bytes"], reply["kept"]) == ([str(out / "2")], 200, [])
    assert [each.name for each in out.iterdir()] == ["1"]


def test_a_models_files_stay_unless_asked_for_and_where_another_row_points_there(desk: Desk, adapters: Path) -> None:
    _, out = trained(desk, adapters, kind="model", method="full")
    (made,) = (each for each in say(desk, "ListModels")["models"] if each["id"] != "m")
    add(desk, Model(id="alike", type="project", name="alike", location=str(out / "2")))
    reply = remove(desk, "RemoveModel", made["id"])
    assert reply["paths"] == [] and "points there" in reply["kept"][0]["reason"]
    assert say(desk, "RemoveModel", id="alike")["paths"] == [] and len(list((out / "2").iterdir())) == 2


def test_a_model_that_a_user_supplied_is_never_touched(desk: Desk, tmp_path: Path) -> None:
    mine = fill(tmp_path / "mine" / "model")
    add(desk, Model(id="mine", type="project", name="mine", location=str(mine)))
    reply = remove(desk, "RemoveModel", "mine")
    assert reply["kept"] == [{"path": str(mine), "reason": "it is not where the studio keeps models"}]
    assert reply["paths"] == [] and len(list(mine.iterdir())) == 2


def test_an_adapter_goes_from_the_directory_that_its_job_was_told_to_use(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    _, out = trained(desk, tmp_path / "elsewhere")
    id = say(desk, "ListAdapters")["adapters"][0]["id"]
    assert remove(desk, "RemoveAdapter", id)["paths"] == [str(out / "2")]
    assert not (out / "2").exists()


def test_what_a_user_supplied_elsewhere_is_never_touched(desk: Desk, tmp_path: Path) -> None:
    mine = fill(tmp_path / "mine" / "adapter")
    reply = remove(desk, "RemoveAdapter", adapter(desk, mine))
    assert reply["paths"] == []
    assert reply["kept"] == [{"path": str(mine), "reason": "it is not where the studio keeps adapters"}]
    assert len(list(mine.iterdir())) == 2


@pytest.mark.parametrize("place", [".", "..", "../..", "x/../.."])
def test_a_location_that_climbs_is_never_touched(desk: Desk, adapters: Path, place: str) -> None:
    fill(adapters / "other")
    reply = remove(desk, "RemoveAdapter", adapter(desk, f"data/adapters/{place}"))
    assert reply["paths"] == [] and len(reply["kept"]) == 1
    assert (adapters / "other" / "0.bin").exists()


@pytest.mark.parametrize("row", [Adapter, Model, Dataset])
@pytest.mark.parametrize("where", ["same", "same/inner", "."])
def test_files_that_another_row_points_at_are_kept(desk: Desk, adapters: Path, row: type[Any], where: str) -> None:
    fill(adapters / "same" / "inner")
    add(desk, row(id="other", type="project", name="other", location=f"data/adapters/{where}"))
    reply = remove(desk, "RemoveAdapter", adapter(desk, adapters / "same"))
    assert reply["paths"] == []
    assert "'other' points there" in reply["kept"][0]["reason"]
    assert (adapters / "same" / "inner" / "0.bin").exists()


def test_a_directory_that_jobs_write_to_is_kept(desk: Desk, adapters: Path) -> None:
    id = start(desk, out_dir=str(fill(adapters / "shared")))
    reply = remove(desk, "RemoveAdapter", adapter(desk, adapters / "shared"))
    assert reply["kept"][0]["reason"] == f"job {id} points there"
    inside = remove(desk, "RemoveAdapter", adapter(desk, fill(adapters / "shared" / id / "1"), "b"))
    assert inside["kept"][0]["reason"] == f"job {id} points there"


def test_links_are_never_followed_out(desk: Desk, adapters: Path, tmp_path: Path) -> None:
    precious = fill(tmp_path / "precious")
    adapters.mkdir(parents=True)
    (adapters / "link").symlink_to(precious)
    reply = remove(desk, "RemoveAdapter", adapter(desk, adapters / "link"))
    assert reply["kept"] == [{"path": str(adapters / "link"), "reason": "it is a link"}]
    fill(adapters / "real")
    (adapters / "real" / "out").symlink_to(precious)
    assert remove(desk, "RemoveAdapter", adapter(desk, adapters / "real"))["freed_bytes"] < 300
    assert not (adapters / "real").exists()
    (tmp_path / "far").mkdir()
    fill(tmp_path / "far" / "b")
    (adapters / "way").symlink_to(tmp_path / "far")
    assert remove(desk, "RemoveAdapter", adapter(desk, adapters / "way" / "b"))["paths"] == []
    assert len(list(precious.iterdir())) == len(list((tmp_path / "far" / "b").iterdir())) == 2


@pytest.mark.parametrize("id", ["src", "..", "../src", "src/deep", ".", "other/1"])
def test_a_job_that_came_by_import_can_name_no_directory_of_the_projects(desk: Desk, tmp_path: Path, id: str) -> None:
    fill(tmp_path / "src" / "1")
    fill(tmp_path / "src" / "deep" / "1")
    fill(desk.settings.artifacts_root / "src" / "1")
    fill(desk.settings.artifacts_root / "jobs" / "other" / "1")
    add(desk, FineTuningJob(id=id, adapter_name="x", out_dir=str(tmp_path)))
    reply = remove(desk, "RemoveFineTuningJob", id)
    assert reply["paths"] == []
    assert len(list(tmp_path.glob("src/**/*.bin"))) == 4
    assert len(list(desk.settings.artifacts_root.glob("**/*.bin"))) == 4


def test_an_evaluation_that_names_anothers_batch_takes_neither_its_row_nor_its_files(
    desk: Desk, adapters: Path
) -> None:
    id, _ = trained(desk, adapters)
    add(desk, EvaluationJob(id="e", parent_job_id=id, run_number=1, answers=f"jobs/{id}/1"))
    add(desk, EvaluationJob(id="f", parent_job_id="..", run_number=1, answers="jobs/../x"))
    for each in "ef":
        say(desk, "RemoveEvaluationJob", id=each)
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["status"] == "succeeded"
    assert (desk.settings.artifacts_root / "jobs" / id / "2").exists()


def test_the_answers_of_one_evaluation_go_and_all_of_the_batch_with_its_last(desk: Desk) -> None:
    add(desk, Adapter(id="a", type="project", name="a", model_id="m", location="a"))
    parent, (one, two) = batch(desk, None, "a")
    own = fill(desk.settings.artifacts_root / "jobs" / parent / "1")
    for child in (one, two):
        (own / f"answers-{child}.jsonl").write_text("{}\n")
    with desk.store.write() as unit:
        unit.session.get_one(Job, parent).status = "succeeded"
        unit.session.get_one(EvaluationJob, one).answers = f"jobs/{parent}/1/answers-{one}.jsonl"
    reply = remove(desk, "RemoveEvaluationJob", one)
    assert (reply["paths"], reply["freed_bytes"]) == ([str(own / f"answers-{one}.jsonl")], 3)
    assert (own / f"answers-{two}.jsonl").exists()
    assert remove(desk, "RemoveEvaluationJob", two)["paths"] == [str(own.parent)]
    assert not own.parent.exists()


def test_what_a_process_still_writes_to_goes_when_it_has_ended(desk: Desk, adapters: Path) -> None:
    id, _ = trained(desk, adapters)
    own = desk.settings.artifacts_root / "jobs" / id
    with (own / "2" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert str(own) in remove(desk, "RemoveFineTuningJob", id)["paths"]
        tick(desk, RETAIN_EVERY * 10)
        assert (own / "2" / "0.bin").exists()
    tick(desk, RETAIN_EVERY * 11)
    assert not own.exists()


def left(desk: Desk, path: Path, root: Path) -> None:
    """What a process leaves that dies once the rows are gone, before the files are."""
    with desk.store.write() as unit:
        freeing.leave(desk, unit, [Candidate(path, root)])
        unit.afterwards.clear()


def test_files_that_a_killed_process_left_are_freed_by_the_tick(desk: Desk, adapters: Path) -> None:
    path = fill(adapters / "gone")
    left(desk, path, adapters)
    assert path.exists()
    tick(desk, RETAIN_EVERY * 10)
    assert not path.exists() and adapters.exists()


def test_files_that_a_new_row_points_at_are_not_freed_any_more(desk: Desk, adapters: Path) -> None:
    path = fill(adapters / "back")
    left(desk, path, adapters)
    id = adapter(desk, path)
    tick(desk, RETAIN_EVERY * 10)
    assert path.exists()
    say(desk, "RemoveAdapter", id=id)
    tick(desk, RETAIN_EVERY * 11)
    assert path.exists(), "the second removal did not ask for it"


def test_files_of_a_row_that_came_while_a_sweep_looked_at_their_lock_stay(
    desk: Desk, adapters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fill(adapters / "new")
    left(desk, path, adapters)
    held = freeing._held

    def stored(desk: Desk, each: Path) -> bool:
        adapter(desk, path)
        return held(desk, each)

    monkeypatch.setattr(freeing, "_held", stored)
    tick(desk, RETAIN_EVERY * 10)
    assert path.exists()


def test_a_refused_removal_frees_nothing(desk: Desk, adapters: Path) -> None:
    id = adapter(desk, fill(adapters / "used"))
    batch(desk, id)
    assert answer(desk, "RemoveAdapter", {"id": id, "remove_files": True}, None)["code"] == "refused"
    tick(desk, RETAIN_EVERY * 10)
    assert len(list((adapters / "used").iterdir())) == 2
