"""Does a device's memory hold the next model beside the one that serves? Asked before it is loaded.

The kernel's answer to too much is a kill, and a GPU's a failed request. What cannot be told is no
reason to refuse: then it fits.
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
# bge-large, 1274 MiB of weights, on a CPU: loading it peaks at 1389 MiB with the weights inside the
# graph and at 1166 beside it, its check included; MiniLM, 86 MiB: 125 and 49.
_TIMES: Final = 1.1
# A CPU widens fp16 to fp32 and holds both meanwhile: bge-large, 637 MiB, 1919; MiniLM, 43, 155.
_TIMES_HALF: Final = 3.05
_BESIDES: Final = 64 * 1024 * 1024
_MIB: Final = 1024 * 1024


class Room:
    """The memory of the device that models are loaded to.

    Args:
        device: Where they run.
        name: Which of a release's models is loaded.
    """

    def __init__(self, device: Device, name: str) -> None:
        self._device = device
        self._name = name
        self._times = _TIMES

    def free(self) -> int | None:
        """Bytes that are free now; None if that cannot be told."""
        if self._device.kind == "cpu":
            return memory.available_bytes()
        seen = driver.memory(self._device.index)
        return seen.free if seen else None

    def note(self, release: Release, before: int | None) -> None:
        """A model was loaded and warmed; `before` was free before that.

        On a GPU little else takes memory meanwhile, and what a model takes is mostly not weights
        but what its kernels work in: the next one is judged by this one.
        """
        after, weights = self.free(), self._weights(release)
        if self._device.kind == "cuda" and before is not None and after is not None and weights:
            self._times = max(_TIMES, (before - after) / weights)

    def misfit(self, release: Release) -> str | None:
        """Why memory does not hold the release's model as well, as a sentence; None if it does."""
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
