"""Chooses the device that a model runs on, before anything is loaded.

CUDA itself decides which GPUs are visible here: `CUDA_VISIBLE_DEVICES` and MIG slices are counted
as CUDA counts them, and `cuda:N` is the N-th visible one.
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
# Values of the variable that CUDA takes for "none", whatever follows the comma.
_HIDES_ALL: Final = re.compile(r"\s*(-1|NoDevFiles)?\s*(,.*)?")


class Device(msgspec.Struct, frozen=True):
    """A device to run on; `index` counts the GPUs that this process may see."""

    kind: Kind
    index: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.index else self.kind

    @property
    def provider(self) -> str:
        """The name of its execution provider in onnxruntime."""
        return PROVIDERS[self.kind]

    @property
    def providers(self) -> list[str | tuple[str, dict[str, int]]]:
        """The execution providers that a session is made with."""
        if self.kind == "cpu":
            return [self.provider]
        return [(self.provider, {"device_id": self.index})]


CPU: Final = Device("cpu")


def request(text: str) -> str:
    """Check a value of `--device`: `auto`, `cpu`, `cuda`, or `cuda:1`, the second visible GPU."""
    if not _REQUEST.fullmatch(text):
        raise ValueError("is not one of auto, cpu, cuda, cuda:N")
    return text


def choose(requested: str) -> Device:
    """Return the device to use.

    `auto` is CUDA where an NVIDIA device is visible. It then does not fall back to the CPU either.
    """
    if requested == AUTO:
        return CPU if why_none() else Device("cuda")
    kind, _, index = requested.partition(":")
    return Device("cuda", int(index or 0)) if kind == "cuda" else CPU


def why_none() -> str | None:
    """Return why this process sees no NVIDIA device; None if it sees one."""
    if hiding() is not None:
        return f"CUDA_VISIBLE_DEVICES is {hiding()!r}"
    return None if has_nodes() else "no NVIDIA device is in sight"


def hiding() -> str | None:
    """Return the value of `CUDA_VISIBLE_DEVICES` if it hides every GPU, else None."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    return value if value is not None and _HIDES_ALL.fullmatch(value) else None


def has_nodes() -> bool:
    """Return whether this process has an NVIDIA device file; WSL 2 has one file for all GPUs."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
