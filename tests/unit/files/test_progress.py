"""Progress as it is shown: lines of the log, or a bar on a terminal."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from agent import logs
from agent.files import progress
from agent.files.progress import ByteCounter

if TYPE_CHECKING:
    import pytest

TICK = 0.02


class Terminal(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_lines_end_with_the_last_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line comes every few seconds, and one for 100 %, though the work goes on for a while."""
    monkeypatch.setattr(progress, "LOG_SECONDS", TICK)
    moved = ByteCounter()
    with capture_logs() as said, progress.shown(logs.get(), "build", moved, 8):
        moved.add("share", 4)
        while not said:
            time.sleep(TICK)
        moved.add("share", 4)
        time.sleep(20 * TICK)
    seen = [line["bytes"] for line in said if line["event"] == "progress"]
    assert (seen[0], seen.count(8), seen[-1]) == (4, 1, 8)


def test_a_bar_ends_with_the_last_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it is taken away then, and does not stand at 100 % while other work goes on."""
    terminal = Terminal()
    monkeypatch.setattr(progress, "_BAR_SECONDS", TICK)
    monkeypatch.setattr("sys.stderr", terminal)
    with progress.shown(logs.get(), "build", moved := ByteCounter(), 8):
        moved.add("share", 8)
        time.sleep(20 * TICK)
        shown = terminal.getvalue()
    assert "100%" not in shown
    assert shown.endswith("\r")
    assert terminal.getvalue() == shown
