"""How soon the first token of a comparison is there, over what the model itself needs.

    python benchmarks/comparison.py [--model models/SmolLM2-135M-Instruct] [--rounds 20]

A session of the real studio (actors, daemon, child) is asked by a client, which hears the answer on the job's stream; and the
same model in this process, with the same code and threads, answers the same prompt: in turn, in one run, so that never both
compute. Milliseconds from the request to the first token. Also told: a session of a base and three adapters, from the request
to the first token of each, and of all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

from common import Studio, heading, percentile, studio, table, target, until
from recipe import MODEL

from core.client import StudioClient
from core.messages.adapters import AddAdapter
from core.messages.comparing import AskComparison, GetComparison, StartComparison
from core.messages.models import AddModel
from core.spec import ModelSource

SETTINGS = '{"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": false}'
PROMPT = "Ticket: my parcel has not arrived since Monday, number {}. What should I do?\nAnswer:"
CPUS = 2


def begin(running: Studio, client: StudioClient, model: Path, adapters: int) -> str:
    """A session that runs; its id."""
    added = client.call(AddModel(type="project", location=str(model)), timeout=120).model.id
    ids = [_adapter(running, client, model, added, number) for number in range(adapters)]
    asked = StartComparison(
        base_model_id=added, adapter_ids=ids, generation_config=SETTINGS, num_cpu=CPUS, num_gpu=0, num_memory=2
    )
    id = client.call(asked).comparison.id
    until(lambda: _runs(client, id), "the session runs", seconds=300, pause=0.2)
    return id


def _runs(client: StudioClient, id: str) -> bool:
    told = client.call(GetComparison(id=id)).comparison
    if told.error is not None:
        raise RuntimeError(told.error.message)
    return told.status.value == "running"


def _adapter(running: Studio, client: StudioClient, model: Path, added: str, number: int) -> str:
    from tests.runner.tiny import make_adapter

    path = make_adapter(running.home / f"adapter-{number}", model, seed=number)
    request = AddAdapter(type="project", name=f"a{number}", model_id=added, location=str(path))
    return client.call(request, timeout=60).adapter.id


def asked(client: StudioClient, id: str, prompt: str, voices: list[str] | None) -> tuple[float, float, float]:
    """Ask and hear all; milliseconds to the first token, to the first of every voice, and what the child took to its first."""
    begun = time.perf_counter()
    reply = client.call(AskComparison(id=id, prompt=prompt, voices=voices))
    first: dict[str, float] = {}
    own: dict[str, float] = {}
    done: set[str] = set()
    for entry in client.follow_job(id, reply.records_id, block=0.05):
        now = 1000 * (time.perf_counter() - begun)
        for record in (entry or {}).get("records", ()):
            if record["type"] == "said" and record["question"] == reply.number:
                first.setdefault(record["voice"], now)
                own.setdefault(record["voice"], 1000 * (record["first_seconds"] or 0))
                done |= {record["voice"]} if record.get("done") else set()
        if len(done) == (1 if voices else 4):
            break
    return min(first.values()), max(first.values()), min(own.values())


class Alone:
    """The same model in this process."""

    def __init__(self, model: Path) -> None:
        import torch

        from gpu_runner.evaluate import device_for
        from gpu_runner.speaking import Speaker

        torch.set_num_threads(CPUS)
        source = ModelSource(id="m", name="m", location=str(model))
        self.speaker = Speaker(source, {}, device_for(source, 0, None, print))

    def first(self, prompt: str) -> float:
        """Milliseconds to its first token."""
        begun = time.perf_counter()
        pieces = self.speaker.speak(prompt, None, json.loads(SETTINGS))
        next(pieces)
        took = 1000 * (time.perf_counter() - begun)
        list(pieces)
        return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", type=Path, default=MODEL, help="a model as safetensors; SmolLM2 is made when it is not there"
    )
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    os.environ["OMP_WAIT_POLICY"] = (
        "passive"  # of both: on a busy machine threads that spin would measure the others' work
    )
    if given.model == MODEL:
        from gpu_runner.demo_model import convert

        convert(MODEL)
    with studio() as running:
        running.environment["FTS_ALLOWED_ROOTS"] = f'["{given.model.resolve().parent}"]'
        running.actors("commands", "runners")
        running.actors("slow")
        running.start("-m", "gpu_runner.daemon")
        with StudioClient(running.settings) as client:
            alone, id = Alone(given.model), begin(running, client, given.model.resolve(), 3)
            heading(f"first token of a comparison, {given.model.name}, {given.rounds} rounds")
            measure(client, id, alone, given.rounds)


def measure(client: StudioClient, id: str, alone: Alone, rounds: int) -> None:
    """Both in turn; the first rounds don't count."""
    bare, ours, over, every, whole = [], [], [], [], []
    for number in range(rounds + 2):
        prompt = PROMPT.format(number)
        bare.append(alone.first(prompt))
        took, _, own = asked(client, id, prompt, [""])
        ours.append(took)
        over.append(took - own)
        best, last, _ = asked(client, id, prompt, None)
        every.append(best)
        whole.append(last)
    names = ["the model alone", "a session, one voice", "a session, of four", "  all four of them"]
    rows = [[name, *_figures(each[2:])] for name, each in zip(names, (bare, ours, every, whole), strict=True)]
    table(["milliseconds to the first token", "median", "p95", "most"], rows)
    more = [mine - own for mine, own in zip(ours[2:], bare[2:], strict=True)]
    table(["over what the model needs", "median", "p95", "most"], [
        ["by this process's own model", *_figures(more)], ["by the session's own clock", *_figures(over[2:])]
    ])  # fmt: skip
    target("over this process's own model, median, ms", statistics.median(more), at_most=300)
    target("by the session's own clock, p95, ms", percentile(over[2:], 0.95), at_most=300)


def _figures(values: list[float]) -> list[float]:
    return [statistics.median(values), percentile(values, 0.95), max(values)]


if __name__ == "__main__":
    main()
