"""`fts demo`: the main job from nothing. Everything goes the way any user's request goes: by messages on the queue."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len

from core.client import StudioClient
from core.errors import StudioError
from core.facts import CONFIGS
from core.messages.adapters import ListAdapters
from core.messages.configs import AddConfig
from core.messages.datasets import AddDataset
from core.messages.evaluation import ListEvaluationJobs, Pair, StartEvaluationJob
from core.messages.fine_tuning import GetFineTuningJob, StartFineTuningJob
from core.messages.models import AddModel
from core.messages.prompts import AddPrompt, PromptFields
from core.messages.results import AnswerRow, GetEvaluationAnswers
from core.settings import Settings, settings
from core.text import plain
from tui.cli import console, output, tables, up, watch
from tui.cli.home import Home
from tui.view import words
from tui.view.fit import GAP, cut

DEMO = CONFIGS / "demo"
MODEL = "SmolLM2-135M-Instruct"
ADAPTER = "demo-tickets"
SIDE_BY_SIDE = 6  # rows shown at the end
COLUMNS = ("ticket", "expected", "base model", "adapter")
ANSWER, WIDE = 20, 120  # cells of a right answer, and of a line where nobody tells
ENDED = 128  # a code above is a dashboard's that a signal ended


def run(arguments: argparse.Namespace) -> int:
    """Set up, train, evaluate, compare."""
    using = settings()
    try:
        model = _model(using)
        if not up.start(using, Home(using.root)):
            return output.EXIT_UNREACHABLE
        with StudioClient(using, program="fts") as client:
            ids = resources(client, using, model)
            job = _train(client, ids)
            batch: list[str] = []
            if sys.stdout.isatty() and not arguments.plain:
                _in_dashboard(using, ids, job, batch)
            code = watch.wait_for(client, job)
            if code == 0:
                batch = batch or [_evaluate(client, ids, job)]
                say("comparing the base model and the adapter on rows that neither was trained on")
                code = watch.wait_for(client, batch[0], noun="evaluation")
            return code or _compare(client, job, batch[0])
    except StudioError as error:
        return output.fail(error, "table")


def say(text: str) -> None:
    """A line on what is being done."""
    print(f"── {plain(text)}", flush=True)


def _model(using: Settings) -> Path:
    target = using.project.resolve() / "models" / MODEL
    if (target / "config.json").exists():
        say(f"{MODEL} is there: {target}")
        return target
    say(f"converting {MODEL} to safetensors, once (about half a minute)")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "gpu_runner.demo_model", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StudioError(f"the demo's model can't be prepared: {done.stderr.strip().splitlines()[-1:]}")
    return target


def resources(client: StudioClient, using: Settings, model: Path) -> dict[str, str]:
    """The ids of the demo's resources: those that are there, or new ones."""
    known = {
        each.name: each.id
        for many in (client.get_datasets(), client.get_models(), client.get_prompts())
        for each in many
    }
    say("adding the tickets, the model, the prompt and the configs")
    ids = {}
    for name, file in (("Demo tickets", "train.csv"), ("Demo tickets held out", "heldout.csv")):
        ids[file] = known.get(name) or _dataset(client, using, name, file)
    ids["model"] = known.get(MODEL) or client.call(AddModel(type="project", name=MODEL, location=str(model))).model.id
    prompt = json.loads((DEMO / "prompt.json").read_text(encoding="utf-8"))
    ids["prompt"] = (
        known.get(prompt["name"])
        or client.call(AddPrompt(prompt=PromptFields(**prompt, dataset_id=ids["train.csv"]))).prompt.id
    )
    for name, kind in (
        ("training_arguments", "training_arguments"),
        ("lora", "lora_config"),
        ("generation", "generation_config"),
    ):
        text = (DEMO / f"{name}.json").read_text(encoding="utf-8")
        ids[name] = client.call(
            AddConfig(type=kind, config=text, description=f"Demo {name.replace('_', ' ')}")
        ).config.id
    return ids


def _dataset(client: StudioClient, using: Settings, name: str, file: str) -> str:
    """Put the file into the project, where datasets lie, and add it."""
    place = using.project.resolve() / "data" / "datasets" / f"demo-{file}"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes((DEMO / file).read_bytes())
    return client.call(AddDataset(type="project_csv", name=name, location=str(place))).dataset.id


