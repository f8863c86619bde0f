"""Runs a FastEmbed model of a release. Only child processes import this: it takes 100 MB and more.

FastEmbed finds the files, tokenizes and pools, exactly as in the worker. On CPU the session under
it is a bare one with prepacking and the memory arena off, so that a check of a load-optimised
bge-large fits into 512 MiB, where stock FastEmbed takes 1.5 GB.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

# Before FastEmbed is imported: nothing here may ever reach for the Hub.
os.environ["HF_HUB_OFFLINE"] = "1"

import onnxruntime as ort
from fastembed import TextEmbedding

from agent import devices, layout

if TYPE_CHECKING:
    from pathlib import Path

    from agent.devices import Device
    from agent.layout import Placed


class DeviceError(Exception):
    """The session does not run on the device that was asked for."""


class Embedder:
    """One loaded model.

    Args:
        name: As FastEmbed knows it.
        model: Where it stands.
        release: The directory of the release.
        device: Where it must run.

    Raises:
        DeviceError: It would not run there.
        Exception: Whatever FastEmbed or onnxruntime raise for files that do not load.
    """

    def __init__(self, name: str, model: Placed, release: Path, device: Device) -> None:
        began = time.perf_counter()
        self._stock = TextEmbedding(
            name,
            cache_dir=str(release / layout.FASTEMBED),
            local_files_only=True,
            lazy_load=True,
            providers=[devices.PROVIDERS[device]],
        )
        inner: Any = self._stock.model
        expected = (release / layout.snapshot_directory(model)).resolve()
        if inner._model_dir.resolve() != expected:  # noqa: SLF001 - there is no public way to ask
            raise ValueError(f"FastEmbed would load {inner._model_dir} instead")  # noqa: SLF001
        if device == "cpu":
            weights = inner._model_dir / inner.model_description.model_file  # noqa: SLF001
            inner.model = _bare_session(weights)
            inner._ensure_tokenizer()  # noqa: SLF001 - what load_onnx_model does besides
        else:
            _load_on_cuda(inner)
        self.provider: str = inner.model.get_providers()[0]
        self.max_length: int = inner.tokenizer.truncation["max_length"]
        self.load_seconds = time.perf_counter() - began

    def embed(self, text: str) -> list[float]:
        """The vector of one text."""
        return [float(number) for number in next(iter(self._stock.embed([text])))]


def _bare_session(weights: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.enable_cpu_mem_arena = False
    return ort.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])


def _load_on_cuda(inner: Any) -> None:
    """Load as the worker does; onnxruntime falls back to CPU with no more than a warning."""
    wanted = devices.PROVIDERS["cuda"]
    if wanted not in ort.get_available_providers():
        raise DeviceError(f"this onnxruntime has no {wanted}: it is the CPU build")
    ort.preload_dlls()
    inner.load_onnx_model()
    if inner.model.get_providers()[0] != wanted:
        raise DeviceError("CUDA did not initialise and onnxruntime fell back to the CPU")
