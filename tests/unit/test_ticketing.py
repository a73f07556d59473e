"""The ticketing agent does what the model says, asks for what it lacks, and hands to a person what it can't read."""

from __future__ import annotations

import csv

import pytest

from core.facts import CONFIGS
from core.ticketing import PERSON, actions, asked, decide, order_of, samples, ticket_in
from examples.ticketing_agent import why


def test_every_action_of_the_demos_data_can_be_done() -> None:
    with (CONFIGS / "demo" / "train.csv").open(encoding="utf-8", newline="") as file:
        assert {row["intent"] for row in csv.DictReader(file)} == actions().keys()


@pytest.mark.parametrize(
    ("ticket", "order"),
    [
        ("please cancel order 33871", "33871"),
        ("where is my parcel #10552?", "10552"),
        ("has B-41177 left yet", "B-41177"),
        ("invoice for no. 9027 - cheers", "9027"),
        ("I have a £6000 gift card", None),
        ("112 is the number to call", None),
    ],
)
def test_the_number_of_an_order_is_found(ticket: str, order: str | None) -> None:
    assert order_of(ticket) == order


def test_an_action_is_done_and_told_with_its_order() -> None:
    decision = decide("please cancel order 33871", " cancel_order\n")
    assert decision.action == actions()["cancel_order"] and "33871" in decision.reply


def test_what_an_action_lacks_is_asked_for_and_nothing_is_done() -> None:
    decision = decide("please cancel my order", "cancel_order")
    assert (decision.action, decision.missing) == (None, "order")


@pytest.mark.parametrize("answer", ["", "give_everything_away", "cancel_order cancel_order"])
def test_an_answer_that_names_no_action_hands_the_ticket_to_a_person(answer: str) -> None:
    decision = decide("please cancel order 33871", answer)
    assert decision.action == actions()[PERSON] and not decision.understood


def test_a_prompt_tells_the_ticket_that_it_was_made_of() -> None:
    assert [ticket_in(asked(each)) for each in samples()] == samples()
    assert ticket_in("Tell me a story") is None


def test_what_an_endpoint_says_is_wrong_is_told_without_its_json() -> None:
    assert why(b'{"error": {"message": "the key is wrong"}}') == "the key is wrong"
    assert (why(b"<html>" * 999), why(b'["x"]')) == (("<html>" * 999)[:500], '["x"]')
