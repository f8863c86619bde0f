"""Runs a loaded model, and measures it: its shapes, its canary, its memory."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Final, Protocol

from agent.models.devices import driver
from agent.models.shapes import Shape
from agent.release import space
from agent.warmup.protocol import Measured, Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.models.devices.device import Device
    from agent.release.canary import Precision
    from agent.warmup.protocol import Request, Subject

# A shape runs again at most this often, and no more once its runs took so many seconds.
_STEADY_RUNS: Final = 3
_STEADY_SECONDS: Final = 0.1


class Model(Protocol):
    """A model that can be measured; see `agent.models.runtimes`."""

    provider: str
    max_length: int
    load_seconds: float

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vectors of `texts`, in one run."""

    def share_on_device(self) -> float:
        """Return how much of a run is really computed on its device."""


def measure(
    model: Model,
    subject: Subject,
    request: Request,
    *,
    precision: Precision,
    taken: Taken,
    begin: Callable[[str], None],
) -> Measured:
    """Warm a loaded model, and ask it for its canary's texts.

    Args:
        model: The model.
        subject: The canary that it is held to.
        request: The device and the shapes that it runs in.
        precision: Of its weights.
        taken: The device's memory, looked at before the model was loaded.
        begin: Called with every step as it begins.

    Raises:
        Exception: Any error of the model.
    """
    texts = subject.canary.texts if subject.canary else space.CANARY_TEXTS
    name = subject.ref.name
    begin(f"running {name} for the first time")
    first = _seconds(model, texts[:1])
    share = model.share_on_device()
    timings = []
    for shape in _fitting(request.shapes, model.max_length):
        begin(f"running {name} in the shape {shape}")
        timings.append(_time(model, shape))
        taken.look()
    begin(f"running the canary of {name}")
    began = time.perf_counter()
    # One at a time, as the canary was made: padding must not excuse a difference.
    vectors = tuple(tuple(model.embed([text])[0]) for text in texts)
    canary_seconds = time.perf_counter() - began
    finite = all(space.cosine(vector, vector) for vector in vectors)
    taken.look()
    return Measured(
        ref=subject.ref,
        dim=len(vectors[0]),
        max_length=model.max_length,
        precision=precision,
        device=request.device.kind,
        provider=model.provider,
        load_seconds=model.load_seconds,
        first_seconds=first,
        share_on_device=share,
        timings=tuple(timings),
        canary_seconds=canary_seconds,
        cosines=space.cosines(subject.canary, vectors) if subject.canary else (),
        finite=finite,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        peak_device_bytes=taken.bytes,
        vectors=vectors if finite and not subject.canary else (),
        answer=tuple(model.embed([subject.ask])[0]) if subject.ask is not None and finite else (),
    )


def _fitting(shapes: Sequence[Shape], longest: int) -> list[Shape]:
    """Return the shapes, with no text longer than the model reads, and none twice."""
    fitting = (Shape(shape.batch, min(shape.tokens, longest)) for shape in shapes)
    return list(dict.fromkeys(fitting))


def _time(model: Model, shape: Shape) -> Timing:
    texts = shape.texts()
    first, steady = _seconds(model, texts), [_seconds(model, texts)]
    while len(steady) < _STEADY_RUNS and sum(steady) < _STEADY_SECONDS:
        steady.append(_seconds(model, texts))
    return Timing(shape, first, min(steady))


def _seconds(model: Model, texts: Sequence[str]) -> float:
    began = time.perf_counter()
    model.embed(texts)
    return time.perf_counter() - began


class Taken:
    """The most device memory that was taken since this was made; None where it cannot be told.

    onnxruntime's arena never shrinks by itself, so that looking after each shape misses nothing.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._free = self._look()
        self.bytes: int | None = None

    def look(self) -> None:
        """Look how much is taken now; changes by other processes are in it."""
        free = self._look()
        if free is not None and self._free is not None:
            self.bytes = max(self.bytes or 0, self._free - free)

    def _look(self) -> int | None:
        seen = driver.memory(self._device.index) if self._device.kind == "cuda" else None
        return seen.free if seen else None
