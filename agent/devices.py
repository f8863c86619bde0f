"""Which device a model runs on, decided before anything is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

Device = Literal["cpu", "cuda"]
Requested = Literal["auto", "cpu", "cuda"]

REQUESTS: Final[tuple[Requested, ...]] = ("auto", "cpu", "cuda")
PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def choose(requested: Requested) -> Device:
    """The device to use. `auto` is CUDA where an NVIDIA device is in sight, and then as strict."""
    if requested == "auto":
        return "cuda" if nvidia_visible() else "cpu"
    return requested


def nvidia_visible() -> bool:
    """Whether this process is given an NVIDIA device."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in {"", "-1"}
    return not hidden and any(Path("/dev").glob("nvidia[0-9]*"))
