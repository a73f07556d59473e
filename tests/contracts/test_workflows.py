"""The workflows of CI are YAML that says what it means: what they call exists, and what they install is pinned."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
FLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def triggers(flow: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = flow[True]  # YAML 1.1 reads `on` as true; GitHub does not
    return found


def steps(flow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in flow["jobs"].values():
        yield from job["steps"]


def commands(flow: dict[Any, Any]) -> list[list[str]]:
    lines = [line for step in steps(flow) for line in step.get("run", "").splitlines() if line.strip()]
    return [shlex.split(line) for line in lines]


def test_there_is_a_workflow_for_everything_that_a_change_must_pass() -> None:
    wanted = {
        "tests": ["make", "test"],
        "check": ["make", "check"],
        "coverage": ["make", "coverage"],
        "config-validation": ["bash", ".ci/validate", "github"],
        "docs": ["python", "docs/generate.py", "--check"],
    }
    assert {name: command for name, command in wanted.items() if command in commands(FLOWS[name])} == wanted


@pytest.mark.parametrize("name", FLOWS)
def test_what_a_workflow_calls_exists(name: str) -> None:
    for program, *words in commands(FLOWS[name]):
        if program == "make":
            assert set(words) <= TARGETS
        elif program == "bash":
            assert (ROOT / words[0]).exists()
        elif words[0] != "-m":
            assert program == "python" and (ROOT / words[0]).exists()
        else:
            assert words[1] == "pip" and "constraints.txt" in words


@pytest.mark.parametrize("name", FLOWS)
def test_actions_are_pinned_and_may_only_read(name: str) -> None:
    for step in steps(FLOWS[name]):
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@(v\d+(\.\d+)*|[0-9a-f]{40})", step["uses"])
        if "setup-python" in step.get("uses", ""):
            assert step["with"]["python-version"] == "3.11"
    assert FLOWS[name]["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in FLOWS[name]["jobs"].values())


def test_configs_are_validated_only_when_they_change() -> None:
    for event in ("push", "pull_request"):
        paths = triggers(FLOWS["config-validation"])[event]["paths"]
        assert {"configs/**", "examples/**"} <= set(paths)


def test_coverage_has_a_threshold_and_leaves_its_reports() -> None:
    import tomllib

    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert told["coverage"]["report"]["fail_under"] >= 75
    assert "--cov" not in told["pytest"]["ini_options"]["addopts"]
    kept = next(step for step in steps(FLOWS["coverage"]) if "upload-artifact" in step.get("uses", ""))
    assert {"coverage.xml", "htmlcov"} <= set(kept["with"]["path"].split())
    assert kept["if"] == "always()"


def validated(directory: Path) -> subprocess.CompletedProcess[str]:
    """What the step of the workflow says in `directory`."""
    fts = f"{shlex.quote(sys.executable)} -m tui.cli.main"
    environment = {"FTS": fts, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    script = ["bash", str(ROOT / ".ci" / "validate"), "github"]
    return subprocess.run(script, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def test_shipped_configs_and_examples_break_no_rule_and_a_broken_one_is_annotated_at_its_line(tmp_path: Path) -> None:
    for name in ("configs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    done = validated(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "configs" / "lora.json").write_text('{\n  "r": 8,\n  "rank": 1\n}\n')
    broken = validated(tmp_path)
    assert broken.returncode == 3
    assert "::error file=configs/lora.json,line=3,col=11,title=CF-102::" in broken.stdout
