"""A stop is never lost, whatever else happens in that very moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent import logs, settings
from agent.context import Context
from agent.sidecar import Sidecar
from tests.support.shares import TestShare

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_stop_in_the_moment_of_a_wake(tmp_path: Path) -> None:
    """SIGTERM ends the wait for the next poll also when `POST /check` ends it just then."""
    share = TestShare(tmp_path / "share")
    (tmp_path / "store").mkdir()
    flags = {"share": str(share.root), "store": str(tmp_path / "store"), "poll_interval": "1h"}
    sidecar = Sidecar(Context(settings.parse(flags, {}), logs.get()))
    resting = asyncio.ensure_future(sidecar._rest())
    await asyncio.sleep(0)
    sidecar.look_now()
    await asyncio.sleep(0)
    resting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(resting), 5)
