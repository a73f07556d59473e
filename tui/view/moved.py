"""What an export wrote, and what an import did or would do, as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import StudioError, Unavailable
from core.rules import Breach
from core.text import counted, plain
from tui.view import words
from tui.view.cells import Cell

TABLES = ("table", "new", "mended", "there", "failed")
ROWS = ("table", "row", "id", "outcome", "why")
EMPTY = """\
x  writes everything into a file of the project: datasets, models, adapters,
   prompts, configs, and what was trained and evaluated. Weights and rows are
   named in it, not in it.
i  reads such a file, this studio's or the original's, and shows row by row
   what it would bring. Nothing changes until I imports it, and the store is
   kept aside first.

To move or restore a studio: `fts up` in its new directory, then here i and I."""
SIGNS = {"inserted": ("+ new", "good"), "mended": ("~ mended", "wait"), "skipped": ("· there", "dim"), "failed": ("✗ failed", "bad")}  # fmt: skip


def only_there(breaches: Sequence[Breach]) -> bool:
    """Whether nothing stands in an export's way but a file of that name."""
    return bool(breaches) and all("overwrite: true" in each.message for each in breaches)


def written(value: Any) -> str:
    """What an export wrote."""
    rows = ", ".join(f"{words.table(name)} {count:,}" for name, count in value.rows.items() if count and name != "jobs")
    return f"✓ {value.path} holds everything: {value.bytes:,} bytes\n  {rows or 'no rows: the studio is empty'}"


def refused(error: Exception) -> str:
    """Why nothing was done, every reason; without an answer nobody knows whether it was."""
    breaches = error.breaches if isinstance(error, StudioError) else []
    lines = [f"  {each.message} ({each.rule})" for each in breaches] or [f"  {error}"]
    known = not isinstance(error, Unavailable)
    return "\n".join(["✗ nothing was done" if known else "? no answer came: it may be done all the same", *lines])


def _sum(told: Mapping[str, Any], name: str) -> int:
    return sum(int(table[name]) for table in told["tables"])


def _counts(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{_sum(told, name):,} {word}" for name, word in _ENDS if _sum(told, name)) or "no rows"


_ENDS = (("inserted", "new"), ("mended", "mended"), ("skipped", "there already"), ("failed", "failed"))


def headline(told: Mapping[str, Any], path: str) -> str:
    """What an import did, or would do."""
    if not told:
        return EMPTY
    lines = [
        f"? {path} would bring: {_counts(told)}. Nothing has changed; I imports it."
        if told["preview"]
        else f"✓ {path} is imported: {_counts(told)}."
    ]
    if told.get("backup"):
        lines.append(f"  the store as it was: {told['backup']}")
    if told.get("ignored_tables"):
        lines.append(f"  tables that the studio does not know: {', '.join(told['ignored_tables'])}")
    if told.get("more_rows"):
        lines.append(f"  {counted(told['more_rows'], 'row')} more are not told one by one")
    return "\n".join(lines)


def question(told: Mapping[str, Any], path: str, *, strict: bool) -> str:
    """What is asked before an import."""
    failed = _sum(told, "failed")
    if strict and failed:
        return f"Import {path}? Strict is on, and {counted(failed, 'row')} can't be stored: nothing would be."
    more = f" {counted(failed, 'row')} can't be stored and stay out." if failed else ""
    return f"Import {path}? {_counts(told)}.{more} The store is kept aside first."


def tables(told: Mapping[str, Any]) -> list[tuple[str, Sequence[Cell]]]:
    """A line a table."""
    return [
        (
            str(each["table"]),
            [(words.table(each["table"]), ""), *((f"{each[name]:,}", "bad" if name == "failed" and each[name] else "") for name, _ in _ENDS)],
        )
        for each in told.get("tables", [])
    ]  # fmt: skip


def key(row: Mapping[str, Any]) -> str:
    """What tells a row from others."""
    return f"{row['table']}/{row['index']}"


def rows(told: Mapping[str, Any]) -> list[tuple[str, Sequence[Cell]]]:
    """A line a row, those with something wrong first."""
    order = list(reversed(SIGNS))
    found = sorted(told.get("rows", []), key=lambda row: order.index(row["outcome"]) if row["outcome"] in order else 0)
    return [
        (
            key(row),
            [
                (words.table(row["table"]), ""),
                (str(row["index"]), "dim"),
                (words.short(row.get("id")), "dim"),
                SIGNS.get(row["outcome"], (plain(row["outcome"], limit=20), "")),
                (plain("; ".join(row["reasons"]), limit=300), ""),
            ],
        )
        for row in found
    ]


def whole(row: Mapping[str, Any]) -> str:
    """Everything about a row's outcome."""
    reasons = "\n".join(f"- {each}" for each in row["reasons"]) or "there is nothing to say about it"
    return f"{words.table(row['table'])}, row {row['index']} of the file, id {row.get('id')}: {row['outcome']}\n\n{reasons}"


def report(told: Mapping[str, Any]) -> str:
    """Every row's outcome, a line each."""
    lines = [f"{row['table']}\t{row['index']}\t{row.get('id') or ''}\t{row['outcome']}\t{'; '.join(row['reasons'])}" for row in told["rows"]]  # fmt: skip
    return "\n".join(lines)
