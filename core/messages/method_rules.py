"""The rules of StartFineTuningJob about methods, chat templates, splits, early stopping and presets: FT-110 to FT-120, and FT-126."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.messages.common import one_of
from core.messages.fine_tuning import StartFineTuningJob
from core.presets import presets
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.splits import HELD_OUT, drawn
from core.text import counted
from core.types import FineTuningFrameworkType, LossOn, Method, Severity

# Fields of the studio's own training: other engines have theirs in their own config.
OWN = ("method", "chat_template", "train_splits", "eval_split", "early_stopping_patience", "keep_best")


def _dataset(**columns: Any) -> NoWorld:
    return NoWorld({"datasets": [{"id": "d", "features": '["q"]', **columns}], "prompts": [{"id": "p", "name": "x"}]})


@rule(StartFineTuningJob, "FT-110", "method", passes=[{}, {"method": "full"}], fails=[{"method": "qlora"}])
def _method(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """method must be lora or full"""
    yield from one_of(message.method, Method, "method")


@rule(
    StartFineTuningJob,
    "FT-111",
    "loss_on",
    passes=[{"loss_on": "assistant", "chat_template": True}],
    fails=[{"loss_on": "assistant"}],
)
def _assistant(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """loss_on assistant needs chat_template: the template tells the assistant's turns from the user's"""
    if message.loss_on == LossOn.assistant and not message.chat_template:
        yield "loss_on assistant needs chat_template, which tells the assistant's turns apart"


@rule(
    StartFineTuningJob,
    "FT-113",
    "train_splits",
    passes=[{"train_splits": ["train", "extra"], "eval_split": "test"}],
    fails=[
        {"train_splits": []},
        {"train_splits": ["a", "a"]},
        {"train_splits": ["a"], "eval_split": "a"},
        {"eval_split": "train"},
    ],
)
def _splits(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """train_splits are one or more names, each once, and eval_split is none of them"""
    if message.train_splits is not None and not message.train_splits:
        yield "train_splits must name at least one split; leave it out to train on train"
    chosen = message.splits
    if twice := sorted({name for name in chosen if chosen.count(name) > 1}):
        yield f"train_splits names {', '.join(twice)} more than once"
    if message.eval_split in chosen:
        yield f"rows of {message.eval_split} can't be trained on and held out at once"


@rule(
    StartFineTuningJob,
    "FT-114",
    "train_splits",
    need=Need.store,
    passes=[
        {"train_splits": ["a"]},
        Example({}, _dataset(splits={"train": 4})),
        Example({"train_splits": ["a"]}, _dataset(splits={"a": 4})),
        Example({"train_splits": ["a"]}, _dataset(splits=None)),
    ],
    fails=[
        Example({"train_splits": ["a"]}, _dataset(splits={"train": 4})),
        Example({}, _dataset(splits={"a": 4})),
        Example({"eval_split": "b"}, _dataset(splits={"train": 4})),
    ],
)
def _splits_exist(message: StartFineTuningJob, world: World) -> Iterator[Breach]:
    """train_splits and eval_split are splits of the dataset, as far as these are known"""
    known = _known(world, message)
    asked = [("train_splits", name) for name in message.splits]
    asked += [("eval_split", message.eval_split)] if message.eval_split else []
    for field, name in asked:
        if known and name not in known:
            text = f"the dataset has no split {name!r}; its splits: {', '.join(known)}"
            yield Breach(rule="FT-114", field=field, message=text)


@rule(
    StartFineTuningJob,
    "FT-115",
    "early_stopping_patience",
    passes=[{"early_stopping_patience": 1}],
    fails=[{"early_stopping_patience": 0}],
)
def _patience(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """early_stopping_patience must be at least 1 evaluation"""
    if message.early_stopping_patience is not None and message.early_stopping_patience < 1:
        yield f"early_stopping_patience must be at least 1, not {message.early_stopping_patience}"


@rule(
    StartFineTuningJob,
    "FT-116",
    "train_test_split",
    need=Need.store,
    passes=[
        {"keep_best": True},
        {"keep_best": True, "train_test_split": 1.0, "eval_split": "test"},
        Example({"keep_best": True, "train_test_split": 1.0}, _dataset(splits={"train": 4, "test": 2})),
    ],
    fails=[
        {"keep_best": True, "train_test_split": 1.0},
        Example({"early_stopping_patience": 2, "train_test_split": 1.0}, _dataset(splits={"train": 4})),
    ],
)
def _held_out(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """early stopping and keep_best need held-out rows"""
    asked = [name for name in ("early_stopping_patience", "keep_best") if getattr(message, name)]
    own = message.eval_split or any(name in _known(world, message) for name in HELD_OUT)
    if asked and message.train_test_split >= 1 and not own:
        yield f"held-out rows are needed for {' and '.join(asked)}, and train_test_split 1 holds none out"


@rule(
    StartFineTuningJob,
    "FT-126",
    "dataset_fraction",
    need=Need.store,
    passes=[
        Example({"dataset_fraction": 0.5}, _dataset(rows=4)),
        Example({"dataset_fraction": 0.01}, _dataset(rows=None)),
        Example({"train_test_split": 0.5}, _dataset(splits={"train": 1, "test": 9}, rows=10)),
    ],
    fails=[
        Example({"dataset_fraction": 0.01}, _dataset(rows=50)),
        Example({"dataset_fraction": 0.1}, _dataset(splits={"train": 9, "test": 90}, rows=99)),
        Example({"train_test_split": 0.5}, _dataset(rows=1)),
    ],
)
def _leaves_rows(message: StartFineTuningJob, world: World) -> Iterator[Breach]:
    """dataset_fraction and train_test_split leave a row to train on"""
    dataset, known = world.get("datasets", message.dataset_id) or {}, _known(world, message)
    told = [known.get(name) for name in message.splits] if known else [dataset.get("rows")]
    rows = sum(each for each in told if each) if all(told) else 0  # of a dataset that nobody counted the runner tells
    own = message.eval_split or any(name in known for name in HELD_OUT)
    if not rows or message.user_script or message.framework_type != FineTuningFrameworkType.legacy:
        return
    for field in ("dataset_fraction", *(() if own else ("train_test_split",))):
        share = getattr(message, field)
        left = drawn(rows, share) if 0 < share <= 1 else rows
        if not left:
            text = f"{field} {share:g} of {counted(rows, 'row')} leaves none to train on"
            yield Breach(rule="FT-126", field=field, message=text)
            return
        rows = left


@rule(
    StartFineTuningJob,
    "FT-117",
    "method",
    passes=[{"method": "full"}, {"model_bnb_config": '{"load_in_4bit": true}'}],
    fails=[
        {"method": "full", name: value}
        for name, value in (("model_bnb_config", '{"load_in_4bit": true}'), ("adapter_bnb_config_id", "b"))
    ],
)
def _whole(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """quantised weights can't be trained: full fine-tuning takes no bitsandbytes config"""
    names = [stem for stem in ("model_bnb_config", "adapter_bnb_config") if _given(message, stem)]
    if message.method == Method.full and names:
        yield f"quantised weights can't be trained: leave {' and '.join(names)} out, or use method lora"


