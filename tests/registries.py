"""A real MLflow registry on SQLite, and directories laid out as MLflow and people lay out what they register."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own imports
    from mlflow.tracking import MlflowClient

TOKENIZER = {"tokenizer.json": "{}", "tokenizer_config.json": "{}"}
CONFIG = {"config.json": '{"architectures": ["LlamaForCausalLM"]}'}
WEIGHTS = {"model.safetensors": "weights"}
PLAIN = {**CONFIG, **WEIGHTS, **TOKENIZER}
# As mlflow.transformers.log_model of MLflow 3.17 leaves it.
FLAVOUR = {
    "MLmodel": "flavors:\n  transformers:\n    source_model_name: somewhere\n",
    "python_env.yaml": "",
    **{f"model/{name}": text for name, text in {**CONFIG, **WEIGHTS}.items()},
    **{f"components/tokenizer/{name}": text for name, text in TOKENIZER.items()},
}
ADAPTER = {"adapter_config.json": '{"base_model_name_or_path": "org/base"}', "adapter_model.safetensors": "lora"}


@cache
def _empty() -> Path:
    """The file of an empty registry: MLflow takes seconds to make one."""
    directory = Path(tempfile.mkdtemp(prefix="fts-mlflow-"))
    atexit.register(shutil.rmtree, directory)
    MlflowClient(f"sqlite:///{directory / 'mlflow.db'}").search_experiments()
    return directory / "mlflow.db"


class Registry:
    """A registry in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.uri = f"sqlite:///{directory / 'mlflow.db'}"
        shutil.copyfile(_empty(), directory / "mlflow.db")
        self.client = MlflowClient(self.uri, self.uri)
        self.experiment = self.client.create_experiment("registered", (directory / "artifacts").as_uri())

    def add(self, name: str, files: dict[str, str] | Path, place: str = "model") -> str:
        """Register files, or a directory, as the next version of a model; the id of the run that has them."""
        source = files if isinstance(files, Path) else self._written(name, files)
        run = self.client.create_run(self.experiment).info
        self.client.log_artifacts(run.run_id, str(source), place)
        if not self.client.search_registered_models(f"name='{name}'"):
            self.client.create_registered_model(name)
        self.client.create_model_version(name, f"runs:/{run.run_id}/{place}", run.run_id)
        return str(run.run_id)

    def _written(self, name: str, files: dict[str, str]) -> Path:
        root = self.directory / "made" / name / str(len(list((self.directory / "made" / name).glob("*"))))
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return root
