"""Asks NVIDIA's driver about the GPUs that this process may see, by its own C interface.

onnxruntime uses the same library, its interface has been stable for a decade, and unlike NVML it
respects `CUDA_VISIBLE_DEVICES` and MIG slices by itself.
Functions: https://docs.nvidia.com/cuda/cuda-driver-api/
"""

from __future__ import annotations

import ctypes
from typing import Final

from agent.models.devices.evidence import Driver, Memory

_LIBRARY: Final = "libcuda.so.1"


def look() -> Driver | None:
    """Start the driver in this process, and return its state; None if its library is missing."""
    cuda = _load()
    if cuda is None:
        return None
    version, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    status = cuda.cuInit(0)
    if status == 0:
        status = cuda.cuDeviceGetCount(ctypes.byref(count))
    major, rest = divmod(version.value, 1000)
    return Driver((major, rest // 10), status, count.value)


def memory(index: int) -> Memory | None:
    """Return the memory of a device, all processes on it counted; None if that cannot be told.

    It holds the device's context for a moment, which costs 0.2 s and some memory of the device
    where no session of this process holds it already.
    """
    cuda = _load()
    if cuda is None or cuda.cuInit(0):
        return None
    device, context = ctypes.c_int(), ctypes.c_void_p()
    if cuda.cuDeviceGet(ctypes.byref(device), index):
        return None
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return None
    try:
        return _memory_in(cuda, context)
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)


def _memory_in(cuda: ctypes.CDLL, context: ctypes.c_void_p) -> Memory | None:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if cuda.cuCtxPushCurrent_v2(context):
        return None
    try:
        failed = cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    finally:
        cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    return None if failed else Memory(free.value, total.value)


def _load() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
