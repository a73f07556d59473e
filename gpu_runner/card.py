"""Where an export came from: as tags, as a file beside its weights, and as a model card for people."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

from core.spec import ExportSpec, FineTuningSpec, Parity
from core.text import plain
from gpu_runner.checkpoint import digest
from gpu_runner.provenance import of_base, provenance

LINEAGE = "fts_export.json"
SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&-])")


def lineage(spec: ExportSpec) -> dict[str, str]:
    """What the export was made of, by the names of its tags; what is not known is left out."""
    made: dict[str, str | None] = {
        **(provenance(spec.training) if spec.training else {}),
        "fts.training_job_id": spec.training.job_id if spec.training else None,
        "fts.evaluation_job_id": spec.scores.evaluation_job_id if spec.scores else None,
        "fts.adapter": spec.adapter.name,
        "fts.adapter_id": spec.adapter.id,
        "fts.adapter_commit": spec.adapter.revision,
        "fts.adapter_sha256": digest(spec.adapter.files) if spec.adapter.files else None,
        "fts.version": version("fine-tuning-studio"),
        **{f"fts.{name}": value for name, value in of_base(spec.model).items()},
        **{f"fts.{name}": f"{value:.6g}" for name, value in (spec.scores.values if spec.scores else {}).items()},
    }
    return {name: value for name, value in made.items() if value}


def describe(directory: Path, spec: ExportSpec, parity: Parity, files: dict[str, str]) -> None:
    """Write the lineage, with the SHA-256 of the `files`, and the card beside the weights."""
    told = {"job_id": spec.job_id, "lineage": lineage(spec), "parity": parity.model_dump(), "files": files}
    (directory / LINEAGE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (directory / "README.md").write_text(text(spec, parity), encoding="utf-8")


def text(spec: ExportSpec, parity: Parity | None = None) -> str:
    """The model card: YAML for the Hub in front, then what people want to know. Names are foreign, and only shown."""
    parts = [
        _front(spec),
        f"# {shown(spec.model_name)}",
        shown(spec.model_description),
        f"{shown(_base(spec))} with the adapter {shown(spec.adapter.name)} merged into its weights, in safetensors."
        if spec.merge
        else f"{shown(_base(spec))} and the adapter {shown(spec.adapter.name)}, apart.",
        *(_training(spec.training) if spec.training else []),
        *(_scores(spec) if spec.scores else []),
        *(_parity(parity) if parity else []),
        "## How to use it\n\n" + _usage(spec),
        f"Made by Fine Tuning Studio {version('fine-tuning-studio')}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def shown(foreign: object) -> str:
    """Foreign text as Markdown shows it, on one line."""
    return SPECIAL.sub(r"\\\1", plain(foreign, limit=500).replace("\n", " "))


def _base(spec: ExportSpec) -> str:
    return spec.model.hub_name or spec.model.name


def _front(spec: ExportSpec) -> str:
    """JSON is YAML: whatever a name holds, it stays a text."""
    lines = ["library_name: transformers", "pipeline_tag: text-generation", "tags: [fine-tuning-studio]"]
    if spec.model.hub_name:
        lines += [f"base_model: {json.dumps(spec.model.hub_name, ensure_ascii=False)}", "base_model_relation: finetune"]
    if spec.training is not None and spec.training.dataset.hub_name:
        lines.append(f"datasets: {json.dumps([spec.training.dataset.hub_name], ensure_ascii=False)}")
    return "\n".join(["---", *lines, "---"])


def _training(training: FineTuningSpec) -> list[str]:
    data, arguments = training.dataset, training.training_arguments
    rows = [
        ("dataset", data.hub_name or data.name),
        ("dataset's SHA-256 or commit", data.sha256 or data.revision),
        ("learning rate", arguments.get("learning_rate")),
        ("epochs", arguments.get("num_train_epochs")),
        ("LoRA rank", training.lora.get("r")),
        ("longest row", f"{training.max_length} tokens"),
        ("loss on", training.loss_on.value),
        ("training job", training.job_id),
    ]
    made = ["## How it was trained\n\n" + _table(("what", "value"), [row for row in rows if row[1] is not None])]
    if training.prompt.prompt_template:
        made.append(
            "A row was written as:\n\n" + _fenced(plain(training.prompt.prompt_template, lines=True, limit=20_000))
        )
    return made


def _scores(spec: ExportSpec) -> list[str]:
    assert spec.scores is not None
    numbers = [(name, f"{value:.4g}") for name, value in spec.scores.values.items()]
    on = f"On {spec.scores.rows} held-out rows of {shown(spec.scores.dataset)}:"
    return ["## How it did\n\n" + on + "\n\n" + _table(("metric", "value"), numbers)] if numbers else []


def _parity(parity: Parity) -> list[str]:
    told = (
        f"{parity.same_text} of {parity.prompts} prompts were answered with the same greedy text as by base and adapter"
    )
    ties = f", {parity.near_ties} otherwise where two tokens were as good as equal" if parity.near_ties else ""
    return [f"{told}{ties}; the logits differ by {parity.max_logit_difference:.2g} at most."]


def _usage(spec: ExportSpec) -> str:
    name = json.dumps(spec.hub_name or spec.model_name)
    return _fenced(
        "from transformers import pipeline\n\n"
        f'answer = pipeline("text-generation", {name})\n'
        'print(answer("…", return_full_text=False)[0]["generated_text"])',
        "python",
    )


def _table(head: tuple[str, str], rows: list[tuple[str, object]] | list[tuple[str, str]]) -> str:
    lines = [
        f"| {head[0]} | {head[1]} |",
        "|---|---|",
        *(f"| {shown(name)} | {shown(value)} |" for name, value in rows),
    ]
    return "\n".join(lines)


def _fenced(code: str, language: str = "") -> str:
    """Code in a fence that is longer than any in it."""
    ticks = max([2, *(len(run) for run in re.findall(r"`+", code))]) + 1
    return f"{'`' * ticks}{language}\n{code}\n{'`' * ticks}"
