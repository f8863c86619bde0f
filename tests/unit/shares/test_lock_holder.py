"""Holders of locks: one that is gone is known only on its own machine."""

from __future__ import annotations

import os

from msgspec.structs import replace

from agent.shares.lock_holder import Holder


def test_another_machine_says_nothing() -> None:
    """Process numbers of another machine, or container, are never judged here."""
    elsewhere = replace(Holder.me(), machine="another", process="1:never")
    assert not elsewhere.is_gone()
    assert not Holder.me().is_gone()
    assert replace(Holder.me(), process=f"{os.getpid()}:0").is_gone()
