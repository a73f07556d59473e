"""A runner offers what it can run, and nothing else."""

from __future__ import annotations

from pathlib import Path

from core.settings import Settings
from gpu_runner import offering


def test_scripts_are_offered_where_there_is_a_directory_of_them(tmp_path: Path) -> None:
    using = Settings(home=tmp_path / ".app", project=tmp_path)
    assert offering.engines(using) == [*offering.OWN]
    (tmp_path / "scripts").mkdir()
    assert offering.engines(using) == [*offering.OWN, "user_script"]
