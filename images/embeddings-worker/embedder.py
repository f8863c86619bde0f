"""A FastEmbed model of one release: loads it, checks it, runs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

# Before FastEmbed is imported: a worker never reaches for the Hub.
os.environ["HF_HUB_OFFLINE"] = "1"
# onnxruntime 1.32 sends telemetry from wherever it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from agent import canary, shapes, space
from agent.errors import ModelError
from agent.running.fastembed_model import open_stock
from agent.running.strict import DeviceError, raise_if_device
from agent.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from agent.devices import Device
    from agent.manifest import Model
    from agent.worker import Release

    Vector = NDArray[np.float32]

_LOADER: Final = "fastembed"
_ALIKE: Final = 64  # characters by which the texts of one batch may differ whatever their length
_REMEDY: Final = "Promote a release that loads, or publish this one again."


def share_threads(threads: int) -> None:
    """Make one pool of `threads` (0: one a core) for all sessions. Call it before any is made.

    A session's own pool would inherit the low priority of the thread that loads it, and nobody may
    raise that again: the served model would yield to whatever else runs in its container, and share
    the cores with the next load (measured: requests that stood still for 0.4 s, once for over 1 s).
    """
    ort.set_global_thread_pool_sizes(threads, 1)


class Embedder:
    """One loaded model.

    Args:
        name: As FastEmbed and the manifest know it.
        release: Where it comes from.
        device: Where it must run.
        max_batch: Texts in one run of the model.

    Raises:
        ModelError: The release does not hold it, or it does not load on the device.
    """

    def __init__(self, name: str, release: Release, *, device: Device, max_batch: int) -> None:
        self._name = name
        self._device = device
        self._max_batch = max_batch
        self._entry = _find(name, release)
        try:
            self._stock = open_stock(name, self._entry, release.path, device, _options())
        except DeviceError as error:
            what = f"{name} does not run on {device}: {error.what}"
            raise ModelError(what, remedy=error.remedy) from error
        except Exception as error:
            raise self._unfit(f"does not load on {device}: {error}") from error

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of `texts`, in their order, normalized."""
        vectors: dict[int, Vector] = {}
        for batch in batches(texts, self._max_batch):
            found = self._run([texts[i] for i in batch])
            vectors.update(zip(batch, found, strict=True))
        return [vectors[i] for i in range(len(texts))]

    def _run(self, texts: Sequence[str]) -> list[Vector]:
        try:
            found: Any = self._stock.embed(texts, batch_size=self._max_batch)
            return list(found)
        except Exception as error:
            raise_if_device(error, self._device)
            raise

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the model reads of `texts`."""
        return int(self._stock.token_count(texts))

    def check(self) -> None:
        """Warm the model, and hold its vectors against the release's canary, if it has one.

        Raises:
            ModelError: The vectors are not those that the model must give.
        """
        for shape in shapes.DEFAULTS[self._device.kind] if self._device.kind == "cuda" else ():
            # What the first requests would wait for otherwise: kernels to choose, memory to take.
            self.embed(Shape(min(shape.batch, self._max_batch), shape.tokens).texts())
        reference = self._entry.canary
        texts = reference.texts if reference else space.CANARY_TEXTS[:1]
        # One at a time, as the canary was made: padding must not excuse a difference.
        vectors = [[float(number) for number in self.embed([text])[0]] for text in texts]
        reason = canary.problem(
            self._entry,
            dim=len(vectors[0]),
            finite=all(space.cosine(vector, vector) for vector in vectors),
            cosines=space.cosines(reference, vectors) if reference else (),
            kind=self._device.kind,
        )
        if reason:
            raise self._unfit(reason)

    def _unfit(self, reason: str) -> ModelError:
        return ModelError(f"{self._name} {reason}.", remedy=_REMEDY)


def batches(texts: Sequence[str], limit: int) -> Iterator[list[int]]:
    """The places of `texts`, shortest first, in runs of at most `limit` texts of similar length.

    Every text of a run is padded to its longest, so one long text makes every short one beside it
    cost as much: six mixed texts took bge-large 21 s in one batch on 2 cores, 4.4 s one by one.
    """
    batch: list[int] = []
    for index in sorted(range(len(texts)), key=lambda i: len(texts[i])):
        if batch and (len(batch) == limit or len(texts[index]) > 2 * len(texts[batch[0]]) + _ALIKE):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _find(name: str, release: Release) -> Model:
    for model in release.manifest.models:
        if model.name == name and model.loader == _LOADER:
            return model
    held = ", ".join(f"{model.name} ({model.loader})" for model in release.manifest.models)
    raise ModelError(
        f"Release {release.version} holds no {name} for {_LOADER}; it holds {held}.",
        remedy="Start the worker with --model of one of these, or publish the model.",
    )


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.use_per_session_threads = False
    return options
