"""The selection of a loader out of a model's files: a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """The files of one model that its loader reads, by their names in the model's directory.

    Attributes:
        files: What it reads, sorted.
        missing: The first file that it cannot do without and that is not there; None if all are.
        beside: Files beside an ONNX graph. It reads those that the graph names as its weights.
    """

    files: tuple[str, ...]
    missing: str | None = None
    beside: tuple[str, ...] = ()
