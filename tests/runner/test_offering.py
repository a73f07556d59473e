"""A runner offers what it can run, and nothing else."""

from __future__ import annotations

from pathlib import Path

from core.settings import Settings
from gpu_runner import offering

OWN = [*offering.OWN, "endpoint"]


def test_scripts_are_offered_where_there_is_a_directory_of_them(tmp_path: Path) -> None:
    using = Settings(home=tmp_path / ".app", project=tmp_path)
    assert offering.engines(using) == OWN
    (tmp_path / "scripts").mkdir()
    assert offering.engines(using) == [*OWN, "user_script"]


def test_vllm_is_offered_where_it_can_be_started(tmp_path: Path) -> None:
    program = tmp_path / "vllm"
    using = Settings(home=tmp_path / ".app", project=tmp_path, vllm=str(program))
    assert "vllm" not in offering.engines(using)
    program.write_text("#!/bin/sh\n")
    assert "vllm" not in offering.engines(using)
    program.chmod(0o755)
    assert offering.engines(using) == [*OWN, "vllm"]
