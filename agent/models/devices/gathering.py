"""Gathers facts about CUDA, once it did not work. Imported only where models run."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import onnxruntime as ort

from agent.machine import identity
from agent.models.devices import device as devices
from agent.models.devices import driver
from agent.models.devices.evidence import Evidence

if TYPE_CHECKING:
    from agent.models.devices.device import Device

_CAPI: Final = Path(ort.__file__).parent / "capi"
_SHARED: Final = "libonnxruntime_providers_shared.so"
_CUDA: Final = "libonnxruntime_providers_cuda.so"
_CUDNN: Final = "libcudnn.so.9"


def of_onnxruntime(device: Device, said: str) -> Evidence:
    """Return the facts when a session of onnxruntime did not run on `device`.

    Args:
        device: The device that it was to run on.
        said: The message of onnxruntime.
    """
    ort.preload_dlls()
    return _evidence(
        device,
        said=said,
        software=f"onnxruntime {ort.__version__}",
        overwritten=all(identity.installed(name) for name in ("onnxruntime", "onnxruntime-gpu")),
        provided=device.provider in ort.get_available_providers(),
        built_for=_version(getattr(ort, "cuda_version", None)),
        missing=_missing(),
    )


def of_torch(device: Device, said: str) -> Evidence:
    """Return the facts when torch did not run on `device`; the arguments are the same."""
    import torch  # noqa: PLC0415 - it is there only with the extra st

    built_for = _version(torch.version.cuda)
    return _evidence(
        device,
        said=said,
        software=f"torch {torch.__version__}",
        provided=built_for is not None,
        built_for=built_for,
    )


def _evidence(device: Device, **seen: Any) -> Evidence:
    found = driver.look()
    return Evidence(
        index=device.index,
        hiding=devices.hiding(),
        nodes=devices.has_nodes(),
        in_pod="KUBERNETES_SERVICE_HOST" in os.environ,
        driver=found,
        memory=driver.memory(device.index) if found and not found.status else None,
        **seen,
    )


def _version(dotted: str | None) -> tuple[int, int] | None:
    """Return the parts of a CUDA version such as "13.0"; None for a CPU build."""
    major, _, minor = (dotted or "").partition(".")
    return (int(major), int(minor or 0)) if major.isdigit() else None


def _missing() -> tuple[str, ...]:
    """Return why onnxruntime's CUDA library, or cuDNN, cannot be loaded; empty if both can."""
    if not (_CAPI / _CUDA).exists():
        return ()
    # As onnxruntime does it: the CUDA library finds the functions of the shared one by their names.
    shared = _failure(str(_CAPI / _SHARED), ctypes.RTLD_GLOBAL)
    found = (shared or _failure(str(_CAPI / _CUDA)), _failure(_CUDNN))
    return tuple(failure for failure in found if failure)


def _failure(library: str, mode: int = ctypes.DEFAULT_MODE) -> str | None:
    try:
        ctypes.CDLL(library, mode=mode)
    except OSError as error:
        return str(error)
    return None
