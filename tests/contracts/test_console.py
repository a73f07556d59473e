"""The CLI prints, reads and asks through one door, so that the dashboard can run any of its commands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from core.errors import NotFound
from core.settings import settings
from tests.tui.fake import filled
from tui import cli
from tui.cli import console, output
from tui.cli.fields import as_text
from tui.cli.main import main, parser

# What a dashboard never runs: its own beginning, the processes behind it, and the door itself.
APART = {"main.py", "supervisor.py", "web.py", "demo.py", "console.py", "home.py", "procfile.py"}
FILES = sorted(path for path in Path(cli.__file__).parent.glob("*.py") if path.name not in APART)


def ways_around(source: str) -> Iterator[str]:
    """Calls that print, read or connect by themselves."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "input"):
            yield f"line {node.lineno}: {node.func.id}()"
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.stdin":
            yield f"line {node.lineno}: {ast.unparse(node)}"
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("StudioClient", "sys.stdout.write")
            and not node.args
        ):
            yield f"line {node.lineno}: {ast.unparse(node.func)}()"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_command_goes_around_the_door(path: Path) -> None:
    assert not list(ways_around(path.read_text(encoding="utf-8"))), (
        "use say(), warn() and client() of tui/cli/console.py"
    )


def test_a_way_around_is_seen() -> None:
    found = list(ways_around("import sys\nprint(1)\nsys.stdin.read()\nwith StudioClient() as c: pass"))
    assert len(found) == 3


def test_inside_a_dashboard_everything_goes_to_it_and_nothing_to_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    written: list[tuple[str, bool]] = []
    there = console.Inside(lambda text, error: written.append((text, error)), 60, lambda: nullcontext(filled()))  # type: ignore[arg-type]
    with console.inside(there):
        output.show({"removed": False, "id": "x"}, "json")
        output.fail(NotFound("there is none"), "table")
        assert console.room() == 60 and not console.on_terminal()
        with pytest.raises(SystemExit):
            parser().parse_args(["job", "--help"])
        with pytest.raises(SystemExit):
            parser().parse_args(["job", "nonsense"])
        with console.client() as client:
            assert client is not None
    assert capfd.readouterr() == ("", "")
    told = "".join(text for text, _ in written)
    assert '"removed": false' in told and "there is none" in told and "usage: fts job" in told
    assert any("there is no fts job nonsense" in text and error for text, error in written)
    assert console.host() is None


@pytest.mark.parametrize(("readonly", "text"), [(False, "@-"), (True, "@-"), (True, "@/etc/hostname")])
def test_a_dashboard_reads_no_keys_as_a_file_and_one_that_only_looks_no_files(readonly: bool, text: str) -> None:
    import argparse

    there = console.Inside(lambda text, error: None, 80, lambda: nullcontext(filled()), readonly)  # type: ignore[arg-type]
    with console.inside(there), pytest.raises(argparse.ArgumentTypeError, match="can't read"):
        as_text(text)


@pytest.mark.parametrize(
    ("words", "readonly"), [([], False), (["--readonly"], True), (["up"], False), (["up", "--readonly"], True)]
)
def test_a_dashboard_that_only_looks_is_opened_by_an_option(
    words: list[str], readonly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[bool] = []
    monkeypatch.setenv("FTS_REDIS_URL", "redis://nowhere")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    def run(open_job: str | None = None, *, readonly: bool = False) -> int:
        opened.append(readonly)
        return 0

    monkeypatch.setattr("tui.app.run", run)
    monkeypatch.setattr("tui.cli.up.start", lambda using, home: True)
    settings.cache_clear()
    with pytest.raises(SystemExit) as ended:
        main(words)
    settings.cache_clear()
    assert ended.value.code == 0 and opened == [readonly]


def test_beside_a_command_it_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--readonly", "job", "list"])
    assert ended.value.code == 2 and "--readonly is for the dashboard" in capsys.readouterr().err
