"""Estimates the memory that loading a model takes: if it runs out, the kernel kills the process.

A check runs in a child process of its own, a worker loads beside what it has loaded already: they
take different amounts, and each was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError
from agent.models.formats import precision
from agent.release import layout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from agent.release.model_ref import ModelRef

MIB: Final = 1024 * 1024
_ONNX: Final = (".onnx", ".onnx_data", ".data")
# What the names of files with weights end in.
WEIGHTS: Final = (*_ONNX, ".safetensors")

# A worker, on a CPU: loading bge-large, 1274 MiB of weights, peaks at 1389 MiB with the weights
# inside the graph and at 1166 beside it, its check included; MiniLM, 86 MiB, at 125 and 49.
SERVED_TIMES: Final = 1.1
_SERVED_BESIDES: Final = 64 * MIB
# A check's bare session takes 1.14 times the weights that are inside a graph; those beside it are
# mapped, and the kernel takes such pages back. The rest is Python and libraries.
_CHECKED_TIMES: Final = 1.2
_CHECKED_BESIDES: Final = 250 * MIB
# Either widens fp16 to fp32 on a CPU, wherever it is kept, and holds both meanwhile: a worker takes
# 1919 MiB for the 637 of bge-large, and 155 for the 43 of MiniLM.
_TIMES_HALF: Final = 3.05
# More than a graph takes without its weights: bge-large's, 0.4 MB.
_GRAPH: Final = 4 * MIB


def require(models: Iterable[ModelRef], release: Path, *, limit: int | None) -> None:
    """See that the models of `release` can be checked on the CPU within a limit of memory.

    Args:
        models: The models.
        release: The directory of the release.
        limit: Bytes that the container may take; None for no limit.

    Raises:
        ConfigError: One cannot.
    """
    for ref in models:
        needed, how = _checked(release / layout.snapshot_directory(ref))
        if limit is not None and needed > limit:
            because = f" has its weights {how}:" if how else ":"
            otherwise = ", or publish it in fp32 with --optimize" if how else ""
            raise ConfigError(
                f"{ref.name}{because} checking it takes about {needed // MIB} MiB of memory, "
                f"and the limit here is {limit // MIB} MiB.",
                remedy=f"Raise the container's memory limit{otherwise}.",
            )


def served(weights: int, *, half: bool, times: float = SERVED_TIMES) -> int:
    """Return the bytes that a worker takes to load a model beside the one that serves.

    Args:
        weights: Bytes of its weights.
        half: Whether they are fp16, and it is loaded on a CPU.
        times: Bytes that it takes for each byte of weights, where they are not.
    """
    return int((_TIMES_HALF if half else times) * weights) + _SERVED_BESIDES


def is_half(snapshot: Path) -> bool:
    """Return whether the weights in a model's directory are fp16.

    Raises:
        ValueError: A file is damaged.
    """
    return precision.of(snapshot) == "fp16"


def _checked(snapshot: Path) -> tuple[int, str]:
    """Return the bytes that a check takes, and the words for weights that make it so many."""
    if _is_surely_half(snapshot):
        files = (path for path in snapshot.rglob("*") if path.suffix in _ONNX)
        weights = sum(path.stat().st_size for path in files)
        return int(_TIMES_HALF * weights) + _CHECKED_BESIDES, "in fp16"
    largest = max((path.stat().st_size for path in snapshot.rglob("*.onnx")), default=0)
    needed = int(_CHECKED_TIMES * largest) + _CHECKED_BESIDES
    return needed, "inside the graph" if largest > _GRAPH else ""


def _is_surely_half(snapshot: Path) -> bool:
    try:
        return is_half(snapshot)
    except ValueError:
        return False  # damaged, as whoever loads it will say