def _train(client: StudioClient, ids: dict[str, str]) -> str:
    taken = {each.name for each in client.get_adapters()} | {
        each.adapter_name for each in client.get_fine_tuning_jobs() if not each.status.finished
    }
    name = next(f"{ADAPTER}-{number}" for number in range(1, 10_000) if f"{ADAPTER}-{number}" not in taken)
    request = StartFineTuningJob(
        adapter_name=name,
        base_model_id=ids["model"],
        dataset_id=ids["train.csv"],
        prompt_id=ids["prompt"],
        training_arguments_config_id=ids["training_arguments"],
        lora_config_id=ids["lora"],
        num_cpu=2,
        num_gpu=0,
        num_memory=4,
        train_test_split=0.95,
        max_length=160,
        packing=False,
        loss_on="completion",
        length_grouped=True,
    )
    say(f"fine-tuning {MODEL} with LoRA: the adapter will be {name} (about two minutes on two cores)")
    return client.call(request).fine_tuning_job.id


def _evaluate(client: StudioClient, ids: dict[str, str], job: str) -> str:
    adapter = next(each.id for each in client.call(ListAdapters(limit=1000)).adapters if each.fine_tuning_job_id == job)
    request = StartEvaluationJob(
        model_adapter_combinations=[
            Pair(base_model_id=ids["model"]),
            Pair(base_model_id=ids["model"], adapter_id=adapter),
        ],
        dataset_id=ids["heldout.csv"],
        prompt_id=ids["prompt"],
        generation_config=ids["generation"],
        num_cpu=2,
        num_gpu=0,
        num_memory=4,
    )
    return client.call(request).parent_job_id


def _in_dashboard(using: Settings, ids: dict[str, str], job: str, batch: list[str]) -> None:
    """The dashboard on the job; the evaluation is asked for behind it when the training has ended."""

    def follow() -> None:
        with StudioClient(using, program="fts") as client:
            while not (state := watch.state(client, job)).status.finished:
                time.sleep(1)
            if state.status.value == "succeeded":
                batch.append(_evaluate(client, ids, job))

    behind = threading.Thread(target=follow, daemon=True)
    behind.start()
    if (code := up.open_dashboard(job)) > ENDED:
        sys.exit(code)
    if not behind.is_alive():
        behind.join()


def side_by_side(rows: Sequence[AnswerRow], base: str, adapter: str, room: int) -> list[dict[str, str]]:
    """A line for each row, all columns within `room` cells: the ticket has what the answers leave."""
    told = [
        {
            "expected": cut(plain(row.expected, limit=100), ANSWER),
            "base model": cut(plain(row.answers[base], limit=100), min(26, room // 4)),
            "adapter": cut(plain(row.answers[adapter], limit=100), ANSWER),
        }
        for row in rows
    ]
    taken = sum(max((cell_len(line[name]) for line in told), default=0) + GAP for name in COLUMNS[1:])
    tickets = [plain(row.prompt.split("\n")[0].removeprefix("Support ticket: "), limit=100) for row in rows]
    return [
        {"ticket": cut(text, max(12, min(48, room - taken))), **line} for text, line in zip(tickets, told, strict=True)
    ]


def _compare(client: StudioClient, job: str, batch: str) -> int:
    """Print the scores and some answers side by side; 1 when the adapter is not much better."""
    rows = client.call(ListEvaluationJobs(parent_job_id=batch)).evaluation_jobs
    base, adapter = rows[0], rows[1]
    trained = client.call(GetFineTuningJob(id=job)).fine_tuning_job
    answers = client.call(GetEvaluationAnswers(parent_job_id=batch, limit=1000)).rows
    print()
    shown = [row for row in answers if not row.correct[base.id] and row.correct[adapter.id]][: SIDE_BY_SIDE - 1]
    shown += [row for row in answers if not row.correct[adapter.id]][:1]
    tables.table(side_by_side(shown, base.id, adapter.id, console.room() or WIDE), COLUMNS)
    before, after = base.scores["exact_match"], adapter.scores["exact_match"]
    print(f"\nexact match on {adapter.rows:,} held-out tickets:  base model {before:.1%}   adapter {after:.1%}")
    took = [words.duration((each.finished_at or 0) - (each.started_at or 0)) for each in (trained, base)]
    fts = plain(console.called(), limit=400)
    print(f"trained in {took[0]}, compared in {took[1]}; `{fts}` opens the dashboard, `{fts} down` stops the studio")
    return 0 if after - before >= 0.3 else output.EXIT_FAILED
