"""Starting a fine-tuning job."""

from __future__ import annotations

from math import inf, isfinite, nan
from typing import Any

from tests.handlers.machine.adding import TEMPLATE_RULES, kept, named
from tests.handlers.machine.formats import fitting_format
from tests.handlers.machine.model import Model, Row, Tables, age
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, blank, expected, plays
from tests.handlers.machine.starting import a_dataset, lacks, misplaced, resources, submitted, wrong_resources
from tests.handlers.machine.values import ADAPTER_NAMES, BY_TEXT, NO_ADAPTER_NAMES, Text, texts

ASCII = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
CONFIGS = {
    "training_arguments_config": "training_arguments",
    "lora_config": "lora_config",
    "model_bnb_config": "bitsandbytes_config",
    "adapter_bnb_config": "bitsandbytes_config",
    "user_config": "custom",
}
WITH_DEFAULT = ("training_arguments_config", "lora_config")
OUT_DIRS = (None, "out", "")
NO_OUT_DIRS = ("nowhere", "../..", "/etc", "rows.csv", "outside", " ", "z" * 5000)
# What other engines than the studio's own are not told of, with what it is when nothing is said.
OWN = {
    "method": "lora",
    "chat_template": False,
    "train_splits": None,
    "eval_split": None,
    "early_stopping_patience": None,
    "keep_best": False,
}


def unusable(model: Model, id: str, kind: str) -> bool:
    """Whether that config is not there, or is of another type, or holds what the libraries don't know."""
    row = model.get("configs", id)
    return row is None or row["type"] != kind or "CF-102" in row["_text"].errors


def default(model: Model, kind: str, base: str | None = None) -> tuple[str | None, Text]:
    """The id of the default of that type for the model's family when it has one, and else what the guide's default holds."""
    row = model.get("models", base)
    family = row["family"] if row else None
    of_family = model.find("configs", type=kind, model_family=family, is_default=1) if family else []
    oldest = min((model.tables["configs"][id] for id in of_family), key=age, default=None)
    return None if oldest is None else oldest["id"], Text(kind, "", "default")


