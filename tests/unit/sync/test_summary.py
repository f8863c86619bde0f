"""What the line says that ends a sync."""

from __future__ import annotations

import time
from contextlib import suppress

from agent.sync.summary import SyncSummary


def test_the_fields() -> None:
    """They say which release, which attempt, how long each phase took, and where bytes came from.

    What was in the store already, or half staged, is reused; all else came from elsewhere.
    """
    summary = SyncSummary("v2", "v1", 3, began=10.0, ended=12.3456)
    summary.took("observe", 0.25)
    summary.took("stage", 1.00049)
    summary.took("observe", 0.25)
    for source, count in {"share": 7, "hub": 5, "reused": 20, "resumed": 100}.items():
        summary.moved.add(source, count)
    assert summary.fields("success") == {
        "version": "v2",
        "previous": "v1",
        "outcome": "success",
        "attempt": 3,
        "observe_seconds": 0.5,
        "stage_seconds": 1.0,
        "seconds": 2.346,
        "staged_bytes": 12,
        "reused_bytes": 120,
    }


def test_a_reason() -> None:
    """It stands in the line only if there is one."""
    summary = SyncSummary(None, None)
    assert summary.fields("error", "No room.")["reason"] == "No room."
    assert "reason" not in summary.fields("error")


def test_a_phase_that_fails() -> None:
    """Its time counts as well, and it goes on counting where it went on before."""
    summary = SyncSummary("v2", None)
    for _ in range(2):
        with suppress(ValueError), summary.timed("stage"):
            time.sleep(0.01)
            int("no number")
    assert summary.phases["stage"] >= 0.02


def test_a_stopped_clock() -> None:
    """A sync that ended took as long as it took then, whoever reads of it later."""
    summary = SyncSummary("v2", None)
    time.sleep(0.002)
    running = summary.seconds
    time.sleep(0.002)
    assert summary.seconds > running > 0
    summary.end()
    stopped = summary.seconds
    time.sleep(0.002)
    assert summary.seconds == stopped
