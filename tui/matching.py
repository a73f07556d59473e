"""Which prompts go with a dataset: its own first, then those of others that name nothing but its columns, told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.template import problems

Row = Mapping[str, Any]
Option = tuple[str, str]  # what is shown, the value
TEMPLATES = ("prompt_template", "input_template", "completion_template")


class Prompts:
    """The prompts that fields choose from, and the datasets that decide which of them are offered."""

    def __init__(self, prompts: Sequence[Row], datasets: Sequence[Row]) -> None:
        self.prompts = {str(each["id"]): each for each in prompts}
        self.datasets = {str(each["id"]): each for each in datasets}

    def own(self, dataset: str | None) -> list[str]:
        """The ids of those that were written for the dataset; without one, of all."""
        return [id for id, each in self.prompts.items() if not dataset or each.get("dataset_id") == dataset]

    def fits(self, prompt: str, dataset: str | None) -> bool:
        """Whether the prompt names only columns of the dataset, as far as those are known."""
        told = self.prompts.get(prompt)
        features = self.datasets.get(dataset or "", {}).get("features")
        return told is not None and not (
            features and any(problems(told.get(each) or "", features) for each in TEMPLATES)
        )

    def keeps(self, prompt: str, dataset: str | None) -> bool:
        """Whether a prompt stays when another dataset is chosen: its own, or one that fits where it has none of its own."""
        own = self.own(dataset)
        return prompt in own or (not own and self.fits(prompt, dataset))

    def offered(self, dataset: str | None, chosen: str | None = None) -> list[Option]:
        """Those of the dataset, then those of others that fit it, with whose they are; what is `chosen` is among them."""
        own = self.own(dataset)
        others = [id for id in self.prompts if id not in own and (id == chosen or self.fits(id, dataset))]
        return [(self._name(id), id) for id in own] + [(f"{self._name(id)}  ({self._whose(id)})", id) for id in others]

    def _name(self, prompt: str) -> str:
        return str(self.prompts[prompt].get("name") or prompt)

    def _whose(self, prompt: str) -> str:
        id = self.prompts[prompt].get("dataset_id")
        name = self.datasets.get(str(id), {}).get("name")
        return f"of {name}" if name else "of another dataset" if id else "of no dataset"
