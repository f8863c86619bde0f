"""Messages between an agent and a warm-up's child process, which answers line by line."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from agent.models.devices.device import Device  # noqa: TC001 - msgspec reads the annotations
from agent.models.shapes import Shape  # noqa: TC001
from agent.release.canary import Precision  # noqa: TC001
from agent.release.manifest import Canary  # noqa: TC001
from agent.release.model_ref import ModelRef  # noqa: TC001


class Subject(msgspec.Struct, frozen=True):
    """One model to warm.

    Attributes:
        ref: Which one.
        canary: The vectors that it must give; without one, those of the fixed texts are measured.
        ask: Another text whose vector is wanted.
    """

    ref: ModelRef
    canary: Canary | None = None
    ask: str | None = None


class Request(msgspec.Struct, frozen=True):
    """Models of one release directory, to be run on one device, in these shapes."""

    release: str
    device: Device
    models: tuple[Subject, ...]
    shapes: tuple[Shape, ...] = ()


class Timing(msgspec.Struct, frozen=True):
    """One shape: seconds of its first run, and of the quickest of up to three more."""

    shape: Shape
    first_seconds: float
    steady_seconds: float

    @property
    def texts_per_second(self) -> float:
        """Texts a second, once the model is warm."""
        return self.shape.batch / self.steady_seconds


class Measured(msgspec.Struct, frozen=True):
    """The measurements of one model: times in seconds, memory in bytes.

    Attributes:
        ref: Which one.
        not_run: The reason why it was not run, and only its files were looked at.
        first_seconds: Of its very first run.
        share_on_device: The part of a run that was really computed on the device.
        canary_seconds: Of all texts of the canary.
        cosines: With the canary's vectors, text by text.
        finite: Whether no vector was zero or NaN.
        peak_rss_bytes: Of the whole child process.
        peak_device_bytes: Of the device, other processes' changes included.
        vectors: For the fixed texts, where there was no canary.
        answer: The vector of the subject's other text.
    """

    ref: ModelRef
    dim: int
    max_length: int
    precision: Precision
    device: str | None = None
    provider: str | None = None
    not_run: str | None = None
    load_seconds: float | None = None
    first_seconds: float | None = None
    share_on_device: float | None = None
    timings: tuple[Timing, ...] = ()
    canary_seconds: float | None = None
    cosines: tuple[float, ...] = ()
    finite: bool = True
    peak_rss_bytes: int | None = None
    peak_device_bytes: int | None = None
    vectors: tuple[tuple[float, ...], ...] = ()
    answer: tuple[float, ...] = ()

    @property
    def canary_cosine(self) -> float | None:
        """The cosine of the worst text."""
        return min(self.cosines, default=None)

    @property
    def steady_seconds(self) -> float | None:
        """Seconds of a steady run of the first shape."""
        return self.timings[0].steady_seconds if self.timings else None


class Step(msgspec.Struct, frozen=True, tag="step"):
    """A step that the child begins now; the last one says where it hangs."""

    doing: str


class Failure(msgspec.Struct, frozen=True):
    """The failure of one model, in a sentence for people.

    Attributes:
        blames: The model, which is the release's fault, or the device here.
        what: What happened, as in `AgentError`.
        remedy: What to do about it.
    """

    blames: Literal["model", "device"]
    what: str
    remedy: str


class Outcome(msgspec.Struct, frozen=True, tag="outcome"):
    """All models that were measured, up to the first that failed, and its failure."""

    models: tuple[Measured, ...]
    failure: Failure | None = None


Line: TypeAlias = Step | Outcome
