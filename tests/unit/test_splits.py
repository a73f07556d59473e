"""Which split a file belongs to is told by its name; what a directory holds has one SHA-256."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.splits import NoFiles, digest, files_by_split


def lay(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n1\n")
    return root


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["b.csv", "a.jsonl"], {"train": ["a.jsonl", "b.csv"]}),
        (["data/part.csv", "data/rest.csv"], {"train": ["data/part.csv", "data/rest.csv"]}),
        (["rows_dev.csv", "rows_train.csv"], {"train": ["rows_train.csv"], "validation": ["rows_dev.csv"]}),
        (["TRAIN.CSV", "my-test.parquet"], {"train": ["TRAIN.CSV"], "test": ["my-test.parquet"]}),
        (["train/a.csv", "eval/a.csv"], {"train": ["train/a.csv"], "eval": ["eval/a.csv"]}),
        (["train.csv", "more.csv"], {"train": ["train.csv"], "more": ["more.csv"]}),
        (["hard-00000-of-00002.parquet", "hard-00001-of-00002.parquet"], {"hard": ["hard-00000-of-00002.parquet", "hard-00001-of-00002.parquet"]}),
        (["restrained.csv", "latest.csv"], {"train": ["latest.csv", "restrained.csv"]}),
        (["a.csv", ".hidden.csv", "_x/b.csv", "dataset_infos.json", "notes.txt"], {"train": ["a.csv"]}),
    ],
)  # fmt: skip
def test_a_files_name_tells_its_split(tmp_path: Path, names: list[str], splits: dict[str, list[str]]) -> None:
    found = files_by_split(lay(tmp_path, *names))
    assert {
        split: [path.relative_to(tmp_path).as_posix() for path in files] for split, files in found.items()
    } == splits
    assert list(found) == list(splits)


def test_a_link_is_not_followed_and_a_directory_without_data_is_told(tmp_path: Path) -> None:
    lay(tmp_path / "elsewhere", "secret.csv")
    inner = tmp_path / "data"
    inner.mkdir()
    (inner / "a.csv").symlink_to(tmp_path / "elsewhere" / "secret.csv")
    with pytest.raises(NoFiles, match="holds no data files"):
        files_by_split(inner)


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    first = digest(lay(tmp_path / "1", "a.csv", "b.csv"))
    assert first == digest(lay(tmp_path / "2", "b.csv", "a.csv", ".cache"))
    (tmp_path / "2" / "b.csv").rename(tmp_path / "2" / "c.csv")
    assert first != digest(tmp_path / "2")
    (tmp_path / "1" / "a.csv").write_text("x\n2\n")
    assert first != digest(tmp_path / "1")
