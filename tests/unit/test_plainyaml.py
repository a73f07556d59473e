"""YAML of people: what JSON could say comes through, what would be lost or never end is told with its line."""

from __future__ import annotations

import time

import pytest

from core.messages.configs import ConfigTextError, content_hash, parse_config
from core.plainyaml import NotPlain, load

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]\n" for number in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", None),
        ("a: 1\nb: [x, {c: null}]\n", {"a": 1, "b": ["x", {"c": None}]}),
        ("base: &b {r: 8, a: 1}\nmine:\n  <<: *b\n  r: 16\n", {"base": {"r": 8, "a": 1}, "mine": {"r": 16, "a": 1}}),
        ("a: &x [1]\nb: *x\n", {"a": [1], "b": [1]}),
        ("'1': a\n\"on\": b\n", {"1": "a", "on": "b"}),
        ("a: " + "[" * 100 + "]" * 100, None),
    ],
)
def test_what_json_could_say_is_read(text: str, holds: object) -> None:
    assert load(text) == holds or (holds is None and text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: key 'a' is there twice"),
        ("x:\n  - {a: 1, a: 2}\n", "line 2: key 'a' is there twice"),
        ("a: 1\n1: 2\n", "line 2: a key must be text, not '1' (int)"),
        ("on: 1\n", "line 1: a key must be text, not 'on' (bool)"),
        ("a:\n  ? [x]\n  : 1\n", "line 2: a key must be text, not a list or mapping"),
        ("a: &a\n  b: *a\n", "an alias can't stand for what it lies in"),
        (BOMB, "there are more than 100000 values"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("a: " + "[" * 20_000, "nested too deeply"),
        ("a: [1\n", "line 2"),
        ("\x1f", "special characters are not allowed"),
        ("a: 2001-13-45\n", "month must be in 1..12"),
        ('a: !!int ""\n', "index out of range"),
        ("a: !!timestamp x\n", "no attribute"),
    ],
)
def test_what_would_be_lost_or_run_or_never_end_is_told(text: str, told: str) -> None:
    begun = time.process_time()
    with pytest.raises(NotPlain) as caught:
        load(text)
    assert told in str(caught.value)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("axolotl", "x: {1: a, b: c}", "a key must be text"),
        ("axolotl", 'a: "\\ud800"', "half of a surrogate pair"),
        ("axolotl", "a: .inf", "not valid YAML"),
        ("axolotl", "a: 2024-01-01", "not valid YAML"),
        ("axolotl", 'a: "\\0"', "NUL"),
        ("custom", '{"a": "\\ud800"}', "half of a surrogate pair"),
        ("custom", '{"a": {"\\udfff": 1}}', "half of a surrogate pair"),
        ("custom", '{"a": {"b": "\\u0000"}}', "a.b: text can't hold a NUL character"),
        ("custom", '{"a": [12345678901234567890]}', "a.0: a whole number may have 64 bits"),
        ("training_arguments", '{"num_train_epochs": 1' + "0" * 400 + "}", "64 bits"),
        ("custom", '{"a": {"b": 1, "b": 2}}', "key 'b' is there twice"),
        ("custom", '{"a": NaN}', "NaN is no JSON value"),
        ("custom", "[" * 100_000, "not valid JSON"),
    ],
)
def test_a_configs_content_is_one_that_can_be_kept_and_compared(kind: str, text: str, told: str) -> None:
    with pytest.raises(ConfigTextError, match="not valid") as caught:
        parse_config(kind, text)
    assert told in str(caught.value)


def test_a_pair_of_surrogates_is_a_character() -> None:
    content = parse_config("custom", '{"a": "\\ud83d\\ude00"}')
    assert content == {"a": "😀"} and content_hash("custom", None, content)
