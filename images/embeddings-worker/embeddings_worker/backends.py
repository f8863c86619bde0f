"""Backends that run a model: FastEmbed, or sentence-transformers if that is installed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Protocol

# Set before FastEmbed is imported: a worker must never contact the Hub.
os.environ["HF_HUB_OFFLINE"] = "1"
# onnxruntime 1.32 sends telemetry whenever it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from agent.errors import ModelError
from agent.models.runtimes.fastembed_model import open_stock
from agent.models.runtimes.strict import running_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from agent.models.devices.device import Device
    from agent.release.manifest import Model
    from agent.worker import Release

    Vector = NDArray[np.float32]

# The loaders in order of preference: the first one for which a release has the model runs it.
LOADERS: Final = ("fastembed", "sentence-transformers")


class Backend(Protocol):
    """One loaded model."""

    def run(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vectors of `texts`, from one run of the model."""

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return the number of tokens that the model reads of `texts`."""


def open_backend(entry: Model, release: Release, device: Device) -> Backend:
    """Load a model with its loader.

    Raises:
        ModelError: Its loader is not installed.
        DeviceError: It would not run on the device.
        Exception: The loader's own error for files that do not load.
    """
    if entry.loader == "fastembed":
        return FastEmbedBackend(entry, release, device)
    try:
        from agent.models.runtimes.torch_model import (  # noqa: PLC0415 - only where it is used
            TorchModel,
        )
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{entry.name} needs sentence-transformers, and {error.name} is not installed.",
            remedy="Use an image with the extra st, or publish the model for FastEmbed.",
        ) from None
    return TorchModel(entry.ref, release.path, device)


class FastEmbedBackend:
    """FastEmbed's own model, on the threads that all sessions share."""

    def __init__(self, entry: Model, release: Release, device: Device) -> None:
        options = ort.SessionOptions()
        options.use_per_session_threads = False
        self._device = device
        self._stock = open_stock(entry.ref, release.path, device, options)

    def run(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vectors of `texts`, from one run of the model.

        Raises:
            DeviceError: The device failed, or has too little memory.
        """
        with running_on(self._device):
            found: Any = self._stock.embed(texts, batch_size=len(texts))
            return list(found)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return the number of tokens that the model reads of `texts`."""
        return int(self._stock.token_count(texts))
