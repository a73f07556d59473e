"""Looking a message up by its name imports what it takes, and a message has its rules however it was come by."""

from __future__ import annotations

import subprocess
import sys


def _fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_dashboards_first_question_imports_what_its_answer_is_made_of_only() -> None:
    code = "import sys; from core.messages import parse; parse('GetOverview', {}); print(*sys.modules)"
    loaded = {name.removeprefix("core.messages.") for name in _fresh(code).split() if name.startswith("core.messages.")}
    assert loaded == {"base", "common", "jobs", "overview", "runners"}


def test_a_message_imported_straight_from_its_module_is_checked_by_its_rules() -> None:
    code = (
        "from core.messages.fine_tuning import StartFineTuningJob; from core.rules import check;"
        "print(*(breach.rule for breach in check(StartFineTuningJob(adapter_name='a b'))))"
    )
    assert "FT-002" in _fresh(code).split()


def test_an_unknown_name_is_found_in_no_domain_and_the_nearest_is_named() -> None:
    code = (
        "from core.messages import parse\ntry: parse('ListRunner', {})\n"
        "except ValueError as error: print(error.breaches[0].message)"
    )
    assert _fresh(code) == "there is no message named 'ListRunner'; did you mean ListRunners?"
