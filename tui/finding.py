"""What the palette finds: this screen's keys, pages, resources by name, commands. Knows nothing of widgets."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.binding import Binding
from textual.fuzzy import FuzzySearch

from core.text import plain
from tui.cli.completion import nodes
from tui.completing import place
from tui.screens.base import StudioScreen
from tui.view.kinds import KINDS
from tui.view.pages import PAGES

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui.app import Dashboard

SHOWN = 60  # of what fits
ROWS = 100  # of each kind of resource
KINDS_SOUGHT = (
    "jobs",
    "evaluations",
    "comparisons",
    "exports",
    "endpoints",
    "datasets",
    "models",
    "prompts",
    "adapters",
)
# Keys that nobody looks for by a name.
MOVES = {
    "up",
    "down",
    "left",
    "right",
    "home",
    "end",
    "pageup",
    "pagedown",
    "enter",
    "tab",
    "shift+tab",
    "ctrl+k",
    "super+c",
}
NAMES = ("name", "adapter_name", "model_name", "base_model_name", "id")
# Where a row is seen on a screen of its own, and by which id; others are described.
SCREENS = {
    "jobs": ("show_job", "id"),
    "evaluations": ("show_batch", "parent_job_id"),
    "comparisons": ("show_comparison", "id"),
    "exports": ("show_export", "id"),
    "endpoints": ("show_endpoint", "id"),
}


@dataclass(frozen=True)
class Found:
    """Something to do: what sort it is, its text and more about it (safe to show), and how it is done."""

    sort: str
    text: str
    more: str
    do: Callable[[], Any]
    asked: bool = False  # shown only when something is typed


def keys(dashboard: Dashboard, screen: Screen[Any]) -> Iterator[Found]:
    """The actions of a screen and of the dashboard that can be done now; what is the same everywhere comes last."""
    seen: set[str] = set()
    everywhere = {binding.action for binding in StudioScreen.BINDINGS if isinstance(binding, Binding)}
    known = screen.active_bindings.values()
    for active in sorted(known, key=lambda each: each.node is dashboard or each.binding.action in everywhere):
        binding = active.binding
        ours = type(active.node).__module__.startswith("tui.") and binding.key not in MOVES
        moves = binding.action.partition("(")[0].startswith(
            ("cursor", "scroll", "page_", "move", "top", "end", "bottom")
        )
        if not ours or moves or not active.enabled or not binding.description or binding.action in seen:
            continue
        seen.add(binding.action)
        yield Found("key", plain(binding.description, limit=80), shown_key(binding.key), _action(dashboard, active))


def _action(dashboard: Dashboard, active: Any) -> Callable[[], Any]:
    return lambda: dashboard.run_action(active.binding.action, active.node)


def shown_key(key: str) -> str:
    """A key as people write it."""
    named = {"question_mark": "?", "colon": ":", "slash": "/", "plus": "+", "minus": "-", "escape": "esc"}
    named |= {"asterisk": "*", "left_square_bracket": "[", "right_square_bracket": "]"}
    return named.get(key, key)


def places(dashboard: Dashboard) -> Iterator[Found]:
    """The pages."""
    for page in PAGES:
        yield Found("page", page.title, f":{page.name}", _go(dashboard, page.name))


def _go(dashboard: Dashboard, name: str) -> Callable[[], Any]:
    return lambda: dashboard.go(name)


def resources(dashboard: Dashboard) -> Iterator[Found]:
    """Resources by name; of a studio that is away none. Blocks: in a thread."""
    for name in KINDS_SOUGHT:
        kind = KINDS[name]
        try:
            rows, _ = dashboard.studio.rows(kind.message, kind.field, limit=ROWS)
        except Exception:
            return
        sort = "run" if name == "evaluations" else name.removesuffix("s")
        for row in rows:
            text = next((str(row[each]) for each in NAMES if row.get(each)), "")
            status = f"{row['status']}  ".replace("_", " ") if row.get("status") else ""
            yield Found(
                sort, plain(text, limit=60), plain(f"{status}{row['id']}", limit=60), _opened(dashboard, name, row)
            )


def _opened(dashboard: Dashboard, name: str, row: Mapping[str, Any]) -> Callable[[], Any]:
    def do() -> None:
        if name in SCREENS:
            method, id = SCREENS[name]
            getattr(dashboard, method)(str(row[id]))
        else:
            from tui.view.describe import described

            dashboard.show_text(f"{KINDS[name].title}: {row.get('name') or row['id']}", described(dict(row)))

    return do


def commands(dashboard: Dashboard, parser: argparse.ArgumentParser) -> Iterator[Found]:
    """The CLI's commands: one that needs nothing is run, another goes into the line. Takes some time: in a thread."""
    for node in nodes(parser):
        made = place(parser, node.path).parser
        if not node.path or made._subparsers is not None:
            continue
        line = " ".join(node.path)
        needs = any(action.required for action in made._actions)
        told = plain(" ".join((made.description or "").split()), limit=120)
        yield Found("command", line, told, _line(dashboard, line, needs=needs), asked=True)


def _line(dashboard: Dashboard, line: str, *, needs: bool) -> Callable[[], Any]:
    return (lambda: dashboard.type_command(f"{line} ")) if needs else (lambda: dashboard.obey(line))


def fitting(typed: str, known: Iterable[Found]) -> list[Found]:
    """What fits what was typed, the best first; without a text what is here to do and to go to."""
    if not typed.strip():
        return [each for each in known if not each.asked][:SHOWN]
    search, wanted = FuzzySearch(), typed.strip().casefold()

    def score(each: Found) -> float:
        """How well the text fits; the very word for a page best, and what only the rest holds last."""
        more = each.more.casefold()
        return (search.match(typed, each.text)[0] or 0.5 * (wanted in more)) + 100 * (more == f":{wanted}")

    scored = [(score(each), each) for each in known]
    found = sorted((pair for pair in scored if pair[0] > 0), key=lambda pair: -pair[0])
    return [each for _, each in found][:SHOWN]
