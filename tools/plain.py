"""Refuse ways around plain(): what the dashboard and the command show is a literal, or went through the gate.

    python tools/plain.py [FILE …]        all of tui/ when none is named

Names, rows, log lines and errors come from users, models and files. Textual reads a string as markup unless it is told not
to, and a terminal obeys what it is sent; so each text that is handed to a widget, or printed, must be clean where that is
seen: made of literals, of numbers written as such ({x:.1f}), of repr (!r), of calls of `plain`, or of functions of the
studio whose every result is clean in this sense. A local name is clean when all that is assigned to it is, an attribute
of `self` when all that its class assigns to it is.

A line that says `# clean: WHY` is exempt. What can't be seen here (an editor draws what its user pasted) meets `tui.door`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from scopes import DRAWN, House, Scope, called, functions, is_text, own

ROOT = Path(__file__).resolve().parent.parent
SHOWS = {  # calls whose first text is shown
    "Static", "Label", "Button", "Content", "Text", "Segment", "Option", "Selection", "Checkbox", "RadioButton", "Digits",
    "notify", "print", "write_line", "write_lines", "update", "write", "append", "styled", "Link", "Tab",
}  # fmt: skip
MARKUP = {
    "Static",
    "Label",
    "notify",
    "Checkbox",
    "RadioButton",
    "Button",
}  # text is markup there, unless told otherwise
MARKED = {"add_column", "add_columns", "add_row", "add_rows"}  # a table reads every string as markup
TITLES = {"border_title", "border_subtitle", "tooltip", "placeholder", "label", "sub_title", "title"}
FORBIDDEN = {
    "from_markup": "no text is markup",
    "from_ansi": "no text carries escapes",
    "Markdown": "it can carry links",
}
EXEMPT = re.compile(r"# clean: \S")


def breaches(path: Path, tree: ast.Module, house: House) -> Iterator[tuple[int, str]]:
    """(line, what is wrong with it) of a file."""
    scopes = [(Scope(house, path, function, owner), function) for owner, function in functions(tree)]
    for scope, body in [(Scope(house, path, tree, ""), tree), *scopes]:
        for node in own(body):
            if isinstance(node, ast.Call):
                yield from _of_call(node, scope)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                target = node.targets[0]
                if target.attr in TITLES - {"title"} and not scope.clean(node.value):
                    yield node.lineno, f".{target.attr} = {ast.unparse(node.value)}"


def _of_call(node: ast.Call, scope: Scope) -> Iterator[tuple[int, str]]:
    name = called(node)
    words = {each.arg: each.value for each in node.keywords}
    if name in FORBIDDEN:
        yield node.lineno, f"{name}: {FORBIDDEN[name]}"
    if isinstance(words.get("markup"), ast.Constant) and words["markup"].value is True:  # type: ignore[union-attr]
        yield node.lineno, "markup=True: no text is markup"
    if (
        name in MARKUP
        and node.args
        and not _literal(node.args[0])
        and not _drawn(node.args[0])
        and "markup" not in words
    ):
        yield node.lineno, f"{name}(…) reads markup: say markup=False"
    if name in MARKED and any(
        isinstance(each, ast.JoinedStr | ast.BinOp | ast.Call) and not _drawn(each) for each in node.args
    ):
        yield node.lineno, f"{name}(…) reads markup: give it Text"
    for word in TITLES & set(words) - (set() if name in SHOWS else {"label", "title"}):
        if not scope.clean(words[word]):
            yield node.lineno, f"{word}={ast.unparse(words[word])}"
    if name in SHOWS and _is_shown(node, name, scope):
        for each in node.args if name in ("print", "assemble") else node.args[:1]:
            if not scope.clean(each):
                yield node.lineno, f"{name}({ast.unparse(each)})"


def _is_shown(node: ast.Call, name: str, scope: Scope) -> bool:
    """Whether a method of a common name is one that shows: dicts have `update` too, lists `append`, files `write`."""
    if not isinstance(node.func, ast.Attribute):
        return name not in ("update", "append", "write") and name not in scope.house.classes  # ours look themselves
    receiver = ast.unparse(node.func.value)
    if name == "append":
        made = scope.names.get(receiver, [])
        return any(isinstance(each, ast.Call) and called(each) == "Text" for each in made)
    if name == "update":
        return "query_one" in receiver or any(
            isinstance(each, ast.Call) and called(each) in ("query_one", "Static")
            for each in scope.names.get(receiver, [])
        )
    return name != "write" or receiver.endswith(("stdout", "stderr", "driver"))


def _literal(node: ast.expr) -> bool:
    return is_text(node) and "[" not in str(node.value)  # type: ignore[attr-defined]


def _drawn(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and called(node) in DRAWN


def learned() -> House:
    """What is known of the terminal's own functions and classes."""
    house = House()
    known = [*sorted((ROOT / "tui").rglob("*.py")), ROOT / "core" / "text.py"]
    house.learn({path: ast.parse(path.read_text(encoding="utf-8")) for path in known})
    return house


def look(paths: Iterable[Path], house: House) -> list[str]:
    """What is wrong in these files, as file:line: what."""
    found = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        lines, tree = text.splitlines(), ast.parse(text)
        house.classes |= {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        for line, what in sorted(set(breaches(path.resolve(), tree, house))):
            if not EXEMPT.search(lines[line - 1]):
                found.append(f"{path}:{line}: {what}")
    return found


def main() -> int:
    """Print what is wrong; 1 when something is."""
    paths = [Path(each) for each in sys.argv[1:]] or sorted((ROOT / "tui").rglob("*.py"))
    found = look(paths, learned())
    for each in found:
        sys.stdout.write(f"{each}\n")
    if found:
        sys.stdout.write(
            f"{len(found)} texts are shown that did not go through core.text.plain() (tools/plain.py tells what is clean)\n"
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
