"""A merged model: one set of weights that answers like base and adapter, as a directory that any library reads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from core.spec import Exported, ExportSpec, Parity
from gpu_runner import card, checkpoint
from gpu_runner.child import Context
from gpu_runner.device import Device
from gpu_runner.failures import JobError
from gpu_runner.files import Files, read_json
from gpu_runner.generate import marks_of, options_of
from gpu_runner.holding import Writing, with_room
from gpu_runner.models import located
from gpu_runner.parity import Opened, opened_directory

HALF = (torch.bfloat16, torch.float16)
DRAFT = ".draft"


def merge(model: Any) -> Any:
    """The base with the adapter's weights added to its own; `model` is used up."""
    return model.merge_and_unload(safe_merge=True)


def stored_dtype(spec: ExportSpec, token: str | None) -> torch.dtype:
    """The precision that the base's weights are kept in, and the merged ones will be."""
    from transformers import AutoConfig

    found = getattr(AutoConfig.from_pretrained(**located(spec.model, token)), "dtype", None)
    dtype = getattr(torch, found.removeprefix("torch."), None) if isinstance(found, str) else found
    return dtype if dtype in HALF else torch.float32


def generation_config(model: Any, tokenizer: Any, settings: dict[str, Any]) -> Any:
    """The base's own generation config with the export's over it, and the tokens that end an answer."""
    from transformers import GenerationConfig

    marks = marks_of(model, tokenizer)
    special = {"bos_token_id": marks.bos, "eos_token_id": list(marks.eos), "pad_token_id": marks.pad}
    return GenerationConfig.from_dict({**model.generation_config.to_dict(), **options_of(settings), **special})


def write(model: Any, tokenizer: Any, directory: Path) -> None:
    """Weights (safetensors), config, tokenizer and chat template, into a new directory."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    model.save_pretrained(str(directory), safe_serialization=True)
    tokenizer.save_pretrained(str(directory))


def open_directory(directory: Path, device: Device, generation: dict[str, Any]) -> Opened:
    """What was written, as its users load it: in its own precision."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(directory), "local_files_only": True, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype="auto", use_safetensors=True).to(device.kind).eval()
    return opened_directory(model, AutoTokenizer.from_pretrained(**where), generation)


def size_of(model: Any) -> int:
    """Bytes of its weights."""
    return sum(each.numel() * each.element_size() for each in model.parameters())


class Directory:
    """Target `merged`: a directory that has its name only when all of it is there and answers as it should."""

    def __init__(self, spec: ExportSpec, context: Context) -> None:
        assert spec.directory is not None
        self.spec, self.context, self.final = spec, context, Path(spec.directory)
        mark = f"{spec.job_id}.{context.attempt}"
        self.draft = self.final.with_name(f".{self.final.name}.{mark}{DRAFT}")

    def made_before(self) -> Exported | None:
        """What an earlier attempt of this job published before it died. Raises JobError when something else has the name."""
        if not os.path.lexists(self.final):
            return None
        told = read_json(self.final / card.LINEAGE) or {}
        if told.get("job_id") != self.spec.job_id:
            hint = "Move it away, or export under another name."
            raise JobError(f"{self.final} is there already, and no export of this job made it", hint)
        return self._exported(checkpoint.hashes(self.final), Parity.model_validate(told["parity"]))

    def clear(self) -> None:
        """Remove the drafts of attempts that nobody works at any more, of other exports into the same directory too.

        What no attempt of this studio's is named in is someone else's: another studio may work at it.
        """
        for draft in self.final.parent.glob(f".*{DRAFT}"):
            job, _, attempt = draft.name.removesuffix(DRAFT).rpartition(".")
            job = job.rpartition(".")[2]
            files = Files(self.context.root / "jobs" / job / attempt)
            if job and attempt.isdecimal() and files.directory.is_dir() and not files.locked():
                shutil.rmtree(draft, ignore_errors=True)

    def write(self, model: Any, tokenizer: Any) -> None:
        """Write the draft, once there is room."""
        self.final.parent.mkdir(parents=True, exist_ok=True)
        with_room(
            self.context,
            Writing("the merged model", size_of(model), self.final.parent),
            [lambda: write(model, tokenizer, self.draft)],
            self.drop,
        )

    def open(self, device: Device) -> Opened:
        """The draft, as its users will load it."""
        return open_directory(self.draft, device, self.spec.generation)

    def publish(self, parity: Parity) -> Exported:
        """Give the draft its name."""
        card.describe(self.draft, self.spec, parity, checkpoint.hashes(self.draft))
        try:
            files = checkpoint.publish(self.draft, self.final)
        except OSError as error:
            if os.path.lexists(self.final) and (before := self.made_before()) is not None:
                self.drop()
                return before
            raise JobError(f"{self.final} can't be written: {error}") from error
        self.context.spool.write("artifact", kind="model", path=str(self.final), job_id=self.spec.job_id, files=files)
        return self._exported(files, parity)

    def drop(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.draft, ignore_errors=True)

    def _exported(self, files: dict[str, str], parity: Parity) -> Exported:
        return Exported(location=str(self.final), files=files, parity=parity)
