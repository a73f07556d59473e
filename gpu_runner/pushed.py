"""An export to the Hub: a merged model with its card, in one commit, after it answered as it should.

The commit is the whole of it: before there is at most an empty repository. What others put into a repository stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, errors
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from core.spec import Exported, ExportSpec, Parity
from gpu_runner import card, checkpoint, merged
from gpu_runner.child import Context
from gpu_runner.device import Device
from gpu_runner.failures import JobError
from gpu_runner.files import read_json
from gpu_runner.holding import Writing, with_room
from gpu_runner.parity import Opened

OWN = {".gitattributes", "README.md"}  # what a new repository may have been given on the Hub's own pages
TOKEN = "Set HUGGINGFACE_ACCESS_TOKEN of the runner to a token that may write to that repository."  # a hint


class Push:
    """Target `huggingface`."""

    def __init__(self, spec: ExportSpec, context: Context) -> None:
        """Raises JobError without a token."""
        assert spec.hub_name is not None
        if not context.token:
            raise JobError("a push to the Hub needs a token, and the runner has none", TOKEN)
        self.spec, self.context, self.name = spec, context, spec.hub_name
        self.api = HfApi(token=context.token)
        self.replaced: list[str] = []  # what the export before put there
        self.draft = context.directory / "push"

    def made_before(self) -> Exported | None:
        """The commit of an earlier attempt that died after it. Raises JobError when the repository is someone else's work."""
        with self._asking():
            info = self._info()
            names = {each.rfilename for each in info.siblings or []} if info else set()
            if info is None or not names - OWN:
                return None
            if card.LINEAGE not in names:
                hint = "Choose another hub_name: what others put there is not overwritten."
                raise JobError(f"{self.name} has files that no export put there", hint)
            told = self._lineage(info.id, info.sha)
            files = {str(name): str(sha) for name, sha in dict(told.get("files") or {}).items()}
            if told.get("job_id") != self.spec.job_id:
                self.replaced = [escape(name) for name in files.keys() & names]
                return None  # of an export before: this one replaces it
            return self._exported(info.id, info.sha, files, Parity.model_validate(told["parity"]))

    def clear(self) -> None:
        """Remove the drafts of earlier attempts."""
        for left in self.context.directory.parent.glob(f"*/{self.draft.name}"):
            shutil.rmtree(left, ignore_errors=True)

    def write(self, model: Any, tokenizer: Any) -> None:
        """Write the draft, once there is room."""
        with_room(
            self.context,
            Writing("the merged model", merged.size_of(model), self.context.directory),
            [lambda: merged.write(model, tokenizer, self.draft)],
            self.drop,
        )

    def open(self, device: Device) -> Opened:
        """The draft, as its users will load it."""
        return merged.open_directory(self.draft, device, self.spec.generation)

    def publish(self, parity: Parity) -> Exported:
        """Make the repository where there is none, and commit everything at once."""
        files = checkpoint.hashes(self.draft)
        card.describe(self.draft, self.spec, parity, files)
        with self._asking():
            name = self.api.create_repo(self.name, private=self.spec.private, exist_ok=True).repo_id
            info = self.api.model_info(name)
            if (before := self.made_before()) is not None:  # much may have come there while it was made
                self.drop()
                return before
            if self.spec.private and info.private is False:
                hint = "Export with private false, or make the repository private first."
                raise JobError(f"{name} is public on the Hub, and the export is to be private", hint)
            made = self.api.upload_folder(
                repo_id=name,
                folder_path=self.draft,
                commit_message=f"Export {self.spec.model_name}",
                parent_commit=info.sha,  # whoever was quicker is not overwritten
                delete_patterns=self.replaced or None,
            )
        self.drop()
        return self._exported(name, made.oid, files, parity)

    def drop(self) -> None:
        """Remove the draft."""
        shutil.rmtree(self.draft, ignore_errors=True)

    def _info(self) -> Any:
        """The repository; None when there is none. A name without an owner is the token's own."""
        name = self.name if "/" in self.name else f"{self.api.whoami()['name']}/{self.name}"
        try:
            return self.api.model_info(name)
        except RepositoryNotFoundError:
            return None

    def _lineage(self, name: str, commit: str | None) -> dict[str, Any]:
        into = self.context.directory / "hub"
        told = read_json(Path(self.api.hf_hub_download(name, card.LINEAGE, revision=commit, local_dir=into))) or {}
        shutil.rmtree(into, ignore_errors=True)
        return told

    def _exported(self, name: str, commit: str | None, files: dict[str, str], parity: Parity) -> Exported:
        return Exported(uri=f"{self.api.endpoint}/{name}", commit=commit, files=files, parity=parity)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Tell what the Hub's errors mean, as JobError."""
        try:
            yield
        except HfHubHTTPError as error:
            code = error.response.status_code if error.response is not None else 0
            reason = str(error.server_message or error).strip().partition("\n")[0]
            hint = TOKEN if code in (401, 403) else "Run the job again when the Hub takes it."
            raise JobError(f"the Hub does not take {self.name} ({code}): {reason}", hint) from None
        except (errors.HTTPError, OSError, RuntimeError) as error:  # type: ignore[attr-defined]  # its HTTP library's, and a file's upload
            why = error.__cause__ or error
            raise JobError(f"the Hub can't be reached: {why}", "Run the job again when it can.") from None
