"""The facts about CUDA in a process by which causes are found. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Driver(NamedTuple):
    """The driver as it starts.

    Attributes:
        version: The newest CUDA that it serves, e.g. (12, 2).
        status: What `cuInit` gave: 0 is good, else a `CUresult`.
        devices: How many are visible.
    """

    version: tuple[int, int]
    status: int
    devices: int


class Memory(NamedTuple):
    """Bytes of device memory."""

    free: int
    total: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a process in which CUDA did not work.

    Attributes:
        said: The message of its failure.
        index: The visible GPU that was asked for, from 0.
        hiding: The value of `CUDA_VISIBLE_DEVICES`, if it hides every GPU.
        nodes: Whether the process is given an NVIDIA device.
        in_pod: Whether Kubernetes runs the process.
        software: The runtime that was to use CUDA, with its version.
        overwritten: Whether it is an onnxruntime that was installed over onnxruntime-gpu.
        provided: Whether it has CUDA at all.
        built_for: The CUDA it was built with.
        missing: Failures to load its CUDA library or cuDNN.
        driver: The driver; None where its library is not there.
        memory: The device's memory, if it could be told.
    """

    said: str = ""
    index: int = 0
    hiding: str | None = None
    nodes: bool = True
    in_pod: bool = False
    software: str = "onnxruntime"
    overwritten: bool = False
    provided: bool = True
    built_for: tuple[int, int] | None = None
    missing: tuple[str, ...] = ()
    driver: Driver | None = None
    memory: Memory | None = None
