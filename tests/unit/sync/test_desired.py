"""For which bytes of the marker attempts are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent import logs
from agent.release import marker
from agent.sync.record import Record

if TYPE_CHECKING:
    from pathlib import Path


def test_attempts_are_for_the_marker_s_bytes(tmp_path: Path) -> None:
    """A killed agent counts on under the same marker; promoting again begins anew."""
    first, again = marker.parse(b"v2\n"), marker.parse(b"v2\n# again\n")
    for count in (1, 2):
        record = Record(tmp_path, logs.get())
        record.desired_is(first)
        record.begin("v2")
        assert record.state.attempts == {"v2": count}
    assert Record(tmp_path, logs.get()).worn_out("v2")
    record = Record(tmp_path, logs.get())
    record.desired_is(None)
    assert record.worn_out("v2")
    record.desired_is(again)
    assert not record.worn_out("v2")
    assert (record.state.desired, record.state.attempts) == ("v2", {})


def test_what_is_refused_now(tmp_path: Path) -> None:
    """A release that was refused under an earlier marker is history, which nobody is called for."""
    first, again = marker.parse(b"v2\n"), marker.parse(b"v1\n")
    record = Record(tmp_path, logs.get())
    record.desired_is(first)
    record.quarantine("v2", "corrupt", marker=first, digest=None)
    assert set(record.state.refused()) == {"v2"}
    record.desired_is(None)
    assert set(record.state.refused()) == {"v2"}
    record.desired_is(again)
    assert record.state.refused() == {}
    assert set(record.state.quarantined) == {"v2"}
