"""Engines in an environment of their own: installed whole or not at all, again where it broke off, and told."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core import engines
from core.settings import Settings, settings
from tui.cli import engine
from tui.cli.main import parser

Fts = Callable[..., int]


@pytest.fixture
def fts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fts:
    """Run `fts` in a studio of its own, whose engine axolotl is one small package, to be had only from wheels/."""
    monkeypatch.setenv("FTS_HOME", str(tmp_path / ".app"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setattr(engines, "CONFIGS", tmp_path / "configs")
    monkeypatch.setitem(engine.NEEDED, "axolotl", 0)
    settings.cache_clear()
    (tmp_path / "wheels").mkdir()
    (tmp_path / "configs" / "engines").mkdir(parents=True)
    (tmp_path / "configs" / "engines" / "axolotl.txt").write_text("# pins\naxolotl==0.1\n")

    def run(*words: str) -> int:
        arguments = parser().parse_args(words)
        return int(arguments.run(arguments))

    yield run
    settings.cache_clear()


def wheel(directory: Path, text: str = "") -> None:
    """The package axolotl, as small as they come."""
    with zipfile.ZipFile(directory / "axolotl-0.1-py3-none-any.whl", "w") as file:
        file.writestr("axolotl/__init__.py", text)
        about = "axolotl-0.1.dist-info"
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: axolotl\nVersion: 0.1\n")
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/RECORD", "")


def test_an_install_that_breaks_off_offers_nothing_and_goes_on_when_it_is_given_again(
    fts: Fts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    using = Settings()
    assert fts("engine", "install", "axolotl") == 1
    said = capsys.readouterr().err
    assert "No matching distribution found for axolotl==0.1" in said and "install.log" in said and "again" in said
    assert engines.installed(using, "axolotl") is None
    fts("doctor")
    assert "its install broke off" in capsys.readouterr().out
    (environment,) = engines.place(using, "axolotl").glob("venv-*")
    (environment / "kept").touch()

    wheel(tmp_path / "wheels", "raise ImportError('libcuda.so is missing')")
    assert fts("engine", "install", "axolotl") == 1
    assert "libcuda.so is missing" in capsys.readouterr().err
    assert engines.installed(using, "axolotl") is None

    (environment / "lib" / "python3.11" / "site-packages" / "axolotl" / "__init__.py").write_text("")
    assert fts("engine", "install", "axolotl") == 0 and (environment / "kept").exists()
    found = engines.installed(using, "axolotl")
    assert found is not None and found.current and found.version == "0.1" and found.python.is_relative_to(environment)
    capsys.readouterr()

    assert fts("engine", "list", "-o", "json") == 0
    (told,) = json.loads(capsys.readouterr().out)["engines"]
    assert (told["name"], told["installed"]) == ("axolotl", "yes")
    assert fts("engine", "install", "axolotl") == 0 and "is installed" in capsys.readouterr().out
    fts("doctor")
    assert "0.1" in next(line for line in capsys.readouterr().out.splitlines() if "axolotl" in line)

    assert fts("engine", "remove", "axolotl") == 0 and engines.installed(using, "axolotl") is None
    assert not engines.place(using, "axolotl").exists()
    assert fts("engine", "remove", "axolotl") == 0 and "not installed" in capsys.readouterr().out


def test_two_installs_at_once_do_not_meet(fts: Fts, capsys: pytest.CaptureFixture[str]) -> None:
    directory = engines.place(Settings(), "axolotl")
    directory.mkdir(parents=True)
    with engine._alone(directory):
        assert fts("engine", "install", "axolotl") == 1 and fts("engine", "remove", "axolotl") == 1
    assert capsys.readouterr().err.count("another `fts engine` is at work") == 2


def test_a_disk_without_room_is_told_before_anything_is_loaded(
    fts: Fts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(engine.NEEDED, "axolotl", 10**9)
    assert fts("engine", "install", "axolotl") == 1 and "GiB are free" in capsys.readouterr().err


def test_newer_pins_make_a_new_environment_and_the_old_one_goes_when_nobody_runs_in_it(
    fts: Fts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = engines.place(Settings(), "axolotl")
    old, used = directory / "venv-old", directory / "venv-used"
    for each in (old, used):
        each.mkdir(parents=True)
    import subprocess

    (used / "sleep").symlink_to("/bin/sleep")
    running = subprocess.Popen([str(used / "sleep"), "30"])
    try:
        assert engine._sweep(directory, keep=directory / "venv-new") == [used]
        assert fts("engine", "remove", "axolotl") == 1 and "1 processes run in it" in capsys.readouterr().err
    finally:
        running.kill()
        running.wait()
    assert not old.exists() and engine._sweep(directory, keep=directory / "venv-new") == [] and not used.exists()


def test_every_pin_is_exact_and_the_engine_is_among_them() -> None:
    for name in engines.KNOWN:
        lines = [line for line in engines.pins(name).read_text().splitlines() if not line.startswith("#")]
        assert all(line.count("==") == 1 and "+" not in line and "@" not in line for line in lines)
        assert engines.version(name)
