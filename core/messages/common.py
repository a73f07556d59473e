"""What several domains' messages share: paging, small checks, and rules that read alike everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from math import isfinite
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, Field, JsonValue
from pydantic.fields import FieldInfo

from core.errors import StudioError
from core.messages.base import Query, Value
from core.rules import Breach, Example, NoWorld, Row, World, rule
from core.template import problems

LONGEST_NAME = 255  # characters: an index of PostgreSQL refuses rows of more than 2,704 bytes
LARGEST_COUNT = 2**31 - 1  # what a column of whole numbers holds
Name = Annotated[str, Field(max_length=LONGEST_NAME)]
Count = Annotated[int, Field(ge=-LARGEST_COUNT, le=LARGEST_COUNT)]
Limit = Annotated[int, Field(ge=1, le=1000, description="At most this many rows.")]
NameContains = Annotated[
    str | None, Field(description="Only those whose name contains this text, in upper or lower case.")
]
Moment = Annotated[
    float | None,
    Field(ge=0, le=32_503_680_000, json_schema_extra={"x-moment": True}),  # unix seconds, up to the year 3000
]
COUNTED = 10_000  # rows that a list counts; one more is told when there are more
R = TypeVar("R", bound=BaseModel)


class Page(Value):
    """A part of a list. `begins` and `ends` are places between rows: one stays where it is when the rows beside it go or change."""

    has_more: bool = Field(False, description="Whether there are rows behind this page.")
    has_before: bool = Field(False, description="Whether there are rows before this page, as far as it was looked for.")
    begins: str | None = Field(None, description="The place before its first row, for `after`; none of an empty page.")
    ends: str | None = Field(
        None, description="The place behind its last row, for `after`: the next page begins there."
    )
    total: int | None = Field(None, description="With `counts`: how many rows the list has; 10001: more than 10,000.")
    matching: int | None = Field(None, description="With `counts`: how many of them the filters leave, counted so too.")


class PagedQuery(Query[R], Generic[R]):
    """A query for a part of a list. Its `order` is declared by `ordered`, with the columns that the list can be ordered by."""

    after: str | None = Field(
        None, description="The id, or the place that a page told, after which the page begins; none: the first page."
    )
    around: str | None = Field(None, description="The id of a row that the page lies around, instead of `after`.")
    limit: Limit = 100
    order: str | None = None
    descending: bool = Field(False, description="The other way round: the list from its end.")
    contains: str | None = Field(
        None,
        max_length=1000,
        description="Only rows in which each word of this text is somewhere: in a name, the type, the state, the id, a place.",
    )
    counts: bool = Field(False, description="Count the rows too, up to 10,000.")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "rules" in cls.__dict__:  # a message, not a step of its making
            rule(cls, "MS-110", "order", passes=[{}, {"after": "a"}, {"around": "a"}], fails=_DISORDERED)(_in_order)


def ordered(*columns: str) -> Any:
    """The field `order` of a list that has these columns to be ordered by."""
    text = "The column by which the rows are ordered, ties by id; none: the list's own order."
    return Field(None, description=text, json_schema_extra=known(columns))


_DISORDERED = ({"order": "colour"}, {"order": ""}, {"after": "a", "around": "b"})


def _in_order(message: PagedQuery[Any], world: World) -> Iterator[str | Breach]:
    """a list is ordered by a column that it can be ordered by, and a page lies after a place or around a row, not both"""
    columns = choices(type(message).model_fields["order"])
    if message.order is not None and message.order not in columns:
        yield f"order must be one of {', '.join(columns)}, not {message.order!r}"
    if message.after is not None and message.around is not None:
        yield Breach(
            rule="MS-110", field="around", message="a page begins after a place or lies around a row, not both"
        )


def known(values: Iterable[str]) -> dict[str, JsonValue]:
    """What a field's values are, for those who offer them: forms, shells, other services. The rules judge what is sent."""
    return {"x-choices": [str(each) for each in values]}


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values that are known of a field; empty when they are not, or any will do."""
    extra = field.json_schema_extra
    told = extra.get("x-choices", []) if isinstance(extra, dict) else []
    return tuple(map(str, told)) if isinstance(told, list) else ()


def meaning(field: FieldInfo) -> str:
    """What a field is for, with the values that are known of it where its description does not tell them all."""
    text, values = field.description or "", choices(field)
    if all(each in text for each in values):
        return text
    *most, last = values
    return f"{text} One of {', '.join(most)} or {last}.".strip() if most else f"{text} {last}.".strip()


def one_of(value: str, kind: type[StrEnum], name: str) -> Iterator[str]:
    """Complain when `value` is not a value of the enumeration."""
    values = [each.value for each in kind]
    if value not in values:
        yield f"{name} must be one of {', '.join(values)}, not {value!r}"


def one_of_or_none(value: str | None, kind: type[StrEnum], name: str) -> Iterator[str]:
    """Complain when a filter's `value` is given and not a value of the enumeration: nothing could ever match it."""
    if value is not None:
        yield from one_of(value, kind, name)


