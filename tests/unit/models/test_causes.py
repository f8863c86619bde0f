"""Why CUDA does not work: every cause is told from every other by what is seen.

The words of onnxruntime 1.31 are those of its GPU build on machines in these very states.
"""

from __future__ import annotations

from typing import Any

import pytest

from agent.models.devices import causes
from agent.models.devices.evidence import Driver, Evidence, Memory

GIB = 1 << 30
GOOD = Driver(version=(13, 0), status=0, devices=1)
NO_LIBCUDA = "libcuda.so.1: cannot open shared object file: No such file or directory"
OUT = (
    "Non-zero status code returned while running MatMul node. Failed to allocate memory for "
    "requested buffer of size 4294967296"
)


def seen(**changes: Any) -> Evidence:
    """What is seen where all is well, but for the changes."""
    well = {"software": "onnxruntime 1.31.1", "built_for": (13, 0), "driver": GOOD}
    return Evidence(**(well | changes))


CASES = [
    pytest.param(
        seen(provided=False, built_for=None),
        {"cpu-build": "onnxruntime 1.31.1 here is the CPU build"},
        id="cpu-build",
    ),
    pytest.param(
        seen(provided=False, built_for=None, overwritten=True),
        {"onnxruntime-overwritten": "installed over onnxruntime-gpu"},
        id="overwritten",
    ),
    pytest.param(
        seen(hiding="-1", driver=Driver((13, 0), 100, 0)),
        {"gpu-hidden": "CUDA_VISIBLE_DEVICES is '-1'"},
        id="hidden",
    ),
    pytest.param(
        seen(nodes=False, driver=None, missing=(NO_LIBCUDA,), in_pod=True),
        {"gpu-not-requested": "given no NVIDIA device"},
        id="not-requested",
    ),
    pytest.param(
        seen(nodes=False, driver=None, missing=(NO_LIBCUDA,)),
        {"no-gpu": "this machine has no NVIDIA device"},
        id="no-gpu",
    ),
    pytest.param(
        seen(driver=None, missing=(NO_LIBCUDA,)),
        {"driver-missing": "libcuda.so.1 is not"},
        id="driver-missing",
    ),
    pytest.param(
        seen(driver=Driver((12, 2), 0, 1), said="CUDA failure 35: CUDA driver version is"),
        {"driver-too-old": "up to 12.2, and onnxruntime 1.31.1 is built for CUDA 13.0"},
        id="driver-too-old",
    ),
    pytest.param(
        seen(driver=Driver((13, 0), 803, 0)),
        {"driver-failed": "error 803, driver and library of different versions"},
        id="driver-failed",
    ),
    pytest.param(
        seen(driver=Driver((13, 0), 12345, 0)),
        {"driver-failed": "error 12345, see CUresult"},
        id="driver-failed-oddly",
    ),
    pytest.param(
        seen(driver=Driver((13, 0), 0, 0)),
        {"driver-failed": "error 100, no device"},
        id="no-devices",
    ),
    pytest.param(
        seen(index=2), {"no-such-gpu": "cuda:2 was asked for, and 1 GPU"}, id="no-such-gpu"
    ),
    pytest.param(
        seen(missing=("libcurand.so.10: cannot open shared object file: No such file",)),
        {"library-missing": "libcurand.so.10 cannot be found"},
        id="library",
    ),
    pytest.param(
        seen(
            missing=(
                "libcublasLt.so.13: cannot open shared object file: No such file",
                "libcudnn.so.9: cannot open shared object file: No such file",
            )
        ),
        {"library-missing": "libcublasLt.so.13 and libcudnn.so.9 cannot be found"},
        id="libraries",
    ),
    pytest.param(
        seen(missing=("/x/libonnxruntime_providers_cuda.so: undefined symbol: cuFoo",)),
        {"library-missing": "undefined symbol: cuFoo"},
        id="unfit-library",
    ),
    pytest.param(
        seen(said=OUT, memory=Memory(GIB // 2, 16 * GIB)),
        {"out-of-memory": "0.5 GiB of 16.0 GiB are free now"},
        id="out-of-memory",
    ),
    pytest.param(
        seen(said="CUDA failure 2: out of memory ; GPU=0"),
        {"out-of-memory": "memory is not enough."},
        id="out-of-unknown-memory",
    ),
    pytest.param(
        seen(said="cuda_call.cc:154 CUDA failure 700: an illegal memory access ; GPU=0 ; x"),
        {"cuda-failed": "CUDA failure 700: an illegal memory access."},
        id="another-failure",
    ),
    pytest.param(seen(), {"cuda-failed": "fell back to the CPU"}, id="nothing-seen"),
    pytest.param(
        seen(provided=False, built_for=None, nodes=False, driver=None, in_pod=True),
        {"cpu-build": "the CPU build", "gpu-not-requested": "no NVIDIA device"},
        id="wrong-image-and-no-gpu",
    ),
    pytest.param(
        seen(driver=Driver((12, 2), 0, 1), missing=("libcudnn.so.9: cannot open shared object",)),
        {"driver-too-old": "12.2", "library-missing": "libcudnn.so.9: cannot open"},
        id="old-driver-and-no-library",
    ),
]


@pytest.mark.parametrize(("evidence", "expected"), CASES)
def test_each_cause_is_named(evidence: Evidence, expected: dict[str, str]) -> None:
    """All that is wrong is found and nothing else, each in a sentence that says what was seen."""
    found = {cause.name: cause for cause in causes.find(evidence)}
    assert set(found) == set(expected)
    for name, words in expected.items():
        assert words in found[name].what
        assert found[name].what.endswith(".")
        assert found[name].remedy.endswith(".")


@pytest.mark.parametrize(
    "said",
    [
        "CUDA failure 35: CUDA driver version is insufficient ; GPU=-1",
        "CUBLAS_STATUS_NOT_INITIALIZED",
        "CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED",
        "CUDA error: device-side assert triggered",
    ],
)
def test_cuda_s_own_failures_are_not_the_release_s(said: str) -> None:
    """What CUDA says of itself quarantines no release."""
    assert causes.is_cudas(said)


@pytest.mark.parametrize(
    "said",
    [
        "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from /models/cuda/m failed",
        "Unexpected input data type",
        "FastEmbed would load /models/x instead",
    ],
)
def test_a_model_s_failure_is_not_cuda_s(said: str) -> None:
    """A model that does not load is the release's fault on any device."""
    assert not causes.is_cudas(said)
    assert not causes.out_of_memory(said)
