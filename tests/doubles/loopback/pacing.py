"""Bandwidth that several transfers share, by the clock of the event loop."""

from __future__ import annotations

import asyncio


class Pace:
    """Lets `rate` bytes a second through, all callers together.

    Args:
        rate: Bytes per second.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._free_at = 0.0

    @property
    def slice(self) -> int:
        """How much to move at once so that the flow is even: a twentieth of a second's worth."""
        return max(1, int(self.rate / 20))

    async def spend(self, size: int) -> None:
        """Wait until `size` more bytes fit into the rate."""
        loop = asyncio.get_running_loop()
        start = max(loop.time(), self._free_at)
        self._free_at = start + size / self.rate
        await asyncio.sleep(self._free_at - loop.time())
