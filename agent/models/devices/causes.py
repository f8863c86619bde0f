"""Finds the causes of a CUDA that does not work, and what to do about each. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.models.devices.evidence import Driver, Evidence, Memory

_GIB: Final = 1 << 30
_LIBRARY: Final = re.compile(r"(\S+\.so[.0-9]*): cannot open shared object file")
# Messages about memory of onnxruntime's arena, its allocator, and CUDA itself.
_NO_MEMORY: Final = re.compile(
    r"out of memory|CUDA failure 2\b|Failed to allocate memory|CUBLAS_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_CUDAS: Final = re.compile(r"CUDA (failure|error|driver)|CUDAExecutionProvider|CUBLAS_|CUDNN_")
_FAILURE: Final = re.compile(r"CUDA failure \d+: [^;]*[^; ]")
_NO_DEVICE: Final = 100
# https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html
_STATUS: Final = {
    _NO_DEVICE: "no device",
    46: "device unavailable",
    101: "invalid device",
    802: "system not ready: the fabric manager is not up",
    803: "driver and library of different versions",
    804: "this driver does not support forward compatibility on this GPU",
    999: "unknown error",
}


class Cause(NamedTuple):
    """One thing that is wrong: its name, then a sentence on what it is and one on what to do."""

    name: str
    what: str
    remedy: str


def find(seen: Evidence) -> list[Cause]:
    """Return all causes, the one to mend first at the head; never empty."""
    found = [*_build(seen), *_device(seen)]
    if seen.driver:  # else its own library is missing, as is said already
        found += _libraries(seen)
    return found or [_said(seen)]


def is_cudas(said: str) -> bool:
    """Return whether a message is of CUDA that failed, and not of a damaged model."""
    return bool(_CUDAS.search(said))


def out_of_memory(said: str) -> bool:
    """Return whether a message is of a device that has too little memory."""
    return bool(_NO_MEMORY.search(said))


def _build(seen: Evidence) -> Iterator[Cause]:
    if seen.provided:
        return
    if seen.overwritten:
        yield Cause(
            "onnxruntime-overwritten",
            f"The package onnxruntime is installed over onnxruntime-gpu: {seen.software} has no "
            "CUDA.",
            "Uninstall both, then install model-agent[gpu] alone.",
        )
        return
    yield Cause(
        "cpu-build",
        f"The {seen.software} here is the CPU build, without CUDA.",
        "Use the gpu image, or install model-agent[gpu] in a new environment.",
    )


def _device(seen: Evidence) -> Iterator[Cause]:
    driver = seen.driver
    if seen.hiding is not None:
        yield Cause(
            "gpu-hidden",
            f"No GPU is visible: CUDA_VISIBLE_DEVICES is {seen.hiding!r}, which hides all.",
            "Unset it; Kubernetes shows a container the GPUs that it asks for.",
        )
    elif not seen.nodes and driver is None:
        yield _not_requested() if seen.in_pod else _no_gpu()
    elif driver is None:
        yield Cause(
            "driver-missing",
            "An NVIDIA device is here, and the driver's libcuda.so.1 is not.",
            "Set runtimeClassName: nvidia, or NVIDIA_DRIVER_CAPABILITIES=compute,utility.",
        )
    elif seen.built_for and driver.version[0] < seen.built_for[0]:
        yield Cause(
            "driver-too-old",
            f"The NVIDIA driver serves CUDA up to {_dotted(driver.version)}, and {seen.software} "
            f"is built for CUDA {_dotted(seen.built_for)}.",
            "Update the node's driver, or use an image for its CUDA.",
        )
    elif driver.status or not driver.devices:
        yield _status(driver)
    elif seen.index >= driver.devices:
        yield Cause(
            "no-such-gpu",
            f"cuda:{seen.index} was asked for, and {driver.devices} GPU(s) are visible, "
            "counted from 0.",
            "Set --device cuda, or ask for more GPUs.",
        )


def _not_requested() -> Cause:
    return Cause(
        "gpu-not-requested",
        "No GPU is visible: this container is given no NVIDIA device.",
        "Set resources.limits of nvidia.com/gpu: 1 for this container in the pod spec (for an "
        "initContainer it costs nothing), or --device cpu.",
    )


def _no_gpu() -> Cause:
    return Cause(
        "no-gpu",
        "No GPU is visible: this machine has no NVIDIA device.",
        "Run it where one is, or set --device cpu.",
    )


def _status(driver: Driver) -> Cause:
    code = driver.status or _NO_DEVICE
    return Cause(
        "driver-failed",
        f"The NVIDIA driver shows no usable GPU: error {code}, "
        f"{_STATUS.get(code, 'see CUresult')}.",
        "Look at nvidia-smi and dmesg on the node.",
    )


def _libraries(seen: Evidence) -> Iterator[Cause]:
    if seen.missing:
        names = [_LIBRARY.search(failure) for failure in seen.missing]
        missing = [name[1] for name in names if name]
        what = f"{' and '.join(missing)} cannot be found" if missing else seen.missing[0]
        yield Cause(
            "library-missing",
            f"A CUDA library is missing or unfit: {what}.",
            "Install onnxruntime-gpu[cuda,cudnn], which brings them, or use the gpu image.",
        )
    elif out_of_memory(seen.said):
        yield Cause(
            "out-of-memory",
            f"The GPU's memory is not enough{_free(seen.memory)}.",
            "Free it from other processes, give the pod a GPU or MIG slice with more, or run "
            "smaller batches.",
        )


def _said(seen: Evidence) -> Cause:
    """Return the message itself as the cause, where none that is known was found."""
    failure = _FAILURE.search(seen.said)
    words = failure[0] if failure else seen.said
    return Cause(
        "cuda-failed",
        f"CUDA did not work: {words.strip().rstrip('.') or 'onnxruntime fell back to the CPU'}.",
        "Look at nvidia-smi and dmesg on the node, and at the log above.",
    )


def _free(memory: Memory | None) -> str:
    if memory is None:
        return ""
    return f": {_gib(memory.free)} of {_gib(memory.total)} are free now"


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _gib(count: int) -> str:
    return f"{count / _GIB:.1f} GiB"
