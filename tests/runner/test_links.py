"""A link that was put into a registered directory later is not followed to where the studio may not read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import settings
from core.spec import DatasetSource, ModelSource
from gpu_runner.data import load_rows
from gpu_runner.failures import JobError
from gpu_runner.links import keep_inside
from gpu_runner.models import located, verify


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (made := tmp_path / "project").mkdir()
    monkeypatch.setenv("FTS_PROJECT", str(made))
    settings.cache_clear()
    yield made
    settings.cache_clear()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (path := tmp_path / "secret.json").write_text('{"token": "of the host"}')
    return path


def test_a_model_with_a_link_to_elsewhere_is_read_by_nobody(project: Path, secret: Path) -> None:
    (model := project / "model").mkdir()
    source = ModelSource(id="m", name="m", location=str(model))
    assert located(source, None)["local_files_only"]
    (model / "tokenizer.json").symlink_to(secret)
    for read in (lambda: located(source, None), lambda: verify(source)):
        with pytest.raises(JobError, match=r"tokenizer\.json leads to where the studio may not read") as found:
            read()
        assert "FTS_ALLOWED_ROOTS" in found.value.hint


def test_a_dataset_that_a_library_reads_is_not_read_through_a_link_to_elsewhere(project: Path, secret: Path) -> None:
    (rows := project / "rows").mkdir()
    (rows / "dataset_info.json").write_text("{}")
    (rows / "state.json").symlink_to(secret)
    with pytest.raises(JobError, match="dataset d would be read from there"):
        load_rows(DatasetSource(id="d", name="d", type="project", location=str(rows)))


def test_links_that_stay_where_the_studio_may_read_are_followed(project: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub" / "models--tiny"
    (hub / "blobs").mkdir(parents=True)
    (hub / "snapshots" / "1").mkdir(parents=True)
    (hub / "blobs" / "a").write_text("{}")
    (hub / "snapshots" / "1" / "config.json").symlink_to("../../blobs/a")
    (shared := project / "shared").mkdir()
    (shared / "config.json").symlink_to(project / "other.json")
    keep_inside(hub / "snapshots" / "1", "the model")
    keep_inside(shared, "the model")


def test_a_directory_that_became_a_link_or_holds_a_circle_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (project / "model").symlink_to(tmp_path / "elsewhere")
    (round_about := project / "round").mkdir()
    (round_about / "a").symlink_to(round_about / "a")
    for each in (project / "model", round_about):
        with pytest.raises(JobError, match="may not read"):
            keep_inside(each, "the model")


def test_neither_a_link_above_a_model_nor_one_behind_another_leads_to_elsewhere(project: Path, secret: Path) -> None:
    (above := project / "models").mkdir()
    (model := above / "model").mkdir()
    (other := project / "other").mkdir()
    (model / "more").symlink_to(other)
    keep_inside(model, "the model")
    (other / "config.json").symlink_to(secret)
    with pytest.raises(JobError, match=r"config\.json leads to where the studio may not read"):
        keep_inside(model, "the model")
    (elsewhere := secret.parent / "elsewhere").mkdir()
    (elsewhere / "model").mkdir()
    above.rename(project / "moved")
    above.symlink_to(elsewhere)
    with pytest.raises(JobError, match="model leads to where the studio may not read"):
        keep_inside(model, "the model")
