"""The memory that loading a model takes, estimated before the kernel answers with a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError
from agent.models.formats import precision
from agent.release import layout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from agent.warmup.protocol import Subject

# Measured: a bare session takes 1.14 times the weights that are inside a graph; those that are
# beside it are mapped, and the kernel takes such pages back. The rest is Python and libraries.
_TIMES: Final = 1.2
# A CPU widens fp16 to fp32, wherever it is kept, and holds both meanwhile.
_TIMES_HALF: Final = 3.05
# More than a graph takes without its weights: bge-large's, 0.4 MB.
_GRAPH: Final = 4 * 1024 * 1024
_BESIDES: Final = 250 * 1024 * 1024
_MIB: Final = 1024 * 1024


def require(subjects: Iterable[Subject], release: Path, *, limit: int | None) -> None:
    """See that the models of `release` can be loaded on the CPU within a limit of memory.

    Args:
        subjects: The models.
        release: The directory of the release.
        limit: Bytes that the container may take; None for no limit.

    Raises:
        ConfigError: One cannot.
    """
    for subject in subjects:
        needed, how = _needed(release / layout.snapshot_directory(subject))
        if limit is not None and needed > limit:
            because = f" has its weights {how}:" if how else ":"
            otherwise = ", or publish it in fp32 with --optimize" if how else ""
            raise ConfigError(
                f"{subject.name}{because} checking it takes about {needed // _MIB} MiB of memory, "
                f"and the limit here is {limit // _MIB} MiB.",
                remedy=f"Raise the container's memory limit{otherwise}.",
            )


def _needed(snapshot: Path) -> tuple[int, str]:
    """Bytes that loading takes, and what about the weights makes it so many, if they do."""
    if _is_half(snapshot):
        files = (path for path in snapshot.rglob("*") if path.suffix in {".onnx", ".data"})
        weights = sum(path.stat().st_size for path in files)
        return int(_TIMES_HALF * weights) + _BESIDES, "in fp16"
    largest = max((path.stat().st_size for path in snapshot.rglob("*.onnx")), default=0)
    return int(_TIMES * largest) + _BESIDES, "inside the graph" if largest > _GRAPH else ""


def _is_half(snapshot: Path) -> bool:
    try:
        return precision.of(snapshot) == "fp16"
    except ValueError:
        return False  # damaged, as whoever loads it will say
