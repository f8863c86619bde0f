"""The error of a device that a model does not run on, with what caused it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.models.devices import causes

if TYPE_CHECKING:
    from agent.models.devices.evidence import Evidence


class DeviceError(Exception):
    """A model does not run on the device that was asked for; the release is not to blame.

    Args:
        seen: The facts that its cause is found by.
    """

    def __init__(self, seen: Evidence) -> None:
        found = causes.find(seen)
        self.what = " ".join(cause.what for cause in found)
        self.remedy = found[0].remedy
        super().__init__(f"{self.what} {self.remedy}")
