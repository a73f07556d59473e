"""docs/jobs.md names every state, every verb and every class of failure that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from actors.jobs import LEGAL
from core.failing import CLASSES
from core.messages import job_verbs
from core.messages.base import Command
from core.types import FailureClass, JobStatus
from tui.cli.verbs import VERBS
from tui.screens.jobkeys import JobKeysScreen

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "jobs.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    below = PAGE.split(f"## {heading}\n")[1]
    lines = [line for line in re.split(r"\n## ", below)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_state_is_told_with_what_leads_out_of_it() -> None:
    told = {cells[0].strip("`"): cells for cells in rows("States")}
    assert set(told) == set(JobStatus)
    assert {state for state in JobStatus if told[state][2] == "nothing"} == {to for to in LEGAL if not LEGAL[to]}


def test_every_verb_is_told_with_its_command_its_key_and_its_message() -> None:
    told = rows("What can be done with them")
    messages = {cells[2] for cells in told}
    asked = {name for name, each in vars(job_verbs).items() if isinstance(each, type) and issubclass(each, Command)}
    assert asked - {"Command"} <= messages
    words = {tuple(cells[0].strip("`").split()[1:3]) for cells in told}
    assert words - {("job", "clone")} <= {(verb.noun, verb.verb) for verb in VERBS}
    keys = {key.strip("`") for cells in told for key in cells[1].split()}
    shown = {"plus": "+", "minus": "-"}
    assert keys == {shown.get(binding.key, binding.key) for binding in JobKeysScreen.BINDINGS}  # type: ignore[union-attr]


def test_every_class_of_failure_is_told_by_its_title() -> None:
    told = {cells[0].strip("`"): cells[1] for cells in rows("Why jobs fail")}
    assert told == {each.value: CLASSES[each].title for each in FailureClass}
