"""The look for ways around plain() finds them, and lets alone what is clean."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))
import plain  # noqa: E402

Look = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """What is wrong with the lines of a method of a screen."""
    path, house = tmp_path_factory.mktemp("lint") / "screen.py", plain.learned()

    def lines(text: str) -> list[str]:
        body = "\n".join(f"        {line}" for line in text.splitlines())
        path.write_text(
            f"class Shown(StudioScreen):\n    def draw(self, row, error, count: int, kind: Kind):\n{body}\n"
        )
        found: list[str] = plain.look([path], house)
        return found

    return lines


@pytest.mark.parametrize(
    "text",
    [
        "Static(Content(row['name']), markup=False)",
        "Static(Content(f'job {row[\"name\"]}'), markup=False)",
        "Static(Content('job ' + row['name']), markup=False)",
        "self.query_one('#head', Static).update(row['name'])",
        "box = self.query_one('#head')\nbox.update(Content(row['name']))",
        "self.query_one(Log).write_line(str(error))",
        "self.query_one(Log).write_lines([line for line in row['log']])",
        "self.app.notify(str(error), markup=False)",
        "self.app.notify('done')\nself.app.notify(f'{count:,} [done]')",
        "made = Text()\nmade.append(row['name'])",
        "Text.from_markup('[b]x[/b]')",
        "Content.from_markup('[b]x[/b]')",
        "Static('[b]bold[/b]')",
        "Static(plain(row['name']))",
        "Static('x', markup=True)",
        "Markdown('# x')",
        "print(error)",
        "print(f'{row[\"name\"]:<20}')",
        "self.border_title = row['name']",
        "Input(placeholder=row['name'])",
        "text = 'x'\nfor each in row:\n    text = each\nprint(text)",
        "try:\n    pass\nexcept ValueError as broken:\n    print(broken)",
        "self.name = row['name']\nprint(self.name)",
        "name, value = row\nprint(name)",
        "print('%s' % row)",
        "print(', '.join(row))",
        "self._driver.write(f'\\x1b]9;{row}\\x07')",
        "print(row['count'] * 2)",
        "print(row)  # clean",
    ],
)
def test_text_from_outside_that_is_shown_as_it_came_is_found(look: Look, text: str) -> None:
    assert look(text)


@pytest.mark.parametrize(
    "text",
    [
        "Static(Content(plain(row['name'])), markup=False)",
        'Static(Content(f\'{plain(row["name"])} {count} {row["loss"]:.3f} {row!r}\'), markup=False)',
        "Static('nothing yet', markup=False)",
        "self.app.notify(plain(error, limit=300), markup=False)",
        "text = plain(row['name'])\nprint(text + '!')",
        "print(', '.join(plain(each) for each in row))",
        "lines = [plain(each) for each in row]\nself.query_one(Log).write_lines(lines[3:])",
        "print(kind.title, len(row), '─' * len(row))",
        "self.name = plain(row['name'], limit=9)\nprint(self.name.ljust(9))",
        "name, value = plain(row), 3\nprint(name if value else 'none')",
        "known = {}\nknown.update(row)",
        "lines = []\nlines.append(row)",
        "print(row)  # clean: a script reads it",
    ],
)
def test_what_is_clean_is_let_alone(look: Look, text: str) -> None:
    assert look(text) == []


def test_it_is_part_of_the_checks_and_finds_nothing_in_the_terminal() -> None:
    made = subprocess.run([sys.executable, "tools/plain.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (made.stdout, made.returncode) == ("", 0)
    assert "tools/plain.py" in (ROOT / "Makefile").read_text()
