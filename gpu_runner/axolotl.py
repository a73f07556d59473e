"""A fine-tuning that Axolotl does, in its own environment, from top to bottom: rows, config, run, result."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import yaml

from core.axolotl import declared_type
from core.engines import Engine, installed
from core.events import Finished
from core.settings import read
from core.spec import FineTuningSpec
from core.text import counted
from core.types import FailureClass
from gpu_runner import checkpoint, fingerprints
from gpu_runner.child import Context
from gpu_runner.data import load_rows, sample_and_split
from gpu_runner.engines import results, rows
from gpu_runner.engines.ending import ill
from gpu_runner.engines.environment import HELPER, clean
from gpu_runner.engines.overlay import SAVING, Laid, Places, lay
from gpu_runner.engines.program import Patience, Program
from gpu_runner.engines.said import Said
from gpu_runner.failures import Cancelled, JobError

NAME = "axolotl"
NEEDED = (
    "trainer_state.json",
    "rng_state",
)  # of a trainer's checkpoint, however its weights and optimiser are laid out
INSTALL = "Install it on the runner's host: fts engine install axolotl"
CHANGE = "Change the axolotl config and start the job again."
LEFT_BEHIND = ("debug.log", "README.md", "training_args.bin", "tokens_state")
THE_BASES = ("config.json", "generation_config.json")  # an adapter has its own


def run(spec: FineTuningSpec, context: Context, patience: Patience | None = None) -> Finished:
    """Run the job to its end, or to the checkpoint that a pause asks for. Raises JobError, Cancelled, OSError."""
    began, spool = time.monotonic(), context.spool
    engine = installed(read(), NAME)
    if engine is None:
        raise JobError("Axolotl is not installed on this host", INSTALL)

    # ─── rows ─────────────────────────────────────────────────────────────────────────────────────
    spool.phase("reading the rows")
    asked = _config(spec)
    prompt = spec.prompt if declared_type(asked) is None and spec.prompt.input_template else None
    train, held_out = sample_and_split(load_rows(spec.dataset, context.token), spec.sampling)
    fingerprints.keep(spec, context, train)
    spool.log(f"{counted(len(train), 'row')} to train on, {len(held_out)} held out; {_way(asked, prompt is not None)}")
    if context.order() == "cancel":
        raise Cancelled

    # ─── config ───────────────────────────────────────────────────────────────────────────────────
    world = max(1, spec.resources.gpus * spec.resources.workers)
    identity = checkpoint.Identity(
        data=checkpoint.digest([train, held_out, prompt and prompt.model_dump()]),
        config=checkpoint.digest([asked, spec.model.location, spec.model.hub_name, spec.model.revision]),
        world_size=world,
        effective_batch=_batch(asked) * world,
    )
    resumed = results.newest(context, identity, NEEDED)
    told = results.told(spec, context, resumed)
    places = _places(spec, context, held_out=bool(held_out), resume=resumed)
    rows.write(Path(places.train), train, prompt)
    if places.held_out:
        rows.write(Path(places.held_out), held_out, prompt)
    laid = lay(asked, places, gpus=spec.resources.gpus, processes=spec.resources.cpus, prompted=prompt is not None)
    config = _write(laid, context)

    # ─── training ─────────────────────────────────────────────────────────────────────────────────
    said = AxolotlSaid(spec, context, identity)
    program = Program(
        command=_command(engine, config, world),
        environment=_environment(context),
        directory=context.directory / "work",
        context=context,
        take=said.take,
        patience=patience or Patience(cancel=8.0, pause=600.0),  # a step may be long, and the checkpoint large
    )
    code = program.run({**told, "user_config": {"by_clock": not set(SAVING) & laid.config.keys()}})
    if (order := program.obeyed or program.ended_for) == "cancel":
        raise Cancelled
    if order == "pause":
        return Finished(at=time.time(), outcome="paused")
    if code != 0:
        raise said.failure(code, program)

    # ─── adapter ──────────────────────────────────────────────────────────────────────────────────
    spool.phase("saving the adapter")
    kind = "adapter" if laid.config.get("adapter") else "model"
    location = _publish(spec, context, Path(places.output), kind)
    shutil.rmtree(context.directory / "drafts", ignore_errors=True)
    summary = {
        **said.summary,
        "rows": len(train),
        "seconds": round(time.monotonic() - began, 2),
        "location": str(location),
    }
    return Finished(at=time.time(), outcome="succeeded", summary=summary)


@dataclass
class _Heard:
    refused: list[str] = field(default_factory=list)
    broke: str = ""
    began: bool = False


class AxolotlSaid(Said):
    """What our plugin in Axolotl says (helper/fts_axolotl.py)."""

    def __init__(self, spec: FineTuningSpec, context: Context, identity: checkpoint.Identity) -> None:
        super().__init__(spec, context, identity)
        self.heard = _Heard()

    def more(self, kind: str, record: dict[str, Any]) -> None:
        """What Axolotl's run says besides numbers."""
        if kind == "begun":
            self._begun(record)
        elif kind == "saved":
            self._saved(int(record["step"]))
        elif kind == "summary":
            self.summary |= {name: float(value) for name, value in record["values"].items()}
        elif kind == "refused":
            self.heard.refused = [str(each) for each in record["problems"]]
        elif kind == "broke":
            self.heard.broke = str(record["error"])
        else:
            super().more(kind, record)

    def failure(self, code: int, program: Program) -> JobError:
        """Why the run ended ill: a config that Axolotl refuses and what can't be loaded are the user's; what breaks later is not."""
        if self.heard.refused:
            return JobError(f"Axolotl refuses the config: {'; '.join(self.heard.refused)[:2000]}", CHANGE)
        lines = [*program.tail, self.heard.broke] if self.heard.broke else list(program.tail)
        found = ill("Axolotl", code, lines, CHANGE)
        if self.heard.broke and found.kind == FailureClass.user_error:
            kind = FailureClass.bug if self.heard.began else FailureClass.user_error
            hint = "The traceback is in the job's log." if self.heard.began else CHANGE
            return JobError(f"Axolotl broke off: {self.heard.broke}", hint, kind=kind)
        return found

    def _begun(self, record: dict[str, Any]) -> None:
        self.heard.began = True
        world = self.identity.world_size
        if record["world_size"] != world:
            raise JobError(f"Axolotl trains with {record['world_size']} processes, not with {world}", CHANGE)
        self.context.spool.write(
            "started",
            pid=os.getpid(),
            device=record["device"],
            total_steps=record["total_steps"],
            versions=record["versions"],
            details={"rows": record["rows"], "world_size": world},
        )

    def _saved(self, step: int) -> None:
        """Seal a checkpoint of Axolotl's trainer. Its files are linked: the trainer may still want its own, or remove them."""
        drafts = self.context.directory / "drafts"
        made = drafts / f"checkpoint-{step}"
        try:
            shutil.copytree(drafts / "output" / made.name, made, copy_function=_link)
        except (OSError, shutil.Error) as error:
            shutil.rmtree(made, ignore_errors=True)
            self.context.spool.log(f"{made.name} of Axolotl can't be kept: {error}", level="warning")
            return
        results.seal(self.context, self.identity, step)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def _config(spec: FineTuningSpec) -> dict[str, Any]:
    content = yaml.safe_load(spec.axolotl_config or "")
    if not isinstance(content, dict):
        raise JobError("the job has no axolotl config", CHANGE)
    return content


