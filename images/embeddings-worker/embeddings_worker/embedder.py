"""Loads, checks and runs a model of one release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import onnxruntime as ort
from msgspec.structs import replace

from agent.errors import ModelError
from agent.models import shapes
from agent.models.devices.device_error import DeviceError
from agent.models.shapes import Shape
from agent.release import canary, space
from agent.store import records
from agent.warmup import passes
from embeddings_worker.backends import LOADERS, open_backend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.models.devices.device import Device
    from agent.release.manifest import Model
    from agent.worker import Release
    from embeddings_worker.backends import Vector

# Characters by which the texts of one batch may differ, however short they are.
_ALIKE: Final = 64
_REMEDY: Final = "Promote a release that loads, or publish this one again."


def share_threads(threads: int) -> None:
    """Create one pool of `threads` (0: one per core) for all sessions, before any is created.

    A session's own pool would inherit the low priority of the thread that loads it, for good: then
    the model that serves would yield to everything else in its container, and share the cores with
    the next load (measured: requests waited for 0.4 s, once for over 1 s).
    """
    ort.set_global_thread_pool_sizes(threads, 1)


class Embedder:
    """One loaded model.

    Args:
        name: The model's name, as its loader and the manifest have it.
        release: The release that it comes from.
        device: The device that it must run on.
        max_batch: The most texts in one run of the model.

    Raises:
        ModelError: The release does not have it, or it does not load on the device.
    """

    def __init__(self, name: str, release: Release, *, device: Device, max_batch: int) -> None:
        self._name = name
        self._device = device
        self._max_batch = max_batch
        self._release = release
        self._entry = _find(name, release)
        try:
            self._backend = open_backend(self._entry, release, device)
        except ModelError:
            raise
        except DeviceError as error:
            what = f"{name} does not run on {device}: {error.what}"
            raise ModelError(what, remedy=error.remedy) from error
        except Exception as error:
            raise self._unfit(f"does not load on {device}: {error}") from error

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vectors of `texts`, normalized and in their order."""
        vectors: dict[int, Vector] = {}
        for batch in batches(texts, self._max_batch):
            found = self._backend.run([texts[i] for i in batch])
            vectors.update(zip(batch, found, strict=True))
        return [vectors[i] for i in range(len(texts))]

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return the number of tokens that the model reads of `texts`."""
        return self._backend.count_tokens(texts)

    def check(self) -> None:
        """Warm the model, and compare its vectors with the release's canary, if it has one.

        If the agent has run the canary on this machine's CPU, only its first text is run.

        Raises:
            ModelError: The vectors differ from the canary's.
        """
        self._warm()
        entry = self._to_check()
        reference = entry.canary
        texts = reference.texts if reference else space.CANARY_TEXTS[:1]
        # One text at a time, as the canary was made: padding would change the vectors.
        vectors = [[float(number) for number in self.embed([text])[0]] for text in texts]
        reason = canary.problem(
            entry,
            dim=len(vectors[0]),
            finite=all(space.cosine(vector, vector) for vector in vectors),
            cosines=space.cosines(reference, vectors) if reference else (),
            kind=self._device.kind,
        )
        if reason:
            raise self._unfit(reason)

    def _to_check(self) -> Model:
        """Return the manifest's entry of the model, with the canary's texts that are to be run.

        If the agent ran all of them on this machine's CPU, and no file was written since, one text
        is enough to show that this process runs the model alike. The one long text takes bge-large
        2 s on 2 cores.
        """
        entry, release = self._entry, self._release
        if not entry.canary or self._device.kind != "cpu":
            return entry
        if (entry.name, entry.loader) not in passes.on_cpu(release.agent, release.digest):
            return entry
        if not records.is_untouched(release.agent, release.manifest, release.path):
            return entry
        texts, vectors = entry.canary.texts[:1], entry.canary.vectors[:1]
        return replace(entry, canary=replace(entry.canary, texts=texts, vectors=vectors))

    def _warm(self) -> None:
        """Warm a GPU, so that the first requests do not wait for kernels and memory.

        On a CPU there are no kernels to choose, and running the canary's text is enough.
        """
        if self._device.kind == "cuda":
            wanted = (
                Shape(min(s.batch, self._max_batch), s.tokens) for s in shapes.DEFAULTS["cuda"]
            )
            for shape in dict.fromkeys(wanted):
                self.embed(shape.texts())

    def _unfit(self, reason: str) -> ModelError:
        return ModelError(f"{self._name} {reason}.", remedy=_REMEDY)


def batches(texts: Sequence[str], limit: int) -> Iterator[list[int]]:
    """Yield the indices of `texts`, shortest first, in batches of similar length.

    A batch has at most `limit` texts. Every text of a batch is padded to the longest one, so beside
    a long text every short one costs as much: six mixed texts took bge-large 21 s in one batch on 2
    cores, and 4.4 s one by one.
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
    named = {model.loader: model for model in release.manifest.models if model.name == name}
    for loader in LOADERS:
        if loader in named:
            return named[loader]
    held = ", ".join(f"{model.name} ({model.loader})" for model in release.manifest.models)
    raise ModelError(
        f"Release {release.version} holds no {name} for {' or '.join(LOADERS)}; it holds {held}.",
        remedy="Start the worker with --model of one of these, or publish the model.",
    )
