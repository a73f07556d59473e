"""Hostile text, paths and templates meet one gate each."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.paths import PathRefused, inside, inside_any
from core.template import TemplateError, columns, problems, render
from core.text import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüße 😀 漢字", "grüße 😀 漢字"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("a\u200bb", "a\\u200bb"),
        ("a\tb\r\nc", "a b  c"),
        ("\ud800", "\\ud800"),
        ("Z" + "\u0300\u0316" * 100 + "algo", "Z" + "\u0300\u0316" * 4 + "…algo"),
        (7, "7"),
        (None, "None"),
    ],
)
def test_text_is_shown_without_what_a_terminal_would_obey(text: object, shown: str) -> None:
    assert plain(text) == shown


def test_lines_stay_only_when_asked_for() -> None:
    assert plain("a\nb\x1b", lines=True) == "a\nb\\x1b"


@given(st.text(st.characters(), max_size=300), st.integers(2, 100), st.booleans())
def test_no_text_gets_a_control_character_through_or_more_than_the_limit(text: str, limit: int, lines: bool) -> None:
    shown = plain(text, limit=limit, lines=lines)
    assert len(shown) <= limit
    unsafe = [
        char for char in shown if unicodedata.category(char)[0] in "CZ" and char not in " \u200d\u00a0" and char != "\n"
    ]
    assert not [char for char in unsafe if unicodedata.category(char) != "Zs"]
    assert lines or "\n" not in shown


@pytest.mark.parametrize("path", ["a.csv", "sub/../a.csv", "./a.csv", "sub"])
def test_paths_below_the_root_are_given_resolved(tmp_path: Path, path: str) -> None:
    (tmp_path / "sub").mkdir()
    assert inside(tmp_path, path).is_relative_to(tmp_path.resolve())
    assert inside(tmp_path, tmp_path / path) == inside(tmp_path, path)


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../x",
        "sub/../../x",
        "/etc/passwd",
        "~",
        "~root",
        "~nobody-at-all",
        "a\0b",
        "link/x",
        "//etc",
        "sub/link2",
    ],
)
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    (root / "sub" / "link2").symlink_to("/etc")
    with pytest.raises(PathRefused):
        inside(root, path)


def test_a_root_whose_name_begins_another_is_not_the_other(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(PathRefused):
        inside(tmp_path / "root", tmp_path / "root-of-others" / "x")


def test_more_roots_are_allowed_but_relative_paths_start_from_the_first(tmp_path: Path) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    assert inside_any(roots, "x") == (tmp_path / "a" / "x").resolve()
    assert inside_any(roots, tmp_path / "b" / "x") == (tmp_path / "b" / "x").resolve()
    with pytest.raises(PathRefused, match="FTS_ALLOWED_ROOTS"):
        inside_any(roots, tmp_path / "c")


def test_a_template_takes_columns_and_nothing_else() -> None:
    assert render("{a} and {a}: {{{b c}}}", {"a": "x", "b c": None}) == "x and x: {}"
    assert columns("{b} {a} {b} {{c}}") == ["b", "a"]
    assert render("{größe}", {"größe": 3}) == "3"
    assert render("{a}", {"a": "{b}"}) == "{b}"


@pytest.mark.parametrize(
    "template",
    [
        "{",
        "}",
        "{}",
        "{0.__class__}",
        "{a.b}",
        "{a[0]}",
        "{a!r}",
        "{a:>99999999}",
        "{a:{b}}",
        "{ a}",
        "{a }",
        "{a{b}}",
        "{a}}",
    ],
)
def test_anything_more_than_a_bare_column_is_refused(template: str) -> None:
    with pytest.raises(TemplateError):
        columns(template)
    with pytest.raises(TemplateError):
        render(template, {"a": "x", "b": "y", "": "z", "0": "w"})


def test_columns_that_a_dataset_lacks_are_named_with_those_it_has() -> None:
    assert problems("{a} {b}", ["a", "b"]) == []
    assert problems("{x} {a}", ["a"]) == ["{x} is not a column of the dataset; its columns: a"]
    assert len(problems("{", ["a"])) == 1
    with pytest.raises(TemplateError, match="'x'"):
        render("{x}", {"a": 1})


@given(st.text(max_size=60), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4))
def test_no_template_does_more_than_fail_as_a_template(template: str, row: dict[str, str]) -> None:
    try:
        render(template, row)
    except TemplateError:
        pass