def _way(asked: dict[str, Any], prompted: bool) -> str:
    return "written by the prompt" if prompted else f"in the dataset format {declared_type(asked)}"


def _batch(asked: dict[str, Any]) -> int:
    """Rows of an optimiser step on one device; what is no number Axolotl refuses later, by its key."""
    sizes = [asked.get(name) for name in ("micro_batch_size", "gradient_accumulation_steps")]
    return prod(size if isinstance(size, int) else 1 for size in sizes)


def _places(spec: FineTuningSpec, context: Context, *, held_out: bool, resume: results.Resumed) -> Places:
    drafts = context.directory / "drafts"
    return Places(
        base=spec.model.location or spec.model.hub_name or "",
        revision=None if spec.model.location else spec.model.revision,
        train=str(drafts / "train.jsonl"),
        held_out=str(drafts / "held_out.jsonl") if held_out else None,
        output=str(drafts / "output"),
        prepared=str(drafts / "prepared"),
        resume=None if resume is None else str(resume.path),
    )


def _write(laid: Laid, context: Context) -> Path:
    for text in laid.notes:
        context.spool.log(text)
    for text in laid.warnings:
        context.spool.warn(text)
    path = context.directory / "axolotl.yaml"
    path.write_text(yaml.safe_dump(laid.config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _command(engine: Engine, config: Path, world: int) -> list[str]:
    """One process, or torchrun's agent with one a GPU."""
    agent = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"] if world > 1 else []
    return [str(engine.python), *agent, str(HELPER / "fts_axolotl.py"), str(config)]


def _environment(context: Context) -> dict[str, str]:
    """Its caches lie with the job, and go with it; it tells nobody of what it does."""
    caches = {"HF_DATASETS_CACHE": str(context.directory / "drafts" / "cache")}
    silent = dict.fromkeys(("AXOLOTL_DO_NOT_TRACK", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY"), "1")
    return clean(context.token, **caches, **silent, TOKENIZERS_PARALLELISM="false")


def _publish(spec: FineTuningSpec, context: Context, output: Path, kind: str) -> Path:
    """Bring what Axolotl saved to its place; of its output directory only what is needed to use it."""
    made = results.draft(results.place(spec, context))
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    left = (*LEFT_BEHIND, *(THE_BASES if kind == "adapter" else ()))
    for path in output.iterdir() if output.is_dir() else ():
        if path.is_file() and not path.name.startswith(left):
            shutil.copy2(path, made / path.name)
    if kind == "model":
        results.check(made, "config.json", "model")
        return results.publish(spec, context, made, "model")
    _name_the_base(made / "adapter_config.json", spec)
    return results.publish_adapter(spec, context)


def _name_the_base(config: Path, spec: FineTuningSpec) -> None:
    """The adapter names its base as the studio does."""
    if config.is_file():
        content = json.loads(config.read_text(encoding="utf-8"))
        content["base_model_name_or_path"] = spec.model.hub_name or spec.model.location
        config.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
