"""One model to look for, and where FastEmbed's list has its files. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent.release.model_ref import ModelRef  # noqa: TC001 - msgspec reads the annotations

# FastEmbed keeps a list for each; the agent runs the first.
Kind = Literal["text", "sparse", "late-interaction", "rerank", "image", "multimodal"]


@dataclass(frozen=True)
class Wanted:
    """One model to look for.

    Attributes:
        ref: Which one.
        model_file: FastEmbed's weights, None for other loaders.
        additional: Further files of FastEmbed's list, such as weights beside the graph.
        kind: The list of FastEmbed that has it.
        allow: Patterns of the files that the loader `huggingface` is given.
        optimize: Whether ONNX weights are published as external data.
    """

    ref: ModelRef
    model_file: str | None = None
    additional: tuple[str, ...] = ()
    kind: Kind = "text"
    allow: tuple[str, ...] = ()
    optimize: bool = False
