"""A sentence-transformers model of a release; it needs the extra `st`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

# Before it is imported: nothing here may ever reach for the Hub.
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from sentence_transformers import SentenceTransformer

from agent.models.devices import causes, gathering
from agent.models.devices.device_error import DeviceError
from agent.release import layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from agent.models.devices.device import Device
    from agent.release.model_ref import ModelRef

    Vector = NDArray[np.float32]


class TorchModel:
    """One loaded model.

    Args:
        ref: Which one.
        release: The directory of the release.
        device: The device that it must run on.

    Raises:
        DeviceError: It would not run there.
        Exception: Whatever sentence-transformers raises for files that do not load.
    """

    def __init__(self, ref: ModelRef, release: Path, device: Device) -> None:
        began = time.perf_counter()
        self._device = device
        if device.kind == "cuda" and not torch.cuda.is_available():
            raise DeviceError(gathering.of_torch(device, "torch finds no GPU"))
        directory = release / layout.snapshot_directory(ref)
        try:
            self._model: Any = SentenceTransformer(
                str(directory), device=str(device), local_files_only=True
            )
        except Exception as error:
            self._raise_if_device(error)
            raise
        self.provider = f"torch on {self._model.device}"
        self.max_length = int(self._model.max_seq_length)
        self.load_seconds = time.perf_counter() - began

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vectors of `texts` as lists; see `run`."""
        return [[float(number) for number in vector] for vector in self.run(texts)]

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return the number of tokens that the model reads of `texts`."""
        cut = {"truncation": True, "max_length": self.max_length}
        return sum(map(len, self._model.tokenizer(list(texts), **cut)["input_ids"]))

    def run(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vectors of `texts`, in one run of the model.

        Raises:
            DeviceError: The device failed, or has too little memory for so many texts.
        """
        try:
            return list(
                self._model.encode(list(texts), batch_size=len(texts), show_progress_bar=False)
            )
        except Exception as error:
            self._raise_if_device(error)
            raise

    def share_on_device(self) -> float:
        """Return how many of the parameters are there: all, which is 1.

        Raises:
            DeviceError: One is not.
        """
        where = [parameter.device.type for parameter in self._model.parameters()]
        if set(where) != {self._device.kind}:
            raise DeviceError(gathering.of_torch(self._device, f"parameters are on {set(where)}"))
        return 1.0

    def _raise_if_device(self, error: Exception) -> None:
        said = " ".join(str(error).split())
        if self._device.kind == "cuda" and (causes.is_cudas(said) or causes.out_of_memory(said)):
            raise DeviceError(gathering.of_torch(self._device, said)) from error
