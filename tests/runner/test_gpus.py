"""What a runner offers: GPUs as NVML tells them, processors and memory as the host's limits leave them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml as real
import pytest

from gpu_runner import gpus, limits

GIB = 1 << 30


class Nvml:
    """pynvml with two GPUs: its names, its units (bytes, milliwatts, percent), its errors."""

    NVMLError = real.NVMLError
    NVML_TEMPERATURE_GPU = real.NVML_TEMPERATURE_GPU

    def __init__(self, broken: Any = None) -> None:
        self.broken, self.ready = broken, False

    def nvmlInit(self) -> None:
        if self.broken == "driver":
            raise real.NVMLError(real.NVML_ERROR_DRIVER_NOT_LOADED)
        self.ready = True

    def nvmlDeviceGetCount(self) -> int:
        if not self.ready:
            raise real.NVMLError(real.NVML_ERROR_UNINITIALIZED)
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if self.broken == ("lost", index):
            raise real.NVMLError(real.NVML_ERROR_GPU_IS_LOST)
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> Any:
        return f"GPU-{handle}aaa".encode() if self.broken == "bytes" else f"GPU-{handle}aaa"

    def nvmlDeviceGetName(self, handle: int) -> str:
        return "NVIDIA L4"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=24 * GIB, free=18 * GIB, used=6 * GIB)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        if self.broken == "shared":
            raise real.NVMLError(real.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=87, memory=40)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        assert sensor == real.NVML_TEMPERATURE_GPU
        return 61

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return 71_500


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def have(monkeypatch: pytest.MonkeyPatch, broken: Any = None) -> None:
    fake = Nvml(broken)
    called = [name for name in vars(Nvml) if name.startswith("nvml")]
    assert all(hasattr(real, name) for name in called), "the fake knows nothing that pynvml doesn't"
    monkeypatch.setitem(sys.modules, "pynvml", fake)


def test_gpus_are_told_with_their_name_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch)
    found = gpus.inventory()
    assert [(gpu.index, gpu.uuid, gpu.name, gpu.memory) for gpu in found] == [
        (0, "GPU-0aaa", "NVIDIA L4", 24.0),
        (1, "GPU-1aaa", "NVIDIA L4", 24.0),
    ]


def test_their_load_is_told_in_percent_gib_degrees_and_watts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    have(monkeypatch)
    told = gpus.telemetry(tmp_path)
    first = {
        "index": 0,
        "uuid": "GPU-0aaa",
        "percent": 87,
        "memory_used": 6.0,
        "memory_total": 24.0,
        "celsius": 61,
        "watts": 71.5,
    }
    assert told["gpus"][0] == first
    assert told["disk_free"] > 0 and 0 < told["memory_used"] < told["memory_total"]


@pytest.mark.parametrize(("chosen", "left"), [("1", [1]), ("GPU-0a", [0]), ("1,0", [0, 1]), ("", []), ("-1", [])])
def test_only_gpus_left_to_the_runner_are_offered(
    monkeypatch: pytest.MonkeyPatch, chosen: str, left: list[int]
) -> None:
    have(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert [gpu.index for gpu in gpus.inventory()] == left


def test_a_gpu_that_knows_little_of_itself_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    have(monkeypatch, "shared")
    told = gpus.telemetry(tmp_path)["gpus"]
    assert len(told) == 2 and "percent" not in told[0] and told[0]["celsius"] == 61


def test_a_gpu_that_fell_off_the_bus_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, ("lost", 0))
    assert [gpu.index for gpu in gpus.inventory()] == [1]


def test_names_in_bytes_are_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "bytes")
    assert gpus.inventory()[1].uuid == "GPU-1aaa"


@pytest.mark.parametrize("missing", ["driver", "module", "the real one here"])
def test_a_host_without_gpus_offers_its_processors(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing == "driver":
        have(monkeypatch, "driver")
    elif missing == "module":
        monkeypatch.setitem(sys.modules, "pynvml", None)
    elif Path("/proc/driver/nvidia").exists():
        pytest.skip("this host has GPUs")
    assert gpus.inventory() == []
    cores, memory = gpus.host_facts()
    assert 1 <= cores <= len(os.sched_getaffinity(0))
    assert 0 < memory <= psutil.virtual_memory().total / GIB + 0.01


def test_affinity_bounds_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert gpus.host_facts()[0] == 1


def test_a_directory_that_is_away_leaves_the_rest_of_the_telemetry(tmp_path: Path) -> None:
    told = gpus.telemetry(tmp_path / "away")
    assert "disk_free" not in told and "load" in told


def group(path: Path, **values: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (path / name.replace("__", ".")).write_text(value + "\n")


def test_the_tightest_control_group_above_counts(tmp_path: Path) -> None:
    own, root = tmp_path / "own", tmp_path / "fs"
    own.write_text("0::/pod/container\n")
    group(root / "pod", cpu__max="150000 100000", memory__max=str(8 * GIB))
    group(root / "pod/container", cpu__max="max 100000", memory__max="max")
    assert (limits.cores(root, own), limits.memory(root, own)) == (1.5, 8 * GIB)


def test_version_one_groups_are_read_too(tmp_path: Path) -> None:
    own, root = tmp_path / "own", tmp_path / "fs"
    own.write_text("4:memory:/job\n2:cpu,cpuacct:/job\n")
    group(root / "memory/job", memory__limit_in_bytes=str(2 * GIB))
    group(root / "memory", memory__limit_in_bytes="9223372036854771712")
    group(root / "cpu/job", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    group(root / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert (limits.cores(root, own), limits.memory(root, own)) == (3.0, 2 * GIB)


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert (limits.cores(tmp_path, tmp_path / "no"), limits.memory(tmp_path, tmp_path / "no")) == (None, None)


def test_processes_that_the_kernel_ended_for_want_of_memory_are_counted_where_it_counts_them(tmp_path: Path) -> None:
    counts = tmp_path / "vmstat"
    assert limits.oom_kills(counts) == 0
    counts.write_text("pgfault 12\noom_kill_other 9\noom_kill 3\n")
    assert limits.oom_kills(counts) == 3
    counts.write_text("pgfault 12\n")
    assert limits.oom_kills(counts) == 0
