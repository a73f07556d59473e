"""Names and beginnings of ids where ids are wanted: `--dataset-id tickets` finds the dataset of that name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import Conflict
from core.messages.base import find, named
from core.text import plain
from tui.cli.parsing import near

if TYPE_CHECKING:
    from core.client import StudioClient

PAGE = 1000
_WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BEGINNING = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,27}")


@dataclass(frozen=True)
class Listing:
    """Where resources of a noun are found: the message that lists them, and the fields that hold names and the id."""

    noun: str
    message: str
    many: str
    names: tuple[str, ...] = ("name",)
    id: str = "id"
    called: str = ""  # what the names are, where their fields do not say it

    @property
    def help(self) -> str:
        """What may stand for a resource."""
        return f"id, or {self.called or self.names[0].replace('_', ' ')}" if self.names else "id"


DATASET = Listing("dataset", "ListDatasets", "datasets")
MODEL = Listing("model", "ListModels", "models")
PROMPT = Listing("prompt", "ListPrompts", "prompts")
ADAPTER = Listing("adapter", "ListAdapters", "adapters")
CONFIG = Listing("config", "ListConfigs", "configs", ("description",))
JOB = Listing("job", "ListFineTuningJobs", "fine_tuning_jobs", ("name", "adapter_name"))
BATCH = Listing("evaluation", "ListEvaluationJobs", "evaluation_jobs", id="parent_job_id")
SCORED = Listing("evaluation", "ListEvaluationJobs", "evaluation_jobs", ())
EXPORT = Listing("export", "ListExportJobs", "export_jobs", ("model_name",))
ENDPOINT = Listing("endpoint", "ListEndpoints", "endpoints")
RUNNER = Listing("runner", "ListRunners", "runners", ("host",), called="name, which is its host's")
COMPARISON = Listing("compare", "ListComparisons", "comparisons", ())
ANY_JOB = (JOB, BATCH, SCORED, EXPORT, ENDPOINT, COMPARISON)

# A field that holds an id -> where it is looked for
REFERENCES: dict[str, tuple[Listing, ...]] = {
    "dataset_id": (DATASET,),
    "base_model_id": (MODEL,),
    "model_id": (MODEL,),
    "prompt_id": (PROMPT,),
    "promote_dataset_id": (DATASET,),
    "promote_prompt_id": (PROMPT,),
    "adapter_id": (ADAPTER,),
    "adapter_ids": (ADAPTER,),
    "fine_tuning_job_id": (JOB,),
    "parent_job_id": (BATCH,),
    "training_arguments_config_id": (CONFIG,),
    "lora_config_id": (CONFIG,),
    "model_bnb_config_id": (CONFIG,),
    "adapter_bnb_config_id": (CONFIG,),
    "user_config_id": (CONFIG,),
    "axolotl_config_id": (CONFIG,),
}
# Messages whose own `id` may be a name -> where it is looked for
BY_ID: dict[str, tuple[Listing, ...]] = {
    **{f"{verb}Dataset": (DATASET,) for verb in ("Get", "Edit", "Remove")},
    **{f"{verb}Model": (MODEL,) for verb in ("Get", "Edit", "Remove")},
    **{f"{verb}Prompt": (PROMPT,) for verb in ("Get", "Edit", "Remove")},
    **{f"{verb}Adapter": (ADAPTER,) for verb in ("Get", "Edit", "Remove")},
    **{f"{verb}Config": (CONFIG,) for verb in ("Get", "Edit", "Remove")},
    **{f"{verb}FineTuningJob": (JOB,) for verb in ("Get", "Edit", "Remove")},
    "GetJobMetrics": (JOB,),
    "GetPromotion": (JOB,),
    "GetEvaluationJob": (SCORED,),
    "EditEvaluationJob": (BATCH,),
    "RemoveEvaluationJob": (BATCH, SCORED),
    "GetExportJob": (EXPORT,),
    **{f"{verb}Endpoint": (ENDPOINT,) for verb in ("Get", "Stop", "Remove")},
    **dict.fromkeys(
        ("GetComparison", "AskComparison", "StopAnswers", "EndComparison", "RemoveComparison"), (COMPARISON,)
    ),
    "DrainRunner": (RUNNER,),
    "CheckpointJob": (JOB,),
    **dict.fromkeys(("CancelJob", "PauseJob", "ResumeJob", "RetryJob", "SetJobPriority"), ANY_JOB),
}


class Ambiguous(Conflict):
    """Several resources have the name."""


def places(field: str, name: str = "") -> tuple[Listing, ...]:
    """Where what a field of the message `name` holds is looked for; empty when it holds no id."""
    return BY_ID.get(name, ()) if field == "id" else REFERENCES.get(field, ())


def resolve(client: StudioClient, payload: Any, name: str = "") -> Any:
    """Return the payload of the message `name` with names replaced by ids; what is no name stays, for the studio to judge."""
    if isinstance(payload, dict):
        return {field: _resolved(client, field, value, name) for field, value in payload.items()}
    if isinstance(payload, list):
        return [resolve(client, each) for each in payload]
    return payload


def _resolved(client: StudioClient, field: str, value: Any, name: str) -> Any:
    listings = places(field, name)
    if listings and isinstance(value, list):
        return [_resolved(client, field, each, name) for each in value]
    if listings and isinstance(value, str) and value:
        return by_name(client, listings, value)
    return resolve(client, value) if isinstance(value, dict | list) else value


def by_name(client: StudioClient, listings: tuple[Listing, ...], value: str) -> str:
    """The id of the resource that is named `value` or whose id begins so; `value` itself when it is an id or unknown."""
    if _WHOLE.fullmatch(value):
        return value
    named: set[str] = set()
    begun: set[str] = set()
    for listing in listings:
        for row in _rows(client, listing, value):
            id = str(getattr(row, listing.id))
            if id == value:
                return value
            if value in (getattr(row, each) for each in listing.names):
                named.add(id)
            if _BEGINNING.fullmatch(value) and id.startswith(value):
                begun.add(id)
    found = sorted(named or begun)
    if len(found) > 1:
        raise Ambiguous(
            f"{len(found)} resources are meant by {plain(value, limit=100)}: {', '.join(found)}; give the id"
        )
    return found[0] if found else value


def _rows(client: StudioClient, listing: Listing, value: str) -> Iterator[Any]:
    """What may be meant: the studio leaves out what has another name, unless the beginning of an id is looked for."""
    fields = named(listing.message).model_fields
    if "limit" not in fields:
        return iter(getattr(client.call(named(listing.message)()), listing.many))
    if "name_contains" in fields and listing.names and not _BEGINNING.fullmatch(value):
        return client.rows(listing.message, listing.many, name_contains=value)
    return client.rows(listing.message, listing.many)


def hints(client: StudioClient, payload: Any, name: str, told: str) -> Iterator[str]:
    """For each name in the payload that the error `told` says is unknown: the names that come nearest, and who lists them."""
    yield from _switches(name, told)
    for field, value in payload.items() if isinstance(payload, dict) else ():
        for each in value if isinstance(value, list) else [value]:
            listings = places(field, name) if isinstance(each, str) and repr(each) in told else ()
            if listings and each not in (known := _known(client, listings[0])):
                yield _nearest(listings[0], each, known)
            if isinstance(each, dict):
                yield from hints(client, each, "", told)


def _switches(name: str, told: str) -> Iterator[str]:
    """The options for fields that an error says would allow what was asked."""
    kind = find(name)
    fields = kind.model_fields if kind is not None else {}
    for field, info in fields.items():
        if info.annotation is bool and re.search(rf"\b{field}\b", told):
            yield f"{field} is --{field.replace('_', '-')} here"


def hint(client: StudioClient, listing: Listing, value: str) -> str:
    """What to do about a name that there is not."""
    return _nearest(listing, value, _known(client, listing))


def _known(client: StudioClient, listing: Listing) -> set[str]:
    fields = {"limit": PAGE} if "limit" in named(listing.message).model_fields else {}
    page = client.call(named(listing.message).model_validate(fields))
    return {str(getattr(row, each)) for row in getattr(page, listing.many) for each in (*listing.names, listing.id)}


def _nearest(listing: Listing, value: str, known: set[str]) -> str:
    start = f"there is no {'comparison' if listing is COMPARISON else listing.noun} {value}{near(value, sorted(known))}"
    mark = "" if start.endswith("?") else ";"
    return plain(f"{start}{mark} `fts {listing.noun} list` shows what there is", limit=400)
