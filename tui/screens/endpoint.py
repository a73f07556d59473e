"""An endpoint: where it can be called, how, what it has answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.errors import StudioError
from core.text import plain
from tui.pump import StudioChanged
from tui.screens.base import StudioScreen
from tui.screens.listing import UNFINISHED
from tui.view import words
from tui.view.calling import CLOUDERA, curl, reach
from tui.view.failure import card
from tui.view.links import link
from tui.widgets.banner import Banner
from tui.widgets.facts import Facts

OVER = ("failed", "cancelled")  # what can be tried again
KEYS_OVER = "t try again  l log  d describe  y yaml  esc back  ? help"
Fact = tuple[str, object, str]


class EndpointScreen(StudioScreen):
    """Follows one endpoint. `key` is what its start told: this screen is the only place that shows it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy_call", "copy the call", show=False),
        Binding("K", "copy_key", "copy the key", show=False),
        Binding("s", "stop", "stop", show=False),
        Binding("t", "try_again", "try again", show=False),
        Binding("d", "describe", "describe", show=False),
        Binding("y", "yaml", "yaml", show=False),
        Binding("l", "log", "log", show=False),
    ]
    keys_shown = "c copy the call  s stop  l log  d describe  y yaml  esc back  ? help"

    def __init__(self, id: str, key: str | None = None) -> None:
        super().__init__()
        self.endpoint, self.key = id, key
        self.row: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        """What it is, and how it is called."""
        yield Banner(f"Endpoint {words.short(self.endpoint)}")
        with VerticalScroll():
            yield Static("", id="key-told", markup=False)
            yield Facts("facts")
            yield Static("", id="call", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask; again every second while it is there."""
        self.query_one("#key-told").display = False
        if self.key is not None:
            self._tell_key(self.key, "key", "Copy it now (K): it is told this once, and kept nowhere.")
        self.focus_first()
        self.call_after_refresh(self.again)
        self.set_interval(1, self._live)

    def _tell_key(self, key: str, name: str, what: str) -> None:
        self._tell_above(f"{name}  {plain(key)}\n{' ' * len(name)}  {what}\n")

    def _tell_above(self, text: str) -> None:
        box = self.query_one("#key-told", Static)
        box.display = True
        box.update(Content(plain(text, limit=2_000, lines=True)))

    def focus_first(self) -> None:
        """Keys scroll."""
        self.query_one(VerticalScroll).focus()

    def _live(self) -> None:
        if self.row.get("status") in UNFINISHED and self.is_current:
            self.again()

    def studio_changed(self, message: StudioChanged) -> None:
        """It was assigned, serves, or ended."""
        if self.there and "jobs" in message.tables:
            self.again()

    def fetch(self) -> dict[str, Any]:
        """The endpoint."""
        answer = self.dashboard.studio.ask("GetEndpoint", {"id": self.endpoint})
        found: dict[str, Any] = answer.value.endpoint.model_dump(mode="json")
        return found

    def got(self, found: dict[str, Any]) -> None:
        """Draw it."""
        self.row = found
        self.banner.name_it(f"Endpoint {plain(found['name'], limit=60)}")
        self.query_one("#keys", Static).update(Content(KEYS_OVER if found["status"] in OVER else self.keys_shown))
        self.query_one(Facts).show([*_facts(found), *self._pages()], limit=3000)
        line = plain(curl(found, self.key), limit=2000)
        text = f"\n{f'call it {reach(found)}'.rstrip()}:\n\n{line}" if line else ""
        self.query_one("#call", Static).update(Content(text))

    def _pages(self) -> Iterator[Fact]:
        """Where it is to be seen in Cloudera ML, when it is a model there."""
        if self.row.get("engine") == CLOUDERA:
            page = self.dashboard.bench.models()
            yield "CML model", self.row.get("cml_model_id"), link(page)
            yield "its page", page, link(page)

    def bench_told(self) -> None:
        """Its page may be known now."""
        super().bench_told()
        if self.there and self.row:
            self.got(self.row)

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def action_copy_call(self) -> None:
        """c: the line, to the terminal's clipboard."""
        if line := curl(self.row, self.key):
            self.app.copy_to_clipboard(line)
            self.dashboard.notify("the call is in the clipboard, if the terminal allows that", markup=False)

    def action_copy_key(self) -> None:
        """K: the key, while it is known; Cloudera's is shown first, and asked of Cloudera itself."""
        if self.key is not None:
            self.dashboard.copy(self.key, "the key")
        elif self.row.get("engine") == CLOUDERA and self.dashboard.readonly:
            self._tell_above("✗ a dashboard that only looks (--readonly) is told no keys\n")
        elif self.row.get("engine") == CLOUDERA:
            self.run_worker(self._ask_for_key, thread=True, exit_on_error=False, exclusive=True)

    def _ask_for_key(self) -> None:
        from tui.cli.accesskey import access_key

        try:
            key = access_key(self.row)
        except StudioError as error:
            self.in_app(self._tell_above, f"✗ {plain(error, limit=1_000)}\n")
        else:
            self.in_app(self._got_key, key)

    def _got_key(self, key: str) -> None:
        self.key = key
        self._tell_key(key, "access key", "K again copies it. It is Cloudera's, and kept nowhere here.")
        self.got(self.row)

    def action_stop(self) -> None:
        """s: end it."""
        if self.row and self.row["status"] in (*UNFINISHED, "paused"):
            name = plain(self.row["name"], limit=100)
            here, there = (
                "What is being answered gets a few seconds.",
                "Its model in Cloudera ML goes, with its access key.",
            )
            question = f"Stop {name}? {there if self.row.get('engine') == CLOUDERA else here}"
            fields = {"id": self.endpoint}
            self.dashboard.act("StopEndpoint", [fields], question=question, done=lambda outcomes: self.again())

    def action_try_again(self) -> None:
        """t: start one that failed or was stopped once more."""
        if self.row and self.row["status"] in OVER:
            fields = {"id": self.endpoint}
            self.dashboard.act("RetryJob", [fields], done=lambda outcomes: self.again())

    def action_log(self) -> None:
        """l: the end of its log."""
        self.dashboard.ask("GetJobLog", {"id": self.endpoint, "limit": 500}, self._show_log)

    def _show_log(self, answer: Any) -> None:
        lines = [f"{words.clock(line.at)} {plain(line.text, limit=2000)}" for line in answer.value.lines]
        self.dashboard.show_text(f"Log of {self.row.get('name') or self.endpoint}", "\n".join(lines) or "no log yet")

    def action_describe(self) -> None:
        """d: everything."""
        from tui.view.describe import described

        self.dashboard.show_text(f"Endpoint {self.row.get('name') or self.endpoint}", described(self.row))

    def action_yaml(self) -> None:
        """y: as YAML."""
        from tui.view.describe import as_yaml

        self.dashboard.show_text(f"Endpoint {self.endpoint}", as_yaml(self.row))


def _facts(row: dict[str, Any]) -> Iterator[Fact]:
    status = str(row["status"])
    yield "status", words.state(status), "bold"
    yield "address", plain(row.get("address") or "", limit=200), "bold"
    if not row.get("address") and status in UNFINISHED:
        yield "waits for", row.get("waiting_for") or row.get("phase"), ""
    if row.get("address") and row.get("phase") != "serving":
        yield "doing", row.get("phase"), ""
    if row.get("error"):
        yield "failed", "\n".join(card(row["error"], tail=5)), ""
    yield "models", ", ".join(plain(each, limit=100) for each in row.get("models") or []), ""
    yield "auth", _auth(row), ""
    yield "engine", row.get("engine"), ""
    yield "requests", "" if row.get("engine") == CLOUDERA else _counted(row), ""  # it counts its own
    yield "tokens", row.get("tokens") or "", ""
    yield "last used", words.age(row.get("last_used_at")), ""
    yield "serves for", words.age(row.get("serving_at")) if row.get("address") else "", ""
    yield "ends when idle", words.duration(row["idle_seconds"]) if row.get("idle_seconds") else "never", ""
    yield "runner", row.get("runner") or row.get("runner_id"), ""
    yield "resources", f"CPU cores {row['num_cpu']}, GPUs {row['num_gpu']}, memory {row['num_memory']} GiB", ""
    yield "id", row["id"], "dim"


def _auth(row: dict[str, Any]) -> str:
    if row.get("engine") == CLOUDERA:
        return "an API key of the caller's in Cloudera ML" if row.get("auth") else "none but the model's access key"
    return "a key is asked for" if row.get("auth") else "none: anyone on its machine may call it"


def _counted(row: dict[str, Any]) -> str:
    parts = [f"{row.get('requests', 0)} answered"]
    parts += [f"{row[name]} {word}" for name, word in (("active", "now"), ("refused", "refused"), ("failures", "failed")) if row.get(name)]  # fmt: skip
    return ", ".join(parts)
