"""Which engines this host can run now: they come and go while the daemon lives."""

from __future__ import annotations

from importlib.util import find_spec

from core.settings import Settings

LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets")


def trains() -> bool:
    """Whether the training libraries are here: a machine that only looks on may lack them."""
    return all(find_spec(name) is not None for name in LIBRARIES)


def engines(using: Settings) -> list[str]:
    """The engines as RegisterRunner tells them: the studio's own, and scripts where there is a directory of them."""
    own = ["legacy", "evaluation"] if trains() else []
    return [*own, *(["user_script"] if using.scripts_root.is_dir() else [])]
