"""A plan as lines of (text, meaning): the same for the command line and for the dashboard. No meaning is told by colour alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len

from core.fits import gib, has
from core.text import counted, plain
from tui.view.words import bar, duration

Piece = tuple[str, str]  # text and what it means, a name of theme.PAINT or a style
Line = list[Piece]
LABEL = 10  # cells
# Under each token of an example: its first cell, and the others.
MARKS = {"learned": ("├", "─"), "ignored": ("·", "·"), "eos": ("▲", "▲")}
MEANINGS = {"learned": "right", "ignored": "dim", "eos": "second"}
LEGEND = "├─ a token that is learned   · one that is not   ▲ the end (EOS)"


def summary(plan: Mapping[str, Any]) -> Iterator[Line]:
    """Rows, steps, memory, time, where it fits, and what to know."""
    yield _labelled("rows", _rows(plan))
    yield _labelled("tokens", _tokens(plan))
    yield _labelled("steps", _steps(plan))
    if plan["needed"]:
        yield _labelled("memory", _memory(plan["needed"]))
        if parts := _parts(plan):
            yield _labelled("", parts, "dim")
    guess = "" if plan["seconds"] is None or _tried(plan) else ": a guess before a job has run there"
    yield _labelled("time", _time(plan["seconds"]) + guess)
    yield from fits(plan)
    for change in plan["nearest"]:
        yield _labelled("would fit", plain(change["text"], limit=300), "bold")
    for text in plan["warnings"]:
        yield [("▲ ", "wait"), (plain(text, limit=300), "")]


def whole(plan: Mapping[str, Any], width: int) -> list[Line]:
    """All of it in `width` cells, with its histogram and its examples."""
    made = [*summary(plan), [("", "")], [("tokens a row", "bold")], *histogram(plan, width)]
    for number, row in enumerate(plan["examples"], 1):
        made += [[("", "")], [(f"example {number}", "bold")], *example(row, width)]
    return [*made, [("", "")], [(LEGEND, "dim")]] if plan["examples"] else made


def brief(plan: Mapping[str, Any]) -> Line:
    """In one line: rows, steps, memory, whether and where it fits, time."""
    steps = counted(plan["steps"], "step")
    made: Line = [
        (f"{counted(plan['rows'], 'row')}, ", ""),
        (f"▲ only {steps}", "wait") if plan["longer"] else (steps, ""),
    ]
    if plan["needed"]:
        made.append((f" · {gib(plan['needed'][1])}", ""))
    for fit in plan["fits"][:1]:
        mark, meaning, word = _VERDICT[fit["fits"]]
        made += [(" · ", ""), (f"{mark} {word}", meaning), (f" {plain(fit['host'], limit=20)}", "")]
    if plan["seconds"]:
        low, mid, high = (duration(each) for each in plan["seconds"])
        made.append((f" · about {mid}" if _tried(plan) else f" · {low} to {high}, a guess", ""))
    return made


def _tried(plan: Mapping[str, Any]) -> bool:
    """Whether jobs that ran there tell how fast it is."""
    return any(fit["jobs"] for fit in plan["fits"][:1])


def _labelled(label: str, text: str, meaning: str = "") -> Line:
    return [(f"{label:<{LABEL}}", "dim"), (text, meaning)]


def _rows(plan: Mapping[str, Any]) -> str:
    told = f"{plan['rows']:,} to train on"
    if plan["held_out"]:
        told += f", {plan['held_out']:,} held out"
    if plan["cut"]:
        told += f"; {plan['cut']:,} cut"
    return told + (f"; {plan['dropped']:,} left out" if plan["dropped"] else "")


def _tokens(plan: Mapping[str, Any]) -> str:
    mean = plan["tokens"] / max(1, plan["rows"])
    learned = plan["learned"] / max(1, plan["tokens"])
    told = f"{plan['tokens']:,}, {mean:.0f} a row, {plan['longest']:,} at most"
    return told + (f"; {learned:.0%} learned" if learned < 1 else "")


def _steps(plan: Mapping[str, Any]) -> str:
    kind = "row" if plan["sequences"] >= plan["rows"] else "sequence"
    epochs = f"{plan['epochs']:.3g}"
    return f"{plan['steps']:,} of {counted(plan['batch'], kind)}, {epochs} epoch{'s' if epochs != '1' else ''}"


def _memory(needed: Sequence[float]) -> str:
    low, mid, high = needed
    return f"about {gib(mid)} ({gib(low)} to {gib(high)})"


def _parts(plan: Mapping[str, Any]) -> str:
    whole = sum(plan["memory"].values())
    parts = sorted(plan["memory"].items(), key=lambda part: -part[1])
    return " + ".join(f"{name} {gib(size)}" for name, size in parts if size > whole / 100)


def _time(seconds: Sequence[float] | None) -> str:
    if seconds is None:
        return "not known before a job has run there"
    low, mid, high = (duration(each) for each in seconds)
    return f"about {mid} ({low} to {high})"


def fits(plan: Mapping[str, Any]) -> Iterator[Line]:
    """Each runner that could take it: whether it fits, what it has, how long it would take."""
    for number, fit in enumerate(plan["fits"]):
        mark, meaning, word = _VERDICT[fit["fits"]]
        name = plain(f"{fit['host']} {fit['name']}".strip(), limit=40)
        took = "" if fit["seconds"] is None else f", about {duration(fit['seconds'][1])}"
        told = f" {name} has {has(fit['whole'] or fit['available'], fit['available'])}{took}"
        jobs = f" (by {fit['jobs']} job{'s' if fit['jobs'] != 1 else ''} there)" if fit["jobs"] else ""
        yield [(f"{'' if number else 'runners':<{LABEL}}", "dim"), (f"{mark} {word}", meaning), (told + jobs, "")]
    if plan["needed"] and not plan["fits"]:
        yield _labelled("runners", "none that could take it is known", "wait")


_VERDICT: dict[bool | None, tuple[str, str, str]] = {
    True: ("✓", "good", "fits"),
    False: ("✗", "bad", "does not fit"),
    None: ("▲", "wait", "may not fit"),
}


def histogram(plan: Mapping[str, Any], width: int) -> Iterator[Line]:
    """How many rows have how many tokens, in `width` cells."""
    bins = plan["histogram"]
    if not bins:
        return
    most, room = max(each["rows"] for each in bins) or 1, max(4, width - 24)
    wide = len(f"{bins[-1]['high'] - 1:,}")
    for each in bins:
        span = f"{each['low']:>{wide},} to {each['high'] - 1:>{wide},}"
        drawn = bar(each["rows"] / most, room).rstrip("─")
        yield [(f"{span} ", "dim"), (drawn or "·", "bar" if drawn else "dim"), (f" {each['rows']:,}", "")]


def example(row: Sequence[tuple[str, bool, bool]], width: int) -> Iterator[Line]:
    """A row token by token, in lines of `width` cells; below each its marks, which say the same without colours."""
    above, below, used = Line(), Line(), 0
    for text, learned, eos in row:
        kind = "eos" if eos else "learned" if learned else "ignored"
        shown, breaks = _shown(text)
        size = max(1, cell_len(shown))
        if used and used + size > width:
            yield from (above, below)
            above, below, used = Line(), Line(), 0
        first, more = MARKS[kind]
        above.append((shown.ljust(1), MEANINGS[kind]))
        below.append((first + more * (size - 1), MEANINGS[kind]))
        used += size
        if breaks and kind != "eos":
            yield from (above, below)
            above, below, used = Line(), Line(), 0
    if above:
        yield from (above, below)


def _shown(text: str) -> tuple[str, bool]:
    """A token in a line, and whether the line ends behind it: line ends are drawn, tabs are blanks."""
    return plain(text.replace("\r", "").replace("\n", "↵"), limit=80), text.endswith("\n")
