"""Of all that can be written with braces, templates take text, {{, }} and bare {column} of the dataset, and nothing else.

What is legal is told here by a scanner of its own, character by character, that shares nothing with the code.
"""

from __future__ import annotations

import json
import random

import pytest

from core.messages.prompts import AddPrompt
from core.rules import ALL, NoWorld, check
from core.store.transfer.fitting import fit, name_only
from core.store.transfer.reading import Unusable
from core.template import TemplateError, columns, problems, render

KNOWN = ["a", "b", "two words", "größe", "_x", "0"]
FRAGMENTS = [
    "{", "}", "{{", "}}", "{{{", "}}}", "{}", "{a}", "{b}", "{two words}", "{größe}", "{_x}", "{0}", "{c}", "{1}", "{ a }", "{a }",
    "{a.b}", "{a.__class__}", "{a[0]}", "{a[b]}", "{a!r}", "{a!s}", "{a!}", "{a:}", "{a:>10}", "{a:{b}}", "{a{b}}", "{{a}}",
    "{a\n}", "{A}", "{a\0}", "{\u202ea}", "a", "b", ".", ":", "!", "[", "]", " ", "\n", "text", "%s", "%(a)s", "$a", "${a}", "\\{a\\}",
    "{a", "a}", "{a}{b}", "{{{a}}}", "{{{{", "}}}}", "{'a'}", "{a=}", "{a+b}", "é", "\U0001f600",
]  # fmt: skip


def legal(text: str) -> bool:
    """Read one character after the other: a brace is doubled, or it opens a column's name that the next brace closes."""
    at = 0
    while at < len(text):
        pair = text[at : at + 2]
        if pair in ("{{", "}}"):
            at += 2
        elif text[at] == "}":
            return False
        elif text[at] == "{":
            name = ""
            at += 1
            while at < len(text) and text[at] not in "{}":
                name += text[at]
                at += 1
            if at == len(text) or text[at] == "{" or name not in KNOWN:
                return False
            at += 1
        else:
            at += 1
    return True


def made(number: int, seed: int) -> list[str]:
    dice = random.Random(seed)
    return ["".join(dice.choices(FRAGMENTS, k=dice.randint(1, 6))) for _ in range(number)]


def holds_for(templates: list[str]) -> None:
    world = NoWorld({"datasets": [{"id": "d", "features": json.dumps(KNOWN)}]})
    counted = {True: 0, False: 0}
    for template in templates:
        wanted = legal(template)
        counted[wanted] += 1
        assert (problems(template, KNOWN) == []) is wanted, template
        if template.strip():
            _same_for_requests_and_imports(template, wanted, world)
        if wanted:
            assert "{" not in render(template.replace("{{", "").replace("}}", ""), dict.fromkeys(KNOWN, "")), template
    assert min(counted.values()) > len(templates) / 10, counted  # neither is the rule


def _same_for_requests_and_imports(template: str, wanted: bool, world: NoWorld) -> None:
    prompt = {
        "name": "p",
        "dataset_id": "d",
        "prompt_template": template,
        "input_template": template,
        "completion_template": template,
    }
    told = check(AddPrompt.model_validate({"prompt": prompt}), world, ALL)
    refused = {each.rule for each in told} & {"PR-003", "PR-004", "PR-005"}
    assert refused == (set() if wanted else {"PR-003", "PR-004", "PR-005"}), template
    try:
        values = {"id": "p", **prompt}
        fit("prompts", values)
        name_only(values, KNOWN)
    except Unusable:
        assert not wanted, template
    else:
        assert wanted, template


def test_three_thousand_templates_are_taken_or_refused_as_they_should_be() -> None:
    holds_for(made(3_000, 1))


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_hundred_thousand_templates_are_taken_or_refused_as_they_should_be() -> None:
    holds_for(made(100_000, 2))


@pytest.mark.parametrize("template", ["{a:}", "{a!}", "{a:>10}", "{a!r}", "{a.b}", "{a[0]}", "{}", "{", "}", "{ a }"])
def test_what_str_format_would_do_more_with_is_no_template(template: str) -> None:
    with pytest.raises(TemplateError):
        columns(template)


def test_all_that_is_wrong_with_a_template_is_told_at_once() -> None:
    text = "{a.b} {nope} } {a} {b!r} {gone}"
    told = problems(text, ["a", "b"])
    assert [each.split(" is ")[0].split(";")[0] for each in told] == [
        "{a.b}",
        "a single } at character 14",
        "{b!r}",
        "{nope}",
        "{gone}",
    ]
    world = NoWorld({"datasets": [{"id": "d", "features": '["a", "b"]'}]})
    prompt = {**AddPrompt.EXAMPLE["prompt"], "dataset_id": "d", "prompt_template": text}
    told_of = [each.message for each in check(AddPrompt(prompt=prompt), world, ALL) if each.rule == "PR-003"]
    assert len(told_of) == 5, told_of
    with pytest.raises(TemplateError, match=r"a\.b.*single.*b!r"):
        columns(text)
    assert len(problems("{a.b}" * 100_000, [])) == 20
