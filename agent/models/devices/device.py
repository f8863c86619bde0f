"""Which device a model runs on, decided before anything is loaded.

What this process may see is CUDA's own business: `CUDA_VISIBLE_DEVICES` and MIG slices are counted
as CUDA counts them, and `cuda:N` is the N-th of those that are visible.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import msgspec

from agent.release.canary import Kind  # noqa: TC001 - msgspec reads the annotation

AUTO: Final = "auto"
PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_REQUEST: Final = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?")
# What CUDA takes for "none", whatever else the variable says.
_HIDES_ALL: Final = re.compile(r"\s*(-1|NoDevFiles)?\s*(,.*)?")


class Device(msgspec.Struct, frozen=True):
    """Where a model runs; `index` counts the GPUs that this process may see."""

    kind: Kind
    index: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.index else self.kind

    @property
    def provider(self) -> str:
        """What onnxruntime calls it."""
        return PROVIDERS[self.kind]

    @property
    def providers(self) -> list[str | tuple[str, dict[str, int]]]:
        """What a session is made with."""
        if self.kind == "cpu":
            return [self.provider]
        return [(self.provider, {"device_id": self.index})]


CPU: Final = Device("cpu")


def request(text: str) -> str:
    """Check what `--device` says: `auto`, `cpu`, `cuda`, or `cuda:1` for the second visible GPU."""
    if not _REQUEST.fullmatch(text):
        raise ValueError("is not one of auto, cpu, cuda, cuda:N")
    return text


def choose(requested: str) -> Device:
    """The device to use. `auto` is CUDA where an NVIDIA device is in sight, and then as strict."""
    if requested == AUTO:
        return CPU if why_none() else Device("cuda")
    kind, _, index = requested.partition(":")
    return Device("cuda", int(index or 0)) if kind == "cuda" else CPU


def why_none() -> str | None:
    """Why no NVIDIA device is in sight of this process; None if one is."""
    if hiding() is not None:
        return f"CUDA_VISIBLE_DEVICES is {hiding()!r}"
    return None if has_nodes() else "no NVIDIA device is in sight"


def hiding() -> str | None:
    """What `CUDA_VISIBLE_DEVICES` says, if it hides every GPU."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    return value if value is not None and _HIDES_ALL.fullmatch(value) else None


def has_nodes() -> bool:
    """Whether this process is given an NVIDIA device; WSL 2 has them all behind one."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
