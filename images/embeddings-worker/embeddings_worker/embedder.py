"""A model of one release: loads it, checks it, runs it."""

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
        name: As its loader and the manifest know it.
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
        """The vectors of `texts`, in their order, normalized."""
        vectors: dict[int, Vector] = {}
        for batch in batches(texts, self._max_batch):
            found = self._backend.run([texts[i] for i in batch])
            vectors.update(zip(batch, found, strict=True))
        return [vectors[i] for i in range(len(texts))]

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the model reads of `texts`."""
        return self._backend.count_tokens(texts)

    def check(self) -> None:
        """Warm the model, and hold its vectors against the release's canary, if it has one.

        Of a canary that the agent has run on this machine's CPU, that is its first text.

        Raises:
            ModelError: The vectors are not those that the model must give.
        """
        self._warm()
        entry = self._in_question()
        reference = entry.canary
        texts = reference.texts if reference else space.CANARY_TEXTS[:1]
        # One at a time, as the canary was made: padding must not excuse a difference.
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

    def _in_question(self) -> Model:
        """What the manifest says of the model, with the texts that it is held to.

        Where the agent ran all of them on this machine's CPU, and no file was written since, the
        first one shows that this process runs the model alike: the one long text takes bge-large
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
        """Do what the first requests would wait for: choose kernels, take memory.

        On a CPU there are no kernels to choose, and a canary's text is enough.
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
    named = {model.loader: model for model in release.manifest.models if model.name == name}
    for loader in LOADERS:
        if loader in named:
            return named[loader]
    held = ", ".join(f"{model.name} ({model.loader})" for model in release.manifest.models)
    raise ModelError(
        f"Release {release.version} holds no {name} for {' or '.join(LOADERS)}; it holds {held}.",
        remedy="Start the worker with --model of one of these, or publish the model.",
    )