def filled(value: str | None, name: str) -> Iterator[str]:
    """Complain when `value` is missing or blank."""
    if value is None or not value.strip():
        yield f"{name} is required and can't be blank"


def positive(value: float, name: str) -> Iterator[str]:
    """Complain when `value` is not a finite number above 0."""
    if not isfinite(value) or value <= 0:
        yield f"{name} must be greater than 0, not {value}"


def repository(name: str | None) -> str:
    """The org/name of an `org/name[@revision]`; empty when there is none."""
    return (name or "").partition("@")[0].strip()


def no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The mapping that a JSON object's pairs make (json.loads' object_pairs_hook); raise ValueError when one would be lost."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return made


def exists(world: World, table: str, id: str | None, what: str) -> Iterator[str]:
    """Complain when the table has no row of that id; a missing id is left to the rules that require one."""
    if id and world.get(table, id) is None:
        yield f"there is no {what} with id {id!r}"


def of_model(world: World, adapter: Row | None, base_model_id: str | None) -> Iterator[str]:
    """Complain when an adapter's row belongs to another base model; both are told by their names, as people know them."""
    if adapter is not None and base_model_id and adapter["model_id"] != base_model_id:
        ids = (adapter["model_id"], base_model_id)  # an imported adapter may have none
        its, asked = (((id and world.get("models", id)) or {"name": id})["name"] for id in ids)
        yield f"adapter {adapter['name']!r} belongs to model {its!r}, not {asked!r}"


def unique(world: World, table: str, column: str, value: str | None, what: str) -> Iterator[str]:
    """Complain when a row of the table already has `value` in `column`."""
    if value and (rows := world.find(table, **{column: value.strip()})):
        yield f"a {what} with {column} {value.strip()!r} already exists (id {rows[0]['id']})"


def fitting(world: World, prompt_id: str | None, dataset_id: str | None) -> Iterator[str]:
    """Complain of columns that the prompt's templates name and the dataset lacks: told before a runner meets them."""
    prompt = world.get("prompts", prompt_id) if prompt_id else None
    dataset = world.get("datasets", dataset_id) if dataset_id else None
    if prompt is None or dataset is None:
        return  # told by the rules that require them
    known = json.loads(dataset.get("features") or "[]")
    for name in ("prompt_template", "input_template", "completion_template"):
        yield from (f"{name}: {found}" for found in problems(prompt.get(name) or "", known))


def prompting(template: str) -> Example:
    """An example for rules about `fitting`: a prompt with that template, and a dataset whose column is text."""
    dataset, prompt = {"id": "d", "features": '["text"]'}, {"id": "p", "input_template": template}
    return Example({}, NoWorld({"datasets": [dataset], "prompts": [prompt]}))


def inspected(world: World, kind: str, message: object) -> Iterator[str | Breach]:
    """Complain with the reason when slow inspection found nothing usable; its advisory findings are breaches too."""
    try:
        world.inspect(kind, message)  # type: ignore[arg-type]
    except StudioError:
        raise  # the Hub can't be reached: that is no fault of the request
    except ValueError as error:
        found: Iterable[str | Breach] = getattr(error, "breaches", None) or [str(error)]
        yield from found
