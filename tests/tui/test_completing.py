"""What may come next in a command line, whatever is typed and whatever resources are called."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.tui.rows import HOSTILE
from tui.cli.main import parser
from tui.cli.references import BATCH, DATASET, JOB, Listing
from tui.completing import Completer, cut, entries, nameable, taken
from tui.history import History, keepable

NAMES = {"dataset": [("my tickets", "d1"), ("orders", "d2")], "job": [("tickets-1", "j1")], "model": [("tiny", "m1")]}
PAGES = {"datasets": "View Datasets", "jobs": "Monitor Training Jobs"}


def names(listing: Listing, typed: str) -> Iterable[tuple[str, str]]:
    return NAMES.get(listing.noun, [])


@pytest.fixture(scope="module")
def completer() -> Completer:
    files = {("", False): [("data", True), ("rows.csv", False), (".hidden", False), ("\x1b[2J.csv", False)]}
    files |= {("data/", False): [("more.csv", False)], ("", True): [("note.txt", False)]}
    return Completer(parser(), PAGES, names, lambda directory, here: files.get((directory, here), []))


def offered(completer: Completer, line: str) -> list[str]:
    return [each.text for each in completer.candidates(line)[1]]


def test_pages_come_before_commands_and_what_only_holds_the_text_where_nothing_begins_so(completer: Completer) -> None:
    assert offered(completer, "da") == ["datasets", "dataset", "database"]
    assert "checkpoint" in offered(completer, "job eckp") and offered(completer, "job zzz") == []
    assert offered(completer, "job c") == ["cancel", "checkpoint", "clone"]
    assert "jobs" not in offered(completer, "fts j") and "job" in offered(completer, "fts j")


def test_names_options_and_choices_are_offered_where_they_are_wanted(completer: Completer) -> None:
    assert offered(completer, "job cancel ")[0] == "tickets-1"
    assert offered(completer, "job submit --dataset ") == ["'my tickets'", "orders"]
    assert offered(completer, "job submit --dataset-id my") == ["'my tickets'"]
    assert offered(completer, "job submit --dataset=or") == ["--dataset=orders"]
    assert offered(completer, "job submit --adapter-n") == ["--adapter-name"]
    assert "--adapter-name" not in offered(completer, "job submit --adapter-name x --adapter-n")
    assert offered(completer, "job list -o ") == ["table", "json", "yaml"]
    assert "project_csv" in offered(completer, "dataset add --type ")
    assert offered(completer, "evaluation submit --pair t") == ["tiny"]
    assert offered(completer, "send CancelJ") == ["CancelJob"]
    assert offered(completer, "no such thing ") == []


def test_files_are_offered_for_paths_and_behind_an_at_and_hidden_or_hostile_ones_are_not(completer: Completer) -> None:
    assert offered(completer, "dataset add --location ") == ["data/", "rows.csv"]
    assert offered(completer, "dataset add --location data/") == ["data/more.csv"]
    assert offered(completer, "prompt add --prompt-template @") == ["@note.txt"]
    typed, found = completer.candidates("dataset add --location da")
    assert taken("dataset add --location da", typed, found[0]) == "dataset add --location data/"


def test_what_is_taken_is_read_back_as_the_name_that_was_offered(completer: Completer) -> None:
    for line in (
        "job submit --dataset my",
        "job submit --dataset 'my t",
        'job submit --dataset "my t',
        "job submit --dataset my\\ t",
    ):
        typed, found = completer.candidates(line)
        assert shlex.split(taken(line, typed, found[0]))[-1] == "my tickets"


@pytest.mark.parametrize(
    "name", [HOSTILE, "x" * 10_000, "-rf", "@/etc/passwd", "\x1b]52;c;eA==\x07", "a\nb", "\u202eevil"]
)
def test_what_can_not_be_typed_safely_is_called_by_its_id(name: str) -> None:
    (text, help), *_ = nameable([{"id": "abc", "name": name}], DATASET)
    assert text == "abc" and len(help) <= 80 and help.isprintable()


def test_a_quote_in_a_name_stays_part_of_it(completer: Completer) -> None:
    name = """it's "; rm -rf / #"""
    made = Completer(parser(), {}, lambda listing, typed: nameable([{"id": "1", "name": name}], DATASET), lambda *_: [])
    typed, found = made.candidates("dataset show it")
    assert shlex.split(taken("dataset show it", typed, found[0])) == ["dataset", "show", name]


def test_rows_of_every_listing_can_be_called(completer: Completer) -> None:
    assert list(nameable([{"id": "j", "name": None, "adapter_name": "a1"}], JOB)) == [("a1", "j")]
    assert list(nameable([{"id": "e", "parent_job_id": "p", "name": None}], BATCH)) == [("p", "")]


@pytest.mark.parametrize(
    ("line", "words", "last"),
    [
        ("", [], ""),
        ("job ", ["job"], ""),
        ("job can", ["job"], "can"),
        ("x 'a b", ["x"], "a b"),
        ("x 'a b' c", ["x", "a b"], "c"),
        ('x "a \\" b" ', ["x", 'a " b'], ""),
        ("x a\\ b", ["x"], "a b"),
        ("x ''", ["x"], ""),
    ],
)
def test_a_line_is_cut_as_a_shell_cuts_it(line: str, words: list[str], last: str) -> None:
    typed = cut(line)
    assert (typed.words, typed.last) == (words, last)


def test_a_directory_that_can_not_be_read_has_nothing_to_offer(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.csv").touch()
    assert entries(tmp_path) == [("a.csv", False), ("b", True)]
    assert entries(tmp_path / "none") == [] == entries(Path("a\0b"))


# ─── the lines that were typed ────────────────────────────────────────────────────────────────────


def test_lines_are_remembered_in_the_order_of_their_last_use_also_by_another_dashboard(tmp_path: Path) -> None:
    path = tmp_path / "dashboard" / "history"
    one, other = History(path), History(path)
    for line in ("jobs", "job list", "jobs"):
        one.add(line)
    other.add("datasets")
    assert History(path).lines == ["job list", "jobs", "datasets"]
    assert History(path).beginning("job") == ["jobs", "job list"]
    assert path.stat().st_mode & 0o077 == 0 and [each.name for each in path.parent.iterdir()] == ["history"]


SECRETS = (
    'send AddModel --json \'{"token": "x"}\'',
    "dataset add --name hf_abcdefghijklmnop",
    "serve m --name fts-abcdefghijklmnopqrstuvwxyz",
    'send X --json \'{"url": "redis://me:pass@host/0"}\'',
    "send X --json '{\"password\": 1}'",
    " job list",
    "job show \x1b[31mred",
)


@pytest.mark.parametrize("line", SECRETS)
def test_what_may_be_secret_is_not_written_down(line: str, tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    history.add(line)
    assert not keepable(line) and not history.lines and not history.path.exists()


@pytest.mark.parametrize(
    "line", ["job submit --key abc --num-epochs 2", "job logs x --grep tokens", "evaluation rows b"]
)
def test_what_is_no_secret_is_kept(line: str) -> None:
    assert keepable(line)


def test_a_history_that_can_not_be_read_or_written_stands_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b"jobs\n\xff\xfe\n\x1b[31mred\ndatasets\n")
    assert History(path).lines[-1] == "datasets" and all(line.isprintable() for line in History(path).lines)
    away = History(tmp_path / "history" / "below" / "a file")
    away.add("jobs")
    assert away.lines == ["jobs"]
