"""A FastEmbed model of a release: found, tokenized and pooled by FastEmbed itself.

The session under it is ours. On a CPU it has prepacking off, so that a check of a load-optimised
bge-large fits into 512 MiB, where stock FastEmbed takes 1.5 GB; on a GPU it may not fall back to
the CPU.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any

# Before FastEmbed is imported: nothing here may ever reach for the Hub.
os.environ["HF_HUB_OFFLINE"] = "1"

from fastembed import TextEmbedding

from agent.models.runtimes import strict
from agent.release import layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import onnxruntime as ort

    from agent.models.devices.device import Device
    from agent.release.model_ref import ModelRef


class FastEmbedModel:
    """One loaded model.

    Args:
        ref: Which one; its name is as FastEmbed knows it.
        release: The directory of the release.
        device: The device that it must run on.

    Raises:
        DeviceError: It would not run there.
        Exception: Whatever FastEmbed or onnxruntime raise for files that do not load.
    """

    def __init__(self, ref: ModelRef, release: Path, device: Device) -> None:
        began = time.perf_counter()
        self._device = device
        self._check = strict.Check(device)
        self._stock = open_stock(ref, release, device, self._check.options)
        inner: Any = self._stock.model
        self._session: ort.InferenceSession = inner.model
        self.provider: str = self._session.get_providers()[0]
        self.max_length: int = inner.tokenizer.truncation["max_length"]
        self.load_seconds = time.perf_counter() - began

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vectors of `texts`, in one run of the model.

        Raises:
            DeviceError: The device failed, or has too little memory for so many texts.
        """
        with strict.running_on(self._device):
            vectors = list(self._stock.embed(texts, batch_size=len(texts)))
        return [[float(number) for number in vector] for vector in vectors]

    def share_on_device(self) -> float:
        """Return how much of the runs until now was really computed there; call it once.

        Raises:
            DeviceError: It was not most of it.
        """
        return self._check.share(self._session)


def open_stock(
    ref: ModelRef, release: Path, device: Device, options: ort.SessionOptions
) -> TextEmbedding:
    """Open FastEmbed's own model, on a session that runs on `device` or not at all.

    Raises:
        DeviceError: It would not run there.
        FileNotFoundError: The release is gone.
        ValueError: FastEmbed would load another directory than the model's.
    """
    cache = release / layout.FASTEMBED
    # FastEmbed would make the directory: a release that was just deleted would stand there again.
    if not cache.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(cache))
    stock = TextEmbedding(ref.name, cache_dir=str(cache), local_files_only=True, lazy_load=True)
    inner: Any = stock.model
    found: Path = inner._model_dir  # noqa: SLF001 - there is no public way to ask
    if found.resolve() != (release / layout.snapshot_directory(ref)).resolve():
        raise ValueError(f"FastEmbed would load {found} instead")
    weights = found / inner.model_description.model_file
    inner.model = strict.session(weights, device, options)
    inner._ensure_tokenizer()  # noqa: SLF001 - what load_onnx_model does besides
    return stock
