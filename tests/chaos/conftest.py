"""The tiny model that whole studios train."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runner.tiny import make_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    make_model(path)
    return path
