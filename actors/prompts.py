"""Handlers of prompt templates."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.pages import Shelf, by, containing, equal, found, page
from actors.places import Key
from actors.world import RealWorld, as_dict
from core.drafts import unnameable
from core.errors import Refused
from core.messages.common import LONGEST_NAME
from core.messages.prompt_generation import (
    GeneratedPrompt,
    GeneratePrompt,
    PreviewPrompt,
    PromptPreview,
    columns_of,
    dataset_of,
    drafted,
    templates_of,
)
from core.messages.prompts import (
    AddPrompt,
    GetPrompt,
    ListPrompts,
    PromptFields,
    PromptMetadata,
    PromptReply,
    PromptsReply,
)
from core.rendering import EOS, NotApart, eos_of, rendered
from core.rules import Breach
from core.store.session import Unit
from core.store.tables import Dataset, Model, Prompt
from core.template import TemplateError
from core.types import LossOn


@handles(AddPrompt)
def add_prompt(message: AddPrompt, unit: Unit, world: RealWorld) -> PromptReply:
    """Store the prompt."""
    given = message.prompt
    fields = given.model_dump(exclude={"id", "name"})
    row = Prompt(id=given.id or str(uuid4()), name=given.name.strip(), created_at=unit.now, **fields)
    unit.session.add(row)
    unit.session.flush()
    unit.emit("ResourceAdded", "prompts", row.id, f"prompt {row.name} was added", name=row.name)
    return PromptReply(prompt=metadata(row))


@handles(GetPrompt)
def get_prompt(message: GetPrompt, session: Session, world: RealWorld) -> PromptReply:
    """One prompt."""
    return PromptReply(prompt=metadata(found(session, Prompt, message.id, "prompt")))


SHELF = Shelf(
    select(Prompt),
    Prompt.id,
    own=(Key(Prompt.created_at),),
    orders=by(Prompt, "name", "created_at"),
    seen=(Prompt.name, Prompt.input_template, Prompt.completion_template, Prompt.prompt_template, Prompt.id),
    what="prompt",
)


@handles(ListPrompts)
def list_prompts(message: ListPrompts, session: Session, world: RealWorld) -> PromptsReply:
    """A page of prompts."""
    query = containing(SHELF.query, message.name_contains, Prompt.name)
    part = page(session, SHELF, message, equal(query, (Prompt.dataset_id, message.dataset_id)))
    return PromptsReply(prompts=[metadata(row) for row in part.rows], **part.told)


@handles(GeneratePrompt)
def generate_prompt(message: GeneratePrompt, session: Session, world: RealWorld) -> GeneratedPrompt:
    """A draft; the rules saw that there is one."""
    dataset = as_dict(session.get_one(Dataset, message.dataset_id))
    made = drafted(message, dataset)
    prompt = PromptFields(
        name=free_name(session, f"{dataset['name']}: {made.output}"),
        dataset_id=dataset["id"],
        prompt_template=made.prompt_template,
        input_template=made.input_template,
        completion_template=made.completion_template,
    )
    return GeneratedPrompt(
        prompt=prompt,
        style=made.style.value,
        input_columns=made.inputs,
        output_column=made.output,
        unnameable=unnameable(columns_of(dataset)),
        why=made.why,
    )


@handles(PreviewPrompt)
def preview_prompt(message: PreviewPrompt, session: Session, world: RealWorld) -> PromptPreview:
    """One of the dataset's first rows, rendered; the rules saw that it can be."""
    rows = session.get_one(Dataset, dataset_of(message, world)).preview or []
    model = session.get_one(Model, message.model_id) if message.model_id else None
    eos = EOS if model is None else eos_of(model.location, model.family)
    try:
        made = rendered(templates_of(message, world), rows[message.row], LossOn(message.loss_on), eos)
    except (NotApart, TemplateError) as error:
        raise Refused.because([Breach(rule="PR-108", field="prompt_template", message=str(error))]) from None
    return PromptPreview(**vars(made), eos=eos, row=message.row, rows=len(rows), values=rows[message.row])


def free_name(session: Session, wanted: str) -> str:
    """The name, cut to what a name may have, or the first of `name 2`, `name 3`, … that no prompt has."""
    wanted = wanted[: LONGEST_NAME - len(" 99999")]
    taken = set(session.scalars(select(Prompt.name).where(Prompt.name.startswith(wanted, autoescape=True))))
    numbered = (f"{wanted} {number}" for number in range(2, len(taken) + 3))
    return next(name for name in (wanted, *numbered) if name not in taken)


def metadata(row: Prompt) -> PromptMetadata:
    """The row as it is answered."""
    return PromptMetadata.model_validate(as_dict(row))
