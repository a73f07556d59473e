"""The workbench of Cloudera ML around the dashboard: how busy it is, and where its pages are. Made where there is one only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tui.app import Dashboard

FIRST = 0.5  # seconds to the first look at the load: the page asks before
EVERY = 30.0  # seconds between looks
AGAIN = 20.0  # seconds after which a page that was not known is asked for once more
MOST = 1_000  # pages that are asked for at once


class Bench:
    """What is known of it. Every screen hears when that changes (`bench_told`)."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.told: dict[str, Any] | None = None
        self.jobs: dict[str, str] = {}
        self.experiments: dict[str, str] = {}
        self.asked: dict[str, float] = {}  # ids and names whose pages were asked for, and when

    def begin(self) -> None:
        """Look at the load once the page is there, and go on looking."""
        self.dashboard.set_timer(FIRST, self.look)
        self.dashboard.set_interval(EVERY, self.look)

    def look(self) -> None:
        """Ask how busy it is; a studio that is away is told of elsewhere."""
        self._ask({})

    def want(self, jobs: Iterable[str | None] = (), experiments: Iterable[str | None] = ()) -> None:
        """Ask for the pages of these, unless they are known or were asked for a moment ago."""
        fields = {
            name: wanted
            for name, ids, known in (("jobs", jobs, self.jobs), ("experiments", experiments, self.experiments))
            if (wanted := [id for id in ids if id and id not in known and self._due(id)][:MOST])
        }
        if fields:
            now = time.monotonic()
            self.asked |= {id: now for wanted in fields.values() for id in wanted}
            self._ask(fields)

    def job(self, id: str | None) -> str:
        """The page of a job of Cloudera's: its own, else the one that lists them; empty while neither is known."""
        return self._page(self.jobs, id, "jobs")

    def experiment(self, name: str | None) -> str:
        """The page of an experiment of MLflow's, likewise."""
        return self._page(self.experiments, name, "experiments")

    def models(self) -> str:
        """The page that lists the models; asked for where nothing is known yet."""
        if self.told is None and self._due(""):
            self.asked[""] = time.monotonic()
            self.look()
        return str((self.told or {}).get("pages", {}).get("models", ""))

    def of_job(self, row: Mapping[str, Any], experiment: str) -> dict[str, str]:
        """The pages of a job of the studio's: of the one at Cloudera's that does it, and of its experiment. Asks for those that are not known."""
        id = row.get("cml_job_id")
        if not id and self.told is None:  # it runs here, and here is no workbench
            return {}
        self.want([id], [experiment])
        pages = {"job": self.job(id), "experiment": self.experiments.get(experiment, "")}
        return {name: page for name, page in pages.items() if page}

    def _page(self, known: dict[str, str], id: str | None, listed: str) -> str:
        return known.get(id or "") or (str((self.told or {}).get("pages", {}).get(listed, "")) if id else "")

    def _due(self, id: str) -> bool:
        return time.monotonic() - self.asked.get(id, -AGAIN) >= AGAIN

    def _ask(self, fields: dict[str, Any]) -> None:
        self.dashboard.ask("GetWorkbench", fields, self._take, lambda error: None)

    def _take(self, answer: Any) -> None:
        self.told = answer.value.model_dump(mode="json")
        self.jobs |= self.told["jobs"]
        self.experiments |= self.told["experiments"]
        self.dashboard.each_screen("bench_told")
