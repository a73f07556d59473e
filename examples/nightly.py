"""A nightly fine-tuning service: register the rows of the day, train on them, follow the job to its end.

    FTS_HOME=/path/to/.app python examples/nightly.py rows/2025-01-31.csv --model tiny --prompt tickets

Run it from cron or a scheduler. Run again for the same file it goes on where it was: every command has a key made of the
file's name, so that nothing is done twice. Exit code 0: trained; 1: the job failed; 2: refused.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.client import StudioClient
from core.errors import NotFound, StudioError
from core.following import Back, Reset, Seen
from core.messages.datasets import AddDataset
from core.messages.fine_tuning import FineTuningJobMetadata, GetFineTuningJob, StartFineTuningJob
from core.messages.models import ListModels
from core.messages.prompts import AddPrompt, GetPrompt, ListPrompts, PromptFields


def main() -> int:
    """Train on one file of rows."""
    asked = arguments()
    try:
        with StudioClient() as studio:
            job = start(studio, asked)
            print(f"{job.id} is {job.status.value}", flush=True)
            job = follow(studio, job.id)
    except StudioError as error:
        print(f"{error.code.value}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"can't read {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"{job.id} {job.status.value}: adapter {job.adapter_id}")
    return 0 if job.status.value == "succeeded" else 1


def arguments() -> argparse.Namespace:
    """What to train on, and how."""
    made = argparse.ArgumentParser(description="Fine-tune on one file of rows.")
    made.add_argument("rows", help="a CSV file in the studio's project")
    made.add_argument("--model", required=True, help="name of the base model")
    made.add_argument("--prompt", required=True, help="name of the prompt whose templates are used")
    made.add_argument("--gpus", type=int, default=1)
    made.add_argument("--training-arguments", default=None, help="a file of training arguments (JSON)")
    return made.parse_args()


def start(studio: StudioClient, asked: argparse.Namespace) -> FineTuningJobMetadata:
    """Add the dataset and its prompt, and start the job; the second run of a day finds what the first one did."""
    name = Path(asked.rows).stem
    dataset = studio.call(
        AddDataset(type="project_csv", name=f"rows-{name}", location=asked.rows), key=f"nightly-data-{name}"
    ).dataset
    text = Path(asked.training_arguments).read_text() if asked.training_arguments else None
    request = StartFineTuningJob(
        adapter_name=f"nightly-{name}",
        base_model_id=model_id(studio, asked.model),
        dataset_id=dataset.id,
        prompt_id=prompt_for(studio, asked.prompt, dataset.id, name),
        training_arguments_config=text,
        num_cpu=1,
        num_gpu=asked.gpus,
        num_memory=1,
    )
    return studio.call(request, key=f"nightly-job-{name}").fine_tuning_job


def model_id(studio: StudioClient, name: str) -> str:
    """The id of the model of that name."""
    found = [model.id for model in studio.call(ListModels(name_contains=name)).models if model.name == name]
    if not found:
        raise NotFound(f"there is no model named {name}")
    return found[0]


def prompt_for(studio: StudioClient, name: str, dataset_id: str, day: str) -> str:
    """A prompt belongs to a dataset: the named one's templates, for this dataset."""
    found = [each.id for each in studio.call(ListPrompts(name_contains=name)).prompts if each.name == name]
    if not found:
        raise NotFound(f"there is no prompt named {name}")
    like = studio.call(GetPrompt(id=found[0])).prompt
    fields = PromptFields(
        name=f"{name}-{day}",
        dataset_id=dataset_id,
        prompt_template=like.prompt_template,
        input_template=like.input_template,
        completion_template=like.completion_template,
    )
    return studio.call(AddPrompt(prompt=fields), key=f"nightly-prompt-{day}").prompt.id


def follow(studio: StudioClient, id: str) -> FineTuningJobMetadata:
    """Print what happens to the job until it has ended. Outages of the queue are waited out, and nothing is missed."""
    answer = studio.ask(GetFineTuningJob(id=id))
    if answer.value.fine_tuning_job.status.finished:
        return answer.value.fine_tuning_job
    for seen in studio.follow(answer.as_of):
        told = ours(seen, id)
        if told:
            print(told, flush=True)
        if told or isinstance(seen, Back | Reset):
            job = studio.call(GetFineTuningJob(id=id)).fine_tuning_job
            if job.status.finished:
                return job
    raise AssertionError("following ends only when it is left")


def ours(seen: Seen, id: str) -> str:
    """What an event tells of the job; empty when it is about something else."""
    return getattr(seen, "message", "") if getattr(seen, "resource_id", None) == id else ""


if __name__ == "__main__":
    sys.exit(main())
