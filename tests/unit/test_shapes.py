"""Shapes of models read from files, whatever they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.memory import estimate
from core.shapes import Shape, read_headers, read_shape, shape_of
from core.tuning import Tuning

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 100, "intermediate_size": 128,
}  # fmt: skip
TENSORS: dict[str, tuple[str, tuple[int, ...]]] = {
    "model.embed_tokens.weight": ("BF16", (100, 64)),
    **{f"model.layers.{n}.self_attn.q_proj.weight": ("BF16", (64, 64)) for n in (0, 1)},
    **{f"model.layers.{n}.mlp.gate_proj.weight": ("BF16", (128, 64)) for n in (0, 1)},
    **{f"model.layers.{n}.input_layernorm.weight": ("BF16", (64,)) for n in (0, 1)},
}
SHAPE = shape_of(CONFIG, TENSORS)


def written(directory: Path, config: object, header: object) -> Path:
    (directory / "config.json").write_text(json.dumps(config))
    text = json.dumps(header).encode()
    (directory / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    return directory


def test_headers_are_read_without_the_weights(tmp_path: Path) -> None:
    header = {"__metadata__": {"format": "pt"}, "a.weight": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}}
    written(tmp_path, CONFIG, header)
    assert read_headers([tmp_path / "model.safetensors"]) == {"a.weight": ("F16", (2, 3))}


def test_a_model_of_several_parts_is_told_by_its_language_model(tmp_path: Path) -> None:
    whole = shape_of({"architectures": ["Gemma3ForConditionalGeneration"], "text_config": CONFIG}, TENSORS)
    assert (whole.hidden, whole.layers) == (64, 2)


@pytest.mark.parametrize(
    ("config", "header"),
    [
        ([], {}),
        ({}, {}),
        (CONFIG, []),
        (CONFIG, {"a": 1}),
        (CONFIG, {"a": {"dtype": "F32", "shape": [-1]}}),
        (CONFIG, {"a": {"dtype": "F32", "shape": [10**30, 10**30]}}),
        (CONFIG, {"a": {"dtype": "F32", "shape": "x"}}),
        (CONFIG, {}),
        ({**CONFIG, "hidden_size": 10**400}, {"a": {"dtype": "F32", "shape": [2]}}),
        ({**CONFIG, "num_hidden_layers": 0}, {"a": {"dtype": "F32", "shape": [2]}}),
        ({**CONFIG, "architectures": 1}, {"a": {"dtype": "F32", "shape": [2]}}),
    ],
)
def test_files_that_tell_no_shape_are_a_value_error(tmp_path: Path, config: Any, header: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_shape(written(tmp_path, config, header))


def test_a_header_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    written(tmp_path, CONFIG, {})
    (tmp_path / "model.safetensors").write_bytes((1 << 60).to_bytes(8, "little"))
    with pytest.raises(ValueError, match="no safetensors file"):
        read_shape(tmp_path)


@st.composite
def tunings(draw: st.DrawFn) -> Tuning:
    return Tuning(
        method=draw(st.sampled_from(["lora", "full"])),
        rank=draw(st.integers(1, 256)),
        dropout=draw(st.sampled_from([0.0, 0.05])),
        bits=draw(st.sampled_from([None, 4, 8])),
        batch=draw(st.integers(1, 64)),
        accumulation=draw(st.integers(1, 8)),
        length=draw(st.integers(8, 8192)),
        packing=draw(st.booleans()),
        checkpointing=draw(st.booleans()),
        optimiser=draw(st.sampled_from(["adamw_torch", "paged_adamw_32bit", "adamw_8bit", "sgd", "adafactor"])),
        precision=draw(st.sampled_from(["fp32", "bf16", "fp16"])),
        device=draw(st.sampled_from(["cpu", "cuda"])),
    )


def changed(tuning: Tuning, **fields: Any) -> Tuning:
    return Tuning(**{**vars(tuning), **fields})


@given(tunings())
def test_more_at_once_never_takes_less(tuning: Tuning) -> None:
    total = estimate(SHAPE, tuning).total - 1  # a byte of rounding
    assert 0 < total <= estimate(SHAPE, changed(tuning, batch=2 * tuning.batch)).total
    assert total <= estimate(SHAPE, changed(tuning, length=2 * tuning.length)).total
    assert total >= estimate(SHAPE, changed(tuning, checkpointing=True)).total or SHAPE.layers < 3


@given(tunings())
def test_parts_are_never_negative_and_sum_up(tuning: Tuning) -> None:
    parts = estimate(SHAPE, tuning)
    assert all(size >= 0 for size in vars(parts).values())
    assert parts.total == pytest.approx(sum(vars(parts).values()))


def test_what_is_known_of_well_known_models_comes_out() -> None:
    """7 billion parameters: 28 GB in fp32, 14 in halves, 4 in four bits; Adam's two moments are twice the weights."""
    linear = {"name": "q_proj", "inputs": 4096, "outputs": 4096, "count": 386}
    seven = Shape(
        parameters=6_738_415_616, hidden=4096, layers=32, heads=32, kv_heads=32, head_dim=128, intermediate=11008,
        vocab=32000, stored=2.0, linears=[linear],
    )  # fmt: skip
    on_gpu = {"device": "cuda", "precision": "bf16", "batch": 1, "length": 512}
    assert estimate(seven, Tuning(**on_gpu)).weights == pytest.approx(13.5e9, rel=0.01)
    assert estimate(seven, Tuning()).weights == pytest.approx(27e9, rel=0.01)
    assert estimate(seven, Tuning(bits=4, double_quantised=True, **on_gpu)).weights == pytest.approx(4.4e9, rel=0.1)
    assert estimate(seven, Tuning(method="full", **on_gpu)).optimiser == pytest.approx(54e9, rel=0.01)
