"""Handlers of prompt templates."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.pages import containing, equal, every, found, page
from actors.world import RealWorld, as_dict
from core.messages.prompts import AddPrompt, GetPrompt, ListPrompts, PromptMetadata, PromptReply, PromptsReply
from core.store.session import Unit
from core.store.tables import Prompt


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


@handles(ListPrompts)
def list_prompts(message: ListPrompts, session: Session, world: RealWorld) -> PromptsReply:
    """A page of prompts."""
    query = containing(every(Prompt), message.name_contains, Prompt.name)
    query = equal(query, (Prompt.dataset_id, message.dataset_id))
    rows, more = page(session, query, Prompt, message.after, message.limit)
    return PromptsReply(prompts=[metadata(row) for row in rows], has_more=more)


def metadata(row: Prompt) -> PromptMetadata:
    """The row as it is answered."""
    return PromptMetadata.model_validate(as_dict(row))
