"""Estimates if a device's memory holds the next model beside the one that serves.

This must happen before the load: if memory runs out, the kernel kills the process, and on a GPU a
request fails. If the estimate is not possible, the model counts as fitting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.machine import memory
from agent.models.devices import driver
from agent.models.formats import precision
from agent.release import layout

if TYPE_CHECKING:
    from agent.models.devices.device import Device
    from agent.worker.release import Release

_WEIGHTS: Final = (".onnx", ".onnx_data", ".data", ".safetensors")
# Peak memory of a load, as a multiple of the weights. Measured on a CPU, check included: bge-large,
# with 1274 MiB of weights, peaks at 1389 MiB with the weights inside the graph and at 1166 MiB with
# them beside it; MiniLM, with 86 MiB, at 125 and 49 MiB.
_TIMES: Final = 1.1
# The same for fp16 on a CPU, which widens it to fp32 and holds both meanwhile: bge-large, with 637
# MiB of weights, peaks at 1919 MiB; MiniLM, with 43 MiB, at 155 MiB.
_TIMES_HALF: Final = 3.05
# Bytes besides the weights.
_BESIDES: Final = 64 * 1024 * 1024
_MIB: Final = 1024 * 1024


class Room:
    """The memory of the device that models are loaded to.

    Args:
        device: The device that models run on.
        name: The name of the model that is loaded of each release.
    """

    def __init__(self, device: Device, name: str) -> None:
        self._device = device
        self._name = name
        self._times = _TIMES

    def free(self) -> int | None:
        """Return the bytes that are free now; None if unknown."""
        if self._device.kind == "cpu":
            return memory.available_bytes()
        seen = driver.memory(self._device.index)
        return seen.free if seen else None

    def note(self, release: Release, before: int | None) -> None:
        """Learn from a loaded and warmed model; `before` is the number of bytes free before that.

        On a GPU little else takes memory meanwhile, and most of what a model takes is not weights
        but working memory of its kernels. So there the next estimate uses this model's ratio.
        """
        after, weights = self.free(), self._weights(release)
        if self._device.kind == "cuda" and before is not None and after is not None and weights:
            self._times = max(_TIMES, (before - after) / weights)

    def misfit(self, release: Release) -> str | None:
        """Return a sentence if memory does not hold the release's model as well; else None."""
        needed = int(self._per_byte(release) * self._weights(release)) + _BESIDES
        free = self.free()
        if free is None or needed <= free:
            return None
        whose = "the container" if self._device.kind == "cpu" else f"{self._device}"
        return (
            f"{release.version} needs about {needed // _MIB} MiB beside the model that serves, and "
            f"{free // _MIB} MiB of {whose}'s memory are free."
        )

    def _per_byte(self, release: Release) -> float:
        if self._device.kind == "cpu":
            homes = [release.path / home for home in self._homes(release)]
            if any(precision.of(home) == "fp16" for home in homes):
                return _TIMES_HALF
        return self._times

    def _weights(self, release: Release) -> int:
        return max((_size(release, f"{home}/") for home in self._homes(release)), default=0)

    def _homes(self, release: Release) -> list[str]:
        models = release.manifest.models
        return [layout.snapshot_directory(model) for model in models if model.name == self._name]


def _size(release: Release, home: str) -> int:
    files = release.manifest.files
    return sum(f.size for f in files if f.path.startswith(home) and f.path.endswith(_WEIGHTS))
