"""What keeps a model from the GPU is found and named, by the real GPU build of onnxruntime.

No GPU is needed: where a driver is needed, one in the state that is wanted is put in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gpu.conftest import hidden_library, installed_over
from tests.support import agents, models
from tests.support.workers import worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gpu.conftest import Row

VISIBLE = {"CUDA_VISIBLE_DEVICES": "0"}


def refusal(store: Path, *flags: str, device: str = "cuda", **env: str) -> str:
    """How `model-agent warm` fails, in its last line."""
    done = agents.run("warm", "--store", store, "--device", device, *flags, env=VISIBLE | env)
    assert done.code == 7, done.lines
    assert not any("Traceback" in line for line in done.lines)
    return done.sentence


@pytest.mark.usefixtures("gpu_build")
@pytest.mark.parametrize("value", ["", "-1"])
def test_every_gpu_is_hidden(value: str, minilm_store: Path, row: Row) -> None:
    """`CUDA_VISIBLE_DEVICES` that hides all GPUs is named, with its value."""
    said = refusal(minilm_store, CUDA_VISIBLE_DEVICES=value)
    assert f"CUDA_VISIBLE_DEVICES is {value!r}" in said
    row("GPU hidden", said)


@pytest.mark.usefixtures("gpu_build", "no_gpu")
def test_the_pod_asks_for_no_gpu(minilm_store: Path, row: Row) -> None:
    """In a pod without a device, the line for its spec is given."""
    said = refusal(minilm_store, KUBERNETES_SERVICE_HOST="10.0.0.1")
    assert "nvidia.com/gpu: 1" in said
    row("GPU not requested", said)


@pytest.mark.usefixtures("gpu_build", "no_gpu")
def test_the_machine_has_no_gpu(minilm_store: Path, row: Row) -> None:
    """Elsewhere it is the machine that has none; `auto` takes the CPU there, and says so."""
    said = refusal(minilm_store)
    assert "this machine has no NVIDIA device" in said
    row("no GPU", said)
    done = agents.run("warm", "--store", minilm_store, env=VISIBLE)
    assert done.code == 0, done.lines
    (chosen,) = done.named("device.chosen")
    assert (chosen["device"], chosen["reason"]) == ("cpu", "no NVIDIA device is in sight")
    assert "CPUExecutionProvider" in done.stdout


def test_the_driver_is_too_old(minilm_store: Path, fake_driver: dict[str, str], row: Row) -> None:
    """A driver for an older CUDA is told from all else, with both versions."""
    said = refusal(minilm_store, DRIVER_VERSION="12020", **fake_driver)
    assert "serves CUDA up to 12.2" in said
    assert "is built for CUDA 13." in said
    row("driver too old", said)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"DRIVER_STATUS": "803"}, "error 803, driver and library of different versions"),
        ({"DRIVER_STATUS": "100"}, "error 100, no device"),
        ({"DRIVER_DEVICES": "0"}, "error 100, no device"),
    ],
)
def test_the_driver_does_not_start(
    state: dict[str, str], words: str, minilm_store: Path, fake_driver: dict[str, str], row: Row
) -> None:
    """What the driver itself says is passed on, in words."""
    said = refusal(minilm_store, **fake_driver, **state)
    assert words in said
    row("driver does not start", said)


def test_no_such_gpu(minilm_store: Path, fake_driver: dict[str, str], row: Row) -> None:
    """A GPU beyond those that are visible is not there, however many the machine has."""
    said = refusal(minilm_store, device="cuda:3", **fake_driver)
    assert "cuda:3 was asked for, and 1 GPU(s) are visible" in said
    row("no such GPU", said)


@pytest.mark.parametrize("library", ["libcublasLt.so.13", "libcurand.so.10", "libcudnn.so.9"])
def test_a_library_is_missing(
    library: str, minilm_store: Path, fake_driver: dict[str, str], tmp_path: Path, row: Row
) -> None:
    """A CUDA or cuDNN library that is not there is called by its name."""
    said = refusal(minilm_store, PYTHONPATH=hidden_library(tmp_path, library), **fake_driver)
    assert f"{library} cannot be found" in said
    row("library missing", said)


@pytest.mark.usefixtures("gpu_build")
def test_the_cpu_build_is_over_the_gpu_build(minilm_store: Path, tmp_path: Path, row: Row) -> None:
    """`onnxruntime` installed over `onnxruntime-gpu` is found out, and how to mend it is said."""
    said = refusal(minilm_store, PYTHONPATH=installed_over(tmp_path))
    assert "onnxruntime is installed over onnxruntime-gpu" in said
    assert "Uninstall both" in said
    row("onnxruntime over onnxruntime-gpu", said)


def test_the_worker_says_it_as_well(
    minilm_store: Path, fake_driver: dict[str, str], tmp_path: Path, row: Row
) -> None:
    """A worker that was to run on the GPU reports the same cause, and never serves from the CPU."""
    env = VISIBLE | fake_driver | {"DRIVER_VERSION": "12020"}
    flags = ("--device", "cuda")
    with worker(minilm_store, *flags, model=models.MINILM, log=tmp_path / "log", **env) as running:
        model = running.wait("failed", "v1")
    assert model["version"] is None
    assert "serves CUDA up to 12.2" in model["reason"]
    row("the worker", model["reason"])
