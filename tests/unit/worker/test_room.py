"""Whether memory holds two models is told from what is free and what weights take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.machine import memory
from agent.models.devices import driver
from agent.models.devices.device import CPU, Device
from agent.models.devices.evidence import Memory
from agent.release import layout, manifest
from agent.release.manifest import File
from agent.worker import Release
from agent.worker.room import Room
from tests.support import models
from tests.support.stores import CREATED, a_model

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
HEX = "0" * 64
MODEL = a_model(name="a/b")
OTHER = a_model(name="c/d", repo="c/d")
CUDA = Device("cuda", 1)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """A release of 1000 MiB of weights, and of another model's 5000."""
    sizes = {
        f"{layout.snapshot_directory(MODEL.ref)}/model.onnx": 1,
        f"{layout.snapshot_directory(MODEL.ref)}/model.onnx.data": 999,
        f"{layout.snapshot_directory(MODEL.ref)}/tokenizer.json": 70,
        f"{layout.snapshot_directory(OTHER.ref)}/model.onnx": 5000,
    }
    chunk = manifest.MAX_CHUNK_SIZE
    files = [
        File(path, size * MIB, HEX, (HEX,) * manifest.chunk_count(size * MIB, chunk))
        for path, size in sizes.items()
    ]
    found = manifest.build(
        version="v2",
        created=CREATED,
        generator="tests",
        chunk_size=chunk,
        files=files,
        models=[MODEL, OTHER],
    )
    return Release("v2", found.digest, tmp_path, found)


@pytest.mark.parametrize(("free", "fits"), [(1163, False), (1165, True)])
def test_on_a_cpu(free: int, fits: bool, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.1 times the weights of the model that is served, and 64 MiB."""
    monkeypatch.setattr(memory, "available_bytes", lambda: free * MIB)
    misfit = Room(CPU, "a/b").misfit(release)
    assert (misfit is None) == fits
    if misfit:
        assert "v2 needs about 1164 MiB" in misfit
        assert f"{free} MiB of the container's memory are free." in misfit


def test_a_cpu_widens_fp16(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of half the size take three times their size while they load, not half as much."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 0)
    monkeypatch.setattr(driver, "memory", lambda _: Memory(0, 16_000 * MIB))
    models.write_tiny(release.path / layout.snapshot_directory(MODEL.ref), weights="fp16")
    assert "needs about 3114 MiB" in str(Room(CPU, "a/b").misfit(release))
    assert "needs about 1164 MiB" in str(Room(CUDA, "a/b").misfit(release))


def test_what_cannot_be_told_fits(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure is no reason."""
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    monkeypatch.setattr(driver, "memory", lambda _: None)
    assert Room(CPU, "a/b").misfit(release) is None
    assert Room(CUDA, "a/b").misfit(release) is None


def test_on_a_gpu_the_model_before_tells(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model took there, kernels' room included, is what the next one is taken to take."""
    asked: list[int] = []
    free = 8000

    def seen(index: int) -> Memory:
        asked.append(index)
        return Memory(free * MIB, 16_000 * MIB)

    monkeypatch.setattr(driver, "memory", seen)
    gpu = Room(CUDA, "a/b")
    before = gpu.free()
    free = 4500  # the first one took 3500 MiB
    gpu.note(release, before)
    assert gpu.misfit(release) is None
    free = 3500
    assert "needs about 3564 MiB" in str(gpu.misfit(release))
    assert "3500 MiB of cuda:1's memory" in str(gpu.misfit(release))
    assert set(asked) == {1}


@pytest.mark.parametrize(
    "stat", ["anon 250\nshmem 50", "total_rss 250\ntotal_shmem 50"], ids=["v2", "v1"]
)
def test_what_is_free_in_a_container(
    stat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit less what processes and tmpfs have; never more than the machine has."""
    limit = tmp_path / "memory.max"
    limit.write_text("1000\n")
    (tmp_path / "memory.stat").write_text(f"cache 600\n{stat}\n")
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 2 kB\n")
    monkeypatch.setattr(memory, "_candidates", lambda: [limit, tmp_path / "none"])
    monkeypatch.setattr(memory, "_MACHINE", tmp_path / "meminfo")
    assert memory.available_bytes() == 700
    limit.write_text("100000\n")
    assert memory.available_bytes() == 2048
    limit.write_text("max\n")
    assert memory.available_bytes() == 2048
