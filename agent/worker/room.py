"""Tells whether a device's memory holds the next model beside the one that serves.

It is asked before that is loaded: the kernel's answer to too much is a kill, and a GPU's a failed
request. What cannot be told is no reason to refuse: then it fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.machine import memory
from agent.models import footprint
from agent.models.devices import driver
from agent.models.footprint import MIB
from agent.release import layout

if TYPE_CHECKING:
    from agent.models.devices.device import Device
    from agent.worker.release import Release


class Room:
    """The memory of the device that models are loaded to.

    Args:
        device: The device that models run on.
        name: The name of the model that is loaded of each release.
    """

    def __init__(self, device: Device, name: str) -> None:
        self._device = device
        self._name = name
        self._times = footprint.SERVED_TIMES

    def free(self) -> int | None:
        """Return the bytes that are free now; None if that cannot be told."""
        if self._device.kind == "cpu":
            return memory.available_bytes()
        seen = driver.memory(self._device.index)
        return seen.free if seen else None

    def note(self, release: Release, before: int | None) -> None:
        """Learn from a model that was loaded and warmed; `before` was free before that.

        On a GPU little else takes memory meanwhile, and most of what a model takes is not weights
        but working memory of its kernels. So there the next estimate uses this model's ratio.
        """
        after, weights = self.free(), self._weights(release)
        if self._device.kind == "cuda" and before is not None and after is not None and weights:
            self._times = max(footprint.SERVED_TIMES, (before - after) / weights)

    def misfit(self, release: Release) -> str | None:
        """Return why memory does not hold the release's model as well; None if it does."""
        half = self._is_widened(release)
        needed = footprint.served(self._weights(release), half=half, times=self._times)
        free = self.free()
        if free is None or needed <= free:
            return None
        whose = "the container" if self._device.kind == "cpu" else f"{self._device}"
        return (
            f"{release.version} needs about {needed // MIB} MiB beside the model that serves, and "
            f"{free // MIB} MiB of {whose}'s memory are free."
        )

    def _is_widened(self, release: Release) -> bool:
        if self._device.kind != "cpu":
            return False
        return any(footprint.is_half(release.path / home) for home in self._homes(release))

    def _weights(self, release: Release) -> int:
        return max((_size(release, f"{home}/") for home in self._homes(release)), default=0)

    def _homes(self, release: Release) -> list[str]:
        refs = [model.ref for model in release.manifest.models]
        return [layout.snapshot_directory(ref) for ref in refs if ref.name == self._name]


def _size(release: Release, home: str) -> int:
    files = [file for file in release.manifest.files if file.path.startswith(home)]
    return sum(file.size for file in files if file.path.endswith(footprint.WEIGHTS))