@rule(
    StartFineTuningJob,
    "FT-118",
    "lora_config",
    severity=Severity.INFO,
    passes=[{"method": "full"}, {"lora_config_id": "l"}],
    fails=[{"method": "full", "lora_config_id": "l"}],
)
def _no_adapter(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """full fine-tuning does not use a lora_config"""
    if message.method == Method.full and _given(message, "lora_config"):
        yield "full fine-tuning makes no adapter: the lora_config is not used"


@rule(StartFineTuningJob, "FT-119", "preset", passes=[{}, {"preset": "fast"}], fails=[{"preset": "slow"}])
def _preset(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """preset is one that there is"""
    if message.preset is not None and message.preset not in presets():
        yield f"preset must be one of {', '.join(presets())}, not {message.preset!r}"


@rule(
    StartFineTuningJob,
    "FT-120",
    "framework_type",
    severity=Severity.INFO,
    passes=[{"keep_best": True}, {"framework_type": "axolotl", "axolotl_config_id": "c"}],
    fails=[
        {"framework_type": "axolotl", "axolotl_config_id": "c", "keep_best": True},
        {"user_script": "s.py", "method": "full"},
    ],
)
def _other_engine(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """what another engine trains is said in its own config"""
    other = "user_script" if message.user_script else message.framework_type
    unused = [name for name in OWN if getattr(message, name) != StartFineTuningJob.model_fields[name].default]
    if other != FineTuningFrameworkType.legacy and unused:
        yield f"{other} is not told of {', '.join(unused)}: its own config says what it does"


@rule(
    StartFineTuningJob,
    "FT-112",
    "length_grouped",
    severity=Severity.INFO,
    passes=[{"length_grouped": True, "packing": False}],
    fails=[{"length_grouped": True, "packing": True}],
)
def _grouped(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """packed rows are not grouped by length: they have no padding to save"""
    if message.length_grouped and message.packing:
        yield "length_grouped has no effect with packing: packed rows have no padding to save"


def _known(world: World, message: StartFineTuningJob) -> Mapping[str, Any]:
    dataset = world.get("datasets", message.dataset_id)
    return (dataset or {}).get("splits") or {}


def _given(message: StartFineTuningJob, stem: str) -> bool:
    return bool(getattr(message, stem) or getattr(message, f"{stem}_id"))
