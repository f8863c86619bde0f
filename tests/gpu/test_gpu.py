"""What only a GPU can show: that models run there, are right there, and leave it again."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec import structs

from agent.models.devices import driver
from agent.models.devices.device import CPU
from agent.models.runtimes.bert.model import BertModel
from agent.release import layout, manifest, space
from tests.support import agents, models, stores
from tests.support.workers import until, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.models.devices.evidence import Memory
    from tests.gpu.conftest import Row

MIB: Final = 1 << 20
VISIBLE: Final = {"CUDA_VISIBLE_DEVICES": "0"}


def warmed(store: Path, *flags: str, **env: str) -> list[dict[str, Any]]:
    """What `model-agent warm --json` says of each model of v1 on the GPU."""
    arguments = ("warm", "v1", "--json", "--store", str(store), "--device", "cuda", *flags)
    done = agents.run(*arguments, env=VISIBLE | env, timeout=600)
    assert done.code == 0, done.lines
    found: list[dict[str, Any]] = json.loads(done.stdout)["models"]
    return found


def describe(model: dict[str, Any]) -> str:
    """A line of the table."""
    host, device = (model[f"peak_{name}_bytes"] // MIB for name in ("rss", "device"))
    return "; ".join(
        [
            (
                f"load {model['load_seconds']:.2f} s, host {host} MiB, device {device} MiB, "
                f"{model['share_on_device']:.0%} of the nodes on it"
            ),
            *(
                f"{shape['texts']}x{shape['tokens']}: first {shape['first_seconds']:.3f} s, "
                f"{shape['texts_per_second']:.0f} texts/s"
                for shape in model["shapes"]
            ),
        ]
    )


@pytest.fixture(scope="module")
def bge_store(gpu: Memory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store whose v1 has bge-large's true shape; its vectors mean nothing."""
    root = tmp_path_factory.mktemp("bge")
    directory = root / "releases" / "v1"
    folder = layout.repo_folder(models.BGE_LARGE_REPO)
    snapshot = directory / layout.FASTEMBED / folder / "snapshots" / stores.REVISION
    models.write_bge_large(snapshot, weights="external")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(stores.REVISION)
    entry = stores.a_model(name=models.BGE_LARGE, repo=models.BGE_LARGE_REPO, dim=1024)
    stores.write_manifest(directory, [entry])
    yield root
    shutil.rmtree(root)


def test_a_model_runs_there_and_is_right(gpu: Memory, minilm_store: Path, row: Row) -> None:
    """The session is CUDA's, a run is computed there, and its vectors are those of the CPU."""
    (model,) = warmed(minilm_store)
    assert model["provider"] == "CUDAExecutionProvider"
    assert model["share_on_device"] > 0.5
    assert model["canary_cosine"] > 0.99
    assert 0 < model["peak_device_bytes"] < gpu.total
    row("MiniLM", f"canary {model['canary_cosine']:.6f}; {describe(model)}")