@plays("StartFineTuningJob")
class StartFineTuningJob(Play):
    """A job of either framework."""

    def ask(self, pick: Picker) -> Payload:
        model, axolotl = pick.model, pick.chance(4)
        dataset = a_dataset(pick)
        payload: Payload = {
            "adapter_name": pick.of(ADAPTER_NAMES, [*NO_ADAPTER_NAMES, *self._taken(model)]),
            "base_model_id": pick.id("models"),
            "dataset_id": dataset,
            "prompt_id": self._prompt(pick, dataset, axolotl=axolotl),
            **resources(pick),
        }
        if axolotl or pick.chance(8):
            payload["framework_type"] = pick.of(["axolotl" if axolotl else "legacy"], ["deepspeed", ""])
            payload["axolotl_config_id"] = self._config(pick, "axolotl")
        return payload | pick.some(self._options(pick), 7)

    @staticmethod
    def _taken(model: Model) -> list[str]:
        return [name for row in model.tables["adapters"].values() if set(name := row["name"]) <= {*ASCII, "-"}]

    @staticmethod
    def _prompt(pick: Picker, dataset: str, *, axolotl: bool) -> Any:
        model = pick.model
        fitting = [id for id in model.tables["prompts"] if not lacks(model, id, dataset)]
        none = [None] if axolotl else []
        return pick.of([*none, *fitting], ["gone", "", None, *model.tables["prompts"]])

    @staticmethod
    def _config(pick: Picker, kind: str) -> Any:
        ids = pick.model.find("configs", type=kind) or [None]
        return pick.of(ids, ["gone", None, "", *list(pick.model.tables["configs"])[:2]])

    def _options(self, pick: Picker) -> dict[str, Any]:
        options = {
            "num_workers": lambda: pick.of([1, 2], [0]),
            "dist_cpu": lambda: pick.of([1, None], [0]),
            "dist_gpu": lambda: pick.of([0, 1], [-1]),
            "dist_mem": lambda: pick.of([1], [0]),
            "num_epochs": lambda: pick.of([1, None], [0, -2]),
            "learning_rate": lambda: pick.of([2e-4], [0.0, -1.0, nan, inf]),
            "dataset_fraction": lambda: pick.of([1.0, 0.5], [0.0, 1.1, nan]),
            "train_test_split": lambda: pick.of([1.0, 0.5], [0.0, -0.1, nan]),
            "gpu_label_id": lambda: pick.of([-1, 1]),
            "out_dir": lambda: pick.of(OUT_DIRS, NO_OUT_DIRS),
            "auto_add_adapter": lambda: False,
            "max_length": lambda: pick.of([8, 1_048_576], [7, -1, 1_048_577]),
            "loss_on": lambda: pick.of(["all", "completion"], ["prompt", "", "assistant"]),
            "packing": lambda: False,
            "length_grouped": lambda: True,
            "priority": lambda: pick.of([-100, 5, 100]),
            "user_script": lambda: pick.of(["train.py", ""], ["gone.py", "../rows.csv", "/etc/passwd"]),
            "method": lambda: pick.of(["full", "lora"], ["qlora", ""]),
            "chat_template": lambda: True,
            "train_splits": lambda: pick.of([["train"], None], [[], ["train", "train"], ["gone"], [""]]),
            "eval_split": lambda: pick.of([None, ""], ["train", "gone"]),
            "early_stopping_patience": lambda: pick.of([1, None], [0, -1]),
            "keep_best": lambda: True,
            "preset": lambda: pick.of([None], ["slow", ""]),
        }
        for stem, kind in CONFIGS.items():
            options[stem] = lambda kind=kind: pick.of(texts(kind, good=True), texts(kind, good=False) or [""])
            options[f"{stem}_id"] = lambda kind=kind: self._config(pick, kind)
        return options

    def expect(self, model: Model, payload: Payload) -> Expected:
        notes = [rule for rule, told in self._notes(model, payload).items() if told]
        if wrong := [rule for rule, broken in self._errors(model, payload).items() if broken]:
            return expected(wrong, notes)
        if rule := misplaced(model, (("models", payload["base_model_id"]), ("datasets", payload["dataset_id"]))):
            return expected([rule])
        return expected(notes=notes)

    def _errors(self, model: Model, payload: Payload) -> dict[str, bool]:
        contents = {**self._numbers(payload), **self._contents(model, payload)}
        return {**contents, **self._links(model, payload), **self._methods(model, payload)}

    def _notes(self, model: Model, payload: Payload) -> dict[str, bool]:
        other = bool(payload.get("user_script")) or payload.get("framework_type", "legacy") != "legacy"
        base = model.get("models", payload["base_model_id"])  # no model here has sizes to reckon memory with
        return {
            "FT-103": bool(self._inline(payload, "training_arguments_config").notes),
            "FT-112": payload.get("length_grouped", False) and payload.get("packing", True),
            "FT-118": payload.get("method") == "full" and self._given(payload, "lora_config"),
            "FT-120": other and any(payload.get(name, usual) != usual for name, usual in OWN.items()),
            "FT-133": not other and base is not None and self._could_run(model, payload),
        }

    @staticmethod
    def _gpus(payload: Payload) -> int:
        """The GPUs of a worker."""
        own = payload.get("dist_gpu") if payload.get("num_workers", 1) != 1 else None
        return int(payload["num_gpu"] if own is None else own)

    def _could_run(self, model: Model, payload: Payload) -> bool:
        """Whether a registered runner could take it, as far as memory is left out."""
        gpus, label = self._gpus(payload), payload.get("gpu_label_id", -1)
        return any(
            row["trusted"]
            and "legacy" in row["engines"]
            and row["_label"] in ((str(label),) if label >= 0 else (row["_label"],))
            and (gpus == 0 or row["_gpus"] >= gpus > 0)
            for row in model.tables["runners"].values()
        )

    @staticmethod
    def _given(payload: Payload, *stems: str) -> bool:
        return any(payload.get(stem) or payload.get(f"{stem}_id") for stem in stems)

    def _methods(self, model: Model, payload: Payload) -> dict[str, bool]:
        splits = ["train"] if payload.get("train_splits") is None else payload["train_splits"]
        held_out, patience = payload.get("eval_split"), payload.get("early_stopping_patience")
        dataset, method = model.get("datasets", payload["dataset_id"]), payload.get("method", "lora")
        known = set(dataset["_splits"]) if dataset else set()
        asked = {*splits, *([held_out] if held_out else [])}
        axolotl = payload.get("framework_type") == "axolotl" and not payload.get("user_script")
        workers, gpus = payload.get("num_workers", 1), self._gpus(payload)
        return {
            "FT-110": method not in ("lora", "full"),
            "FT-111": payload.get("loss_on") == "assistant" and not payload.get("chat_template"),
            "FT-113": not splits or len(set(splits)) < len(splits) or held_out in splits,
            "FT-114": bool(known) and not asked <= known,
            "FT-115": patience is not None and patience < 1,
            "FT-116": bool(patience or payload.get("keep_best"))
            and payload.get("train_test_split", 0.9) >= 1
            and not held_out,
            "FT-117": method == "full" and self._given(payload, "model_bnb_config", "adapter_bnb_config"),
            "FT-119": payload.get("preset") is not None,
            "FT-141": bool(payload.get("user_script")) and payload["user_script"] != "train.py",
            "FT-126": dataset is not None and self._leaves_none(payload, dataset),
            "FT-142": axolotl and gpus == 0 and workers > 1,
        }

    @staticmethod
    def _leaves_none(payload: Payload, dataset: Row) -> bool:
        """Whether no row is left to train on; files have enough of them for every share that is asked for here."""
        other = bool(payload.get("user_script")) or payload.get("framework_type", "legacy") != "legacy"
        shares = [payload.get("dataset_fraction", 1.0)]
        shares += [] if payload.get("eval_split") else [payload.get("train_test_split", 0.9)]
        return not other and dataset["_count"] == 1 and any(0 < share < 1 for share in shares)

    @staticmethod
    def _numbers(payload: Payload) -> dict[str, bool]:
        wrong = wrong_resources(payload)
        epochs, rate = payload.get("num_epochs"), payload.get("learning_rate")
        return {
            "FT-001": payload.get("framework_type", "legacy") not in ("legacy", "axolotl"),
            "FT-003": payload.get("out_dir") not in OUT_DIRS,
            "FT-004": wrong["num_cpu"],
            "FT-005": wrong["num_gpu"],
            "FT-006": wrong["num_memory"],
            "FT-007": payload.get("num_workers", 1) <= 0,
            "FT-008": epochs is not None and epochs <= 0,
            "FT-009": rate is not None and not (isfinite(rate) and rate > 0),
            "FT-010": not 0 < payload.get("dataset_fraction", 1.0) <= 1,
            "FT-011": not 0 < payload.get("train_test_split", 0.9) <= 1,
            "FT-104": not 8 <= payload.get("max_length", 512) <= 1_048_576,
            "FT-105": payload.get("loss_on", "all") not in ("all", "completion", "assistant"),
            "FT-106": any(
                payload.get(name) is not None and payload[name] < least
                for name, least in (("dist_cpu", 1), ("dist_gpu", 0), ("dist_mem", 1))
            ),
        }

    def _links(self, model: Model, payload: Payload) -> dict[str, bool]:
        name, framework = payload["adapter_name"], payload.get("framework_type", "legacy")
        prompt, config = payload["prompt_id"], payload.get("axolotl_config_id")
        named = bool(name) and set(name) <= {*ASCII, "-"} and set(name) != {"-"}
        training = (id for id in model.find("fine_tuning_jobs", adapter_name=name) if model.unfinished(id))
        row, dataset = model.get("configs", config), model.get("datasets", payload["dataset_id"])
        results = "models" if payload.get("method") == "full" else "adapters"
        conversations = payload.get("chat_template", False) and dataset is not None and dataset["_chat"]
        needs_prompt = framework == "legacy" and not conversations
        return {
            "FT-002": not named or bool(model.find(results, name=name)) or any(training),
            "FT-012": framework == "axolotl" and blank(config),
            "FT-013": model.get("models", payload["base_model_id"]) is None,
            "FT-014": dataset is None,
            "FT-015": (needs_prompt and blank(prompt)) or (bool(prompt) and model.get("prompts", prompt) is None),
            "FT-016": bool(config) and (row is None or row["type"] != "axolotl"),
            "FT-108": lacks(model, prompt, payload["dataset_id"]),
            "FT-109": self._prompts_itself(model, payload)
            and fitting_format(model, config, payload["dataset_id"]) is None,
        }

    @staticmethod
    def _prompts_itself(model: Model, payload: Payload) -> bool:
        """Whether the studio is to make the prompt, and has what it takes."""
        row = model.get("configs", payload.get("axolotl_config_id"))
        asked = payload.get("framework_type") == "axolotl" and not payload["prompt_id"]
        there = (
            row is not None and row["type"] == "axolotl" and model.get("datasets", payload["dataset_id"]) is not None
        )
        return asked and there

    @staticmethod
    def _inline(payload: Payload, stem: str) -> Text:
        text = payload.get(stem)
        return (
            Text("", "")
            if text is None
            else BY_TEXT.get((CONFIGS[stem], text), Text("", "", "", frozenset(["CF-002"])))
        )

    def _contents(self, model: Model, payload: Payload) -> dict[str, bool]:
        given = {stem: payload.get(f"{stem}_id") for stem in CONFIGS if payload.get(stem) is None}
        return {
            "FT-101": any(id and unusable(model, id, CONFIGS[stem]) for stem, id in given.items()),
            "FT-102": any(self._inline(payload, stem).errors for stem in CONFIGS),
        }

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        told = value["fine_tuning_job"]
        prompt = self._prompted(model, payload, told["prompt_id"], seen)
        configs = {f"{stem}_id": self._config_id(model, payload, stem, told[f"{stem}_id"]) for stem in CONFIGS}
        row = {"base_model_id": payload["base_model_id"], "dataset_id": payload["dataset_id"], "prompt_id": prompt}
        row |= {"adapter_name": payload["adapter_name"], "adapter_id": None, "out_dir": told["out_dir"], **configs}
        row |= {"trained_model_id": None, "chat_template": payload.get("chat_template", False)}
        row |= {"method": payload.get("method", "lora"), "eval_split": payload.get("eval_split") or None}
        row |= {"axolotl_config_id": payload.get("axolotl_config_id") or None}
        row |= {"framework_type": payload.get("framework_type", "legacy"), "num_workers": payload.get("num_workers", 1)}
        row |= {name: payload[name] for name in ("num_cpu", "num_gpu", "num_memory")}
        row |= {"auto_add_adapter": payload.get("auto_add_adapter", True)}
        row |= {"dataset_fraction": payload.get("dataset_fraction", 1.0), "loss_on": payload.get("loss_on", "all")}
        row |= {"train_test_split": payload.get("train_test_split", 0.9)}
        model.put("fine_tuning_jobs", told["id"], **row)
        engine = "user_script" if payload.get("user_script") else row["framework_type"]
        label = payload.get("gpu_label_id", -1)
        more = {"engine": engine, "name": payload["adapter_name"], "_label": None if label < 0 else str(label)}
        submitted(model, told["id"], "fine_tuning", payload, told, **more, **self._size(payload))
        model.noted(told["id"], row["dataset_id"], row["train_test_split"], row["eval_split"])
        self._sealed(model, row, seen["jobs"][told["id"]]["spec"])

    @staticmethod
    def _size(payload: Payload) -> dict[str, int]:
        """What it occupies: of distributed training a worker's own share, as far as it is given."""
        workers = payload.get("num_workers", 1)
        names = {"cpus": ("dist_cpu", "num_cpu"), "gpus": ("dist_gpu", "num_gpu"), "memory": ("dist_mem", "num_memory")}
        size = {
            column: payload[one] if workers == 1 or payload.get(own) is None else payload[own]
            for column, (own, one) in names.items()
        }
        return {**size, "workers": workers}

    def _prompted(self, model: Model, payload: Payload, told: str | None, seen: Tables) -> str | None:
        """The prompt of the job: the one that was asked for, the one that was made before, or a new one."""
        if not self._prompts_itself(model, payload):
            assert told == (payload["prompt_id"] or None)
            return told
        dataset = payload["dataset_id"]
        format = fitting_format(model, payload["axolotl_config_id"], dataset)
        assert format is not None and told is not None
        auto = tuple(name for name in format if name in model.columns(dataset))
        before = model.find("prompts", dataset_id=dataset, _auto=auto)
        assert told in before or not before, f"a prompt of that format is there: {before}"
        if not before:
            row = seen["prompts"][told]
            assert row["name"].startswith("AXOLOTL_AUTOGENERATED : ") and not model.taken("prompts", row["name"]), row
            assert named(row["prompt_template"]) == auto, row
            columns = ("name", "type", "description", *TEMPLATE_RULES)
            model.put("prompts", told, dataset_id=dataset, _auto=auto, **{name: row[name] for name in columns})
            model.say("ResourceAdded", "prompts", told)
        return told

    def _config_id(self, model: Model, payload: Payload, stem: str, told: str | None) -> str | None:
        """The config of a field: inline text's, or the one that was named, or a default."""
        text, id = self._inline(payload, stem), payload.get(f"{stem}_id") or None
        if payload.get(stem) is None:
            if id is None and stem in WITH_DEFAULT and not payload.get("axolotl_config_id"):
                id, text = default(model, CONFIGS[stem], payload["base_model_id"])
            if id is not None or not text.content:
                assert told == id, (stem, told, id)
                return id
        assert told is not None
        kept(model, text, told)
        return told

    @staticmethod
    def _sealed(model: Model, row: Row, spec: dict[str, Any]) -> None:
        """What the runner will get is what is stored now."""
        prompt = model.get("prompts", row["prompt_id"])
        assert (spec["model"]["id"], spec["dataset"]["id"]) == (row["base_model_id"], row["dataset_id"])
        assert prompt is None or spec["prompt"] == {name: prompt[name] for name in ("id", "name", *TEMPLATE_RULES)}
        assert tuple(spec["dataset"]["features"]) == model.columns(row["dataset_id"])
