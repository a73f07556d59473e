"""An endpoint that runs in a thread of the tests: its attempt's directory, its spool, and where it answers."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.events import Finished
from core.spec import EndpointSpec
from gpu_runner.child import Context
from gpu_runner.failures import Cancelled, Paused
from gpu_runner.serve import serve
from gpu_runner.spool import Spool, read_records
from tests.runner.tiny import make_adapter, make_model

KEY = "fts-a-key-of-the-tests"
CHAT = "{% for m in messages %}{{ m['content'] }} {% endfor %}{% if add_generation_prompt %}a {% endif %}"
GREEDY = {"do_sample": False, "max_new_tokens": 12}
PATIENCE = 60.0


def make_models(root: Path) -> dict[str, Any]:
    """The part of a specification that tells a tiny model that chats, and two adapters of it."""
    model = make_model(root / "model", decided=30)
    (model / "chat_template.jinja").write_text(CHAT)
    adapters = [make_adapter(root / f"a{n}", model, seed=n) for n in (1, 2)]
    return {
        "model": {"id": "m", "name": "base/tiny", "location": str(model)},
        "adapters": [{"id": path.name, "name": f"v{path.name}.0", "location": str(path)} for path in adapters],
    }


def spec_of(parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A specification as a runner gets it."""
    whole = {
        "kind": "endpoint",
        "job_id": "j",
        "name": "support",
        "generation": GREEDY,
        "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(),
        "resources": {"cpus": 1, "gpus": 0, "memory": 1},
    }
    return {**whole, **parts, **more}


class Served:
    """One attempt of an endpoint, in a thread."""

    def __init__(self, root: Path, spec: dict[str, Any], attempt: int = 1) -> None:
        self.directory = root / "jobs" / spec["job_id"] / str(attempt)
        self.directory.mkdir(parents=True)
        self.spool = self.directory / "events.jsonl"
        self.end: Finished | BaseException | None = None
        context = Context(self.directory, Spool(self.spool))
        self._thread = threading.Thread(target=self._run, args=(EndpointSpec.model_validate(spec), context))
        self._thread.start()

    def _run(self, spec: EndpointSpec, context: Context) -> None:
        try:
            self.end = serve(spec, context)
        except BaseException as error:
            self.end = error

    def records(self, type: str) -> list[dict[str, Any]]:
        """What it said."""
        return [each for each in read_records(self.spool, 0, 1 << 24)[0] if each["type"] == type]

    @property
    def address(self) -> str:
        """Where it answers, once it does."""
        wait_for(lambda: self.records("serving") or self.end)
        assert self.end is None, self.end
        return str(self.records("serving")[0]["address"])

    def total(self, name: str) -> int:
        """A count of all that it told so far."""
        return sum(each[name] for each in self.records("served"))

    def active(self) -> int:
        """How many requests it answered at once, when it told last."""
        told = self.records("served")
        return int(told[-1]["active"]) if told else 0

    def order(self, order: str) -> None:
        """Tell it what the daemon tells it."""
        path = self.directory / "control.json"
        path.with_suffix(".new").write_text(json.dumps({"order": order}))
        path.with_suffix(".new").replace(path)

    def ended(self) -> Finished | BaseException:
        """How it ended."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive() and self.end is not None
        return self.end

    def stop(self) -> None:
        """End it, if it has not."""
        if self._thread.is_alive():
            self.order("cancel")
            assert isinstance(self.ended(), Cancelled | Paused)


@contextmanager
def served(root: Path, spec: dict[str, Any], attempt: int = 1) -> Iterator[Served]:
    """An endpoint that is ended at the end."""
    made = Served(root, spec, attempt)
    try:
        yield made
    finally:
        made.stop()


def wait_for(what: Any, seconds: float = PATIENCE) -> Any:
    """What it answers when that is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
    return found
