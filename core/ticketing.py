"""The example application: an agent that does with a customer's ticket what a fine-tuned model says is to be done.

The model answers with the name of an action; what each action takes, does and says is `configs/demo/actions.json`. The
agent does nothing that the model was not taught, and nothing without the order's number where one is needed: then it asks
the customer, and an answer that is no action goes to a person.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from core.facts import CONFIGS
from core.template import render

PERSON = "speak_to_human"
_ORDER = re.compile(r"(?<![£$€\w])(?:#|[A-Z]{1,2}-)?\d{4,6}\b")


@dataclass(frozen=True)
class Action:
    """One thing that the shop can do. `needs` is what the ticket must tell ("order"), `says` the customer's answer."""

    name: str
    does: str
    says: str
    needs: str | None = None


@dataclass(frozen=True)
class Decision:
    """What is done with a ticket. `action` is None while something is `missing`; `understood` is false when a person takes over."""

    action: Action | None
    reply: str
    order: str | None = None
    missing: str | None = None
    understood: bool = True


@lru_cache(maxsize=1)
def template() -> str:
    """How the demo's model was taught to read a ticket."""
    read = json.loads((CONFIGS / "demo" / "prompt.json").read_text(encoding="utf-8"))
    return str(read["input_template"])


def asked(ticket: str) -> str:
    """The prompt that a ticket makes."""
    return render(template(), {"instruction": ticket})


def ticket_in(prompt: str) -> str | None:
    """The ticket that a prompt was made of; None for one that was not made of a ticket."""
    before, _, behind = template().partition("{instruction}")
    if not (prompt.startswith(before) and prompt.endswith(behind)):
        return None
    return prompt[len(before) : len(prompt) - len(behind)]


def samples() -> list[str]:
    """The demo's tickets that no model was trained on."""
    with (CONFIGS / "demo" / "heldout.csv").open(encoding="utf-8", newline="") as file:
        return [row["instruction"] for row in csv.DictReader(file)]


@lru_cache(maxsize=1)
def actions() -> Mapping[str, Action]:
    """Name -> action, as the demo's model is taught them."""
    read = json.loads((CONFIGS / "demo" / "actions.json").read_text(encoding="utf-8"))
    return {name: Action(name, **fields) for name, fields in read.items()}


def order_of(ticket: str) -> str | None:
    """The order's number that a ticket tells, without its #; None when it tells none."""
    found = _ORDER.search(ticket)
    return found.group().removeprefix("#") if found else None


def decide(ticket: str, answer: str) -> Decision:
    """What is to be done with a ticket whose action a model named; an answer that names none hands it to a person."""
    action, order = actions().get(answer.strip()), order_of(ticket)
    if action is None:
        return Decision(actions()[PERSON], actions()[PERSON].says, order, understood=False)
    if action.needs == "order" and order is None:
        return Decision(None, "Which order is it about? Please send me its number.", missing="order")
    return Decision(action, action.says.format(order=order), order)