@pytest.fixture(scope="module")
def st_store(gpu: Memory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose v1 is the real MiniLM for sentence-transformers, its canary made on the CPU."""
    root = tmp_path_factory.mktemp("st")
    directory = root / "releases" / "v1"
    entry = stores.a_model(name=models.MINILM, loader="sentence-transformers", dim=384)
    models.write_minilm_safetensors(directory / layout.snapshot_directory(entry.ref))
    model = BertModel(entry.ref, directory, CPU)
    vectors = tuple(tuple(model.embed([text])[0]) for text in space.CANARY_TEXTS)
    canary = manifest.Canary(space.CANARY_TEXTS, vectors)
    stores.write_manifest(directory, [structs.replace(entry, canary=canary)])
    return root


def test_a_model_of_sentence_transformers_without_torch(st_store: Path, row: Row) -> None:
    """It runs there and is right, and most of its nodes are computed there."""
    (model,) = warmed(st_store)
    assert model["provider"] == "CUDAExecutionProvider"
    assert model["share_on_device"] > 0.5
    assert model["canary_cosine"] > 0.99
    row("MiniLM, safetensors", f"canary {model['canary_cosine']:.6f}; {describe(model)}")


def test_the_true_size(bge_store: Path, row: Row) -> None:
    """A model of bge-large's size is warmed in all shapes that the worker serves."""
    (model,) = warmed(bge_store)
    assert {(shape["texts"], shape["tokens"]) for shape in model["shapes"]} >= {
        (1, 512),
        (32, 512),
        (128, 512),
    }
    row("bge-large's shape", describe(model))


def test_a_gpu_by_its_uuid(gpu: Memory, minilm_store: Path, row: Row) -> None:
    """`CUDA_VISIBLE_DEVICES` may name a GPU, or a MIG slice, by its UUID."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        pytest.skip("there is no nvidia-smi to ask for a UUID")
    listed = subprocess.run([smi, "-L"], capture_output=True, text=True, check=True).stdout
    uuid = listed.rsplit("UUID: ", 1)[1].split(")")[0]
    (model,) = warmed(minilm_store, "--warm-shapes", "1x16", CUDA_VISIBLE_DEVICES=uuid)
    assert model["provider"] == "CUDAExecutionProvider"
    row("by UUID", f"{uuid} works")


def test_too_little_memory(gpu: Memory, minilm_store: Path, row: Row) -> None:
    """A full GPU is named as what it is, and no release is blamed."""
    with filled(leave=64 * MIB):
        arguments = ("warm", "v1", "--store", minilm_store, "--device", "cuda")
        done = agents.run(*arguments, env=VISIBLE, timeout=300)
    assert done.code == 7, done.lines
    assert "The GPU's memory is not enough" in done.sentence
    row("out of memory", done.sentence)


@contextmanager
def filled(*, leave: int) -> Iterator[None]:
    """All of the GPU's memory is taken, but for so many bytes."""
    cuda = ctypes.CDLL("libcuda.so.1")
    context, device, taken = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_void_p()
    assert cuda.cuInit(0) == 0
    assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
    assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
    try:
        assert cuda.cuCtxPushCurrent_v2(context) == 0
        seen = driver.memory(0)
        assert seen is not None
        size = ctypes.c_size_t(seen.free - leave)
        assert cuda.cuMemAlloc_v2(ctypes.byref(taken), size) == 0
        yield
    finally:
        cuda.cuMemFree_v2(taken)
        cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        cuda.cuDevicePrimaryCtxRelease_v2(device)


def test_reloads_under_load(gpu: Memory, minilm_store: Path, tmp_path: Path, row: Row) -> None:
    """Through reloads on the GPU no request fails, and the device's memory comes back."""
    staged = {v: release(minilm_store, v) for v in ("v1", "v2")}
    flags = ("--device", "cuda")
    with worker(
        minilm_store, *flags, model=models.MINILM, log=tmp_path / "log", CUDA_VISIBLE_DEVICES="0"
    ) as running:
        running.wait("ready", "v1", seconds=120)
        stop, codes = threading.Event(), []

        def ask() -> None:
            while not stop.is_set():
                codes.append(running.embed("lecture notes " * 40).status_code)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        after = []
        for version in ["v2", "v1"] * 5:
            answered = len(codes)
            running.reload(staged[version])
            running.wait("ready", version, seconds=120)
            until(lambda answered=answered: len(codes) > answered + 3)  # type: ignore[misc]
            after.append(free())
        stop.set()
        asking.join(30)
    assert set(codes) == {200}
    assert abs(after[1] - after[-1]) < 64 * MIB
    row(
        "reloads",
        f"10, {len(codes)} requests; free after 2: {after[1] // MIB} MiB, after 10: "
        f"{after[-1] // MIB} MiB",
    )


def release(store: Path, version: str) -> manifest.Manifest:
    """A staged release's manifest."""
    return manifest.parse((store / "releases" / version / manifest.FILE_NAME).read_bytes())


def free() -> int:
    """What the device has left."""
    seen = driver.memory(0)
    assert seen is not None
    return seen.free


def test_what_cuda_s_kernel_cache_is_worth(
    gpu: Memory, minilm_store: Path, tmp_path: Path, row: Row
) -> None:
    """With an empty cache and with a filled one: a cache that holds nothing needs no volume."""
    cache = tmp_path / "cache"
    first, again = (
        warmed(minilm_store, CUDA_CACHE_PATH=str(cache))[0]["first_seconds"] for _ in range(2)
    )
    held = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    row("CUDA_CACHE_PATH", f"{held} bytes; first run {first:.3f} s, with it {again:.3f} s")
