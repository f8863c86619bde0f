"""What an agent asks of a warm-up's child process, and what it hears back."""

from __future__ import annotations

from typing import Literal

import msgspec

from agent.manifest import Canary  # noqa: TC001 - msgspec reads the annotation


class Subject(msgspec.Struct, frozen=True):
    """One model to warm; without a canary its vectors for the fixed texts are measured."""

    name: str
    loader: str
    repo: str
    revision: str
    canary: Canary | None = None


class Request(msgspec.Struct, frozen=True):
    """Models of one release directory, to be run on one device at a niceness."""

    release: str
    device: Literal["cpu", "cuda"]
    models: tuple[Subject, ...]
    nice: int = 0


class Measured(msgspec.Struct, frozen=True):
    """What was seen of one model: times in seconds, memory in bytes.

    A model that was not run here (sentence-transformers without its library) has no provider and no
    times; `finite` says that no vector was zero or NaN.
    """

    name: str
    loader: str
    dim: int
    max_length: int
    device: str | None = None
    provider: str | None = None
    load_seconds: float | None = None
    first_seconds: float | None = None
    steady_seconds: float | None = None
    canary_cosine: float | None = None
    finite: bool = True
    peak_rss_bytes: int | None = None
    vectors: tuple[tuple[float, ...], ...] = ()


class Outcome(msgspec.Struct, frozen=True):
    """All models that were measured, up to the first that failed."""

    models: tuple[Measured, ...]
    failure: str | None = None
    blames_release: bool = False
