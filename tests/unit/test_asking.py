"""Whatever a body holds, it is a request or a refusal that names what is wrong: nothing else comes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_runner.serving.asking import Chat, Completion, Predict, read
from gpu_runner.serving.errors import ApiError

NAMES = [*Chat.model_fields, "prompt", "request", "role", "content", "type", "text", "n", "tools", "user", "odd\x00"]
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=6)


@given(kind=st.sampled_from([Chat, Completion, Predict]), body=BODIES | ANYTHING)
def test_a_body_is_read_or_refused(kind: Any, body: Any) -> None:
    content = json.dumps(body).encode()
    try:
        made = read(kind, content)
    except ApiError as error:
        assert error.status == 400 and error.message and len(error.message) < 10_000
        error.response()
    else:
        assert isinstance(made, kind)


@given(st.sampled_from([Chat, Completion, Predict]), st.binary(max_size=64))
def test_bytes_are_read_or_refused(kind: Any, content: bytes) -> None:
    with pytest.raises(ApiError):
        read(kind, content)


def test_settings_are_laid_over_the_generation_config() -> None:
    config = {"do_sample": True, "temperature": 0.8, "max_new_tokens": 60, "top_k": 50}

    def over(**asked: Any) -> dict[str, Any]:
        return read(Chat, json.dumps({"messages": [{"role": "user", "content": "x"}], **asked}).encode()).over(config)

    assert over() == config
    assert over(temperature=0) == {**config, "do_sample": False, "temperature": None}
    assert over(temperature=2, max_tokens=5) == {**config, "temperature": 2, "max_new_tokens": 5}
    assert over(max_tokens=5, max_completion_tokens=7)["max_new_tokens"] == 7
    assert over(top_k=-1, top_p=0.5, n=1, tools=[], user="me") == {**config, "top_k": 0, "top_p": 0.5}
