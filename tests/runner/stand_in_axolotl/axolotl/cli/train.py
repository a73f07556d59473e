"""Training: a weight that every row moves a little, with the trainer's callbacks, checkpoints and files.

`stand_in` in the config makes it fail as the real one does: "memory", "data", "code", "exit"; `step_seconds` slows it down.
"""

import importlib
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.safetensors", "training_args.bin")


def do_train(cfg, args):
    plugins = [_plugin(name) for name in cfg["plugins"]]
    rows = [json.loads(line) for line in Path(cfg["datasets"][0]["path"]).read_text().splitlines()]
    random.Random(cfg.get("seed")).shuffle(rows)  # as the real one does: without a seed, each time otherwise
    if cfg.get("stand_in") == "data":
        raise KeyError("instruction")
    sys.stdout.write(f"{len(rows)} rows\n")
    trainer = Trainer(
        cfg, rows, [each for plugin in plugins for each in plugin.add_callbacks_post_trainer(cfg, _with(rows))]
    )
    trainer.train()
    for plugin in plugins:
        plugin.post_train(cfg, None)
    output = Path(cfg["output_dir"])
    (output / "adapter_model.safetensors").write_text(repr(trainer.weight))
    (output / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"}))
    for name in ("config.json", "tokenizer.json", "README.md", "debug.log"):
        (output / name).write_text("{}")


def _plugin(name):
    module, _, kind = name.rpartition(".")
    return getattr(importlib.import_module(module), kind)()


def _with(rows):
    return SimpleNamespace(train_dataset=rows)


class Trainer:
    def __init__(self, cfg, rows, callbacks):
        self.cfg, self.rows, self.callbacks = cfg, rows, callbacks
        self.batch = cfg["micro_batch_size"] * cfg["gradient_accumulation_steps"]
        self.weight = 0.0
        self.state = SimpleNamespace(
            global_step=0,
            max_steps=int(-(-len(rows) // self.batch) * cfg["num_epochs"]),
            is_world_process_zero=True,
            log_history=[],
        )
        self.args = SimpleNamespace(device=SimpleNamespace(type="cpu"), world_size=cfg.get("processes", 1))
        self.control = SimpleNamespace(should_training_stop=False, should_save=False, should_evaluate=False)

    def train(self):
        if (source := self.cfg.get("resume_from_checkpoint")) is not None:
            saved = json.loads((Path(source) / "trainer_state.json").read_text())
            self.state.global_step, self.weight = saved["global_step"], saved["weight"]
            self.state.log_history = saved["log_history"]
        self._tell("on_train_begin")
        while self.state.global_step < self.state.max_steps and not self.control.should_training_stop:
            self._step()
        self._tell("on_log", logs={"train_runtime": 1.0, "train_loss": 0.5})
        self._tell("on_train_end")

    def _step(self):
        time.sleep(self.cfg.get("step_seconds", 0))
        step = self.state.global_step
        begin = step * self.batch % len(self.rows)
        for row in self.rows[begin : begin + self.batch]:
            self.weight = self.weight * 0.9 + len(str(row)) * self.cfg["learning_rate"]
        self.state.global_step += 1
        if step == 2 and not self.cfg.get("resume_from_checkpoint"):
            self._fail()
        self.control.should_save = self.state.global_step % self.cfg.get("save_steps", 10**9) == 0
        self._tell("on_step_end")
        self.state.log_history.append({"step": step + 1, "loss": 1 / (step + 1)})
        self._tell(
            "on_log", logs={"loss": 1 / (step + 1), "epoch": 0.1, "memory/max_active (GiB)": 0.0, "eval_runtime": 3.0}
        )
        if self.control.should_save:
            self._save()

    def _save(self):
        output = Path(self.cfg["output_dir"])
        directory = output / f"checkpoint-{self.state.global_step}"
        directory.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (directory / name).write_text(f"{name} {self.weight!r}")
        state = {**vars(self.state), "weight": self.weight}
        (directory / "trainer_state.json").write_text(json.dumps(state))
        kept = sorted(output.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
        for older in kept[: -self.cfg["save_total_limit"]]:
            shutil.rmtree(older)
        self._tell("on_save")

    def _fail(self):
        if self.cfg.get("stand_in") == "memory":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if self.cfg.get("stand_in") == "code":
            raise IndexError("list index out of range")
        if self.cfg.get("stand_in") == "exit":
            sys.stdout.write("the driver is lost\n")
            sys.stdout.flush()
            os._exit(7)
        if self.cfg.get("stand_in") == "killed":
            sys.stdout.flush()
            os.kill(os.getpid(), 9)

    def _tell(self, event, **more):
        for callback in self.callbacks:
            getattr(callback, event)(self.args, self.state, self.control, **more)
