"""Promotion: what a training makes is registered under a name when it is better than what has the name (rules on StartFineTuningJob)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from core.messages.base import Query, Value
from core.messages.common import Page, PagedQuery, exists, filled, fitting, known, one_of_or_none, ordered
from core.messages.evaluation import FIGURES
from core.messages.fine_tuning import StartFineTuningJob
from core.rules import Example, Need, NoWorld, World, rule
from core.types import Method, PromotionState


class PromotionMetadata(Value):
    """A promotion: `id` is the training's. Times are unix seconds."""

    id: str
    name: str
    metric: str
    dataset_id: str | None = None
    prompt_id: str | None = None
    state: PromotionState
    reason: str = Field("", description="Why it is in that state.")
    adapter_id: str | None = Field(None, description="The candidate.")
    value: float | None = Field(None, description="The candidate's.")
    champion_adapter_id: str | None = Field(None, description="What has the name; none: nothing has yet.")
    champion_value: float | None = None
    evaluation_id: str | None = Field(None, description="The batch that compares both.")
    export_id: str | None = None
    version: str | None = Field(None, description="The version that was registered.")
    created_at: float | None = None
    updated_at: float | None = None


class PromotionReply(Value):
    """One promotion."""

    promotion: PromotionMetadata


class PromotionsReply(Page):
    """A page of promotions."""

    promotions: list[PromotionMetadata]


class GetPromotion(Query[PromotionReply]):
    """Return the promotion of a training."""

    id: str = Field(description="The fine-tuning job's id.")


class ListPromotions(PagedQuery[PromotionsReply]):
    """Return promotions, newest first."""

    order: str | None = ordered("name", "state", "value", "created_at", "updated_at")
    name: str | None = Field(None, description="Only those towards this name.")
    state: str | None = Field(None, description="Only those in this state.", json_schema_extra=known(PromotionState))


@rule(ListPromotions, "FT-151", "state", passes=[{}, {"state": "kept"}], fails=[{"state": "better"}])
def _listed_state(message: ListPromotions, world: World) -> Iterator[str]:
    """a list is filtered by a state that there is"""
    yield from one_of_or_none(message.state, PromotionState, "state")


_PROMOTED: dict[str, Any] = {"promote_as": "tickets"}


@rule(
    StartFineTuningJob,
    "FT-152",
    "promote_as",
    passes=[{}, _PROMOTED],
    fails=[
        {"promote_as": " "},
        {"promote_as": "a/b"},
        {"promote_as": "a:b"},
        {"promote_as": "x" * 256},
        {**_PROMOTED, "auto_add_adapter": False},
        {**_PROMOTED, "method": "full"},
        {"promote_dataset_id": "d"},
        {"promote_prompt_id": "p"},
    ],
)
def _promotes(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """promote_as must be a name that MLflow's registry takes, and what is promoted a registered adapter"""
    name = message.promote_as
    if name is None:
        if message.promote_dataset_id or message.promote_prompt_id:
            yield "promote_as tells under which name; without it nothing is promoted"
        return
    yield from filled(name, "promote_as")
    if "/" in name or ":" in name or len(name) > LONGEST:
        yield f"MLflow's registry takes no name with '/' or ':' in it, and none of more than {LONGEST} characters"
    if message.method != Method.lora or not message.auto_add_adapter:
        yield "only an adapter that is registered can be promoted: method lora, with auto_add_adapter"


LONGEST = 255


@rule(
    StartFineTuningJob,
    "FT-153",
    "promote_metric",
    passes=[{}, {**_PROMOTED, "promote_metric": "rougeL"}],
    fails=[{**_PROMOTED, "promote_metric": "goodness"}],
)
def _by_a_metric(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """promote_metric must be one of the studio's own metrics"""
    if message.promote_metric not in COMPARED:
        yield f"promote_metric must be one of {', '.join(sorted(COMPARED))}, not {message.promote_metric!r}"


COMPARED = FIGURES - {"rows", "seconds", "new_tokens"}  # those that have a better end


@rule(
    StartFineTuningJob,
    "FT-154",
    "promote_dataset_id",
    need=Need.store,
    passes=[{}, Example({"promote_dataset_id": "e"}, NoWorld({"datasets": [{"id": "e", "features": "[]"}]}))],
    fails=[
        {"promote_dataset_id": "nowhere"},
        {"promote_prompt_id": "nowhere"},
        Example(
            {"promote_dataset_id": "e"},
            NoWorld(
                {
                    "datasets": [{"id": "e", "features": '["q"]'}],
                    "prompts": [{"id": "p", "name": "p", "prompt_template": "{other}"}],
                }
            ),
        ),
    ],
)
def _compared_on(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """promote_dataset_id and promote_prompt_id must exist, and the prompt fit the dataset"""
    yield from exists(world, "datasets", message.promote_dataset_id, "dataset")
    yield from exists(world, "prompts", message.promote_prompt_id, "prompt")
    if message.promote_dataset_id or message.promote_prompt_id:
        dataset = message.promote_dataset_id or message.dataset_id
        yield from fitting(world, message.promote_prompt_id or message.prompt_id, dataset)


@rule(
    StartFineTuningJob,
    "FT-155",
    "train_test_split",
    passes=[{"train_test_split": 1.0}, {**_PROMOTED, "train_test_split": 1.0, "promote_dataset_id": "e"}, _PROMOTED],
    fails=[{**_PROMOTED, "train_test_split": 1.0}],
)
def _held_out(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """what is promoted by its own dataset holds some of it out"""
    if (
        message.promote_as
        and message.train_test_split == 1.0
        and not (message.promote_dataset_id or message.eval_split)
    ):
        yield "with train_test_split 1 no row is held out to compare on: name another dataset (promote_dataset_id), or hold some out"
