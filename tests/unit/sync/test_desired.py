"""For which bytes of the marker attempts are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent import logs
from agent.release import marker
from agent.sync.record import Record, load
from agent.sync.state import still_quarantined

if TYPE_CHECKING:
    from pathlib import Path


def test_attempts_are_for_the_marker_s_bytes(tmp_path: Path) -> None:
    """A killed agent counts on under the same marker; promoting again begins anew."""
    first, again = marker.parse(b"v2\n"), marker.parse(b"v2\n# again\n")
    for count in (1, 2):
        record = Record(tmp_path, logs.get())
        record.desired_is(first, held=())
        record.begin("v2")
        assert record.state.attempts == {"v2": count}
    assert Record(tmp_path, logs.get()).worn_out("v2")
    record = Record(tmp_path, logs.get())
    record.desired_is(None, held=())
    assert record.worn_out("v2")
    record.desired_is(again, held=())
    assert not record.worn_out("v2")
    assert (record.state.desired, record.state.attempts) == ("v2", {})


def test_what_is_refused_now(tmp_path: Path) -> None:
    """A release that was refused under an earlier marker is history, which nobody is called for."""
    first, again = marker.parse(b"v2\n"), marker.parse(b"v1\n")
    record = Record(tmp_path, logs.get())
    record.desired_is(first, held=())
    record.quarantine("v2", "corrupt", marker=first, digest=None)
    assert set(record.state.refused()) == {"v2"}
    record.desired_is(None, held=())
    assert set(record.state.refused()) == {"v2"}
    record.desired_is(again, held=["v2"])
    assert record.state.refused() == {}
    assert set(record.state.quarantined) == {"v2"}


def test_what_was_refused_and_is_gone(tmp_path: Path) -> None:
    """A quarantine ends with its release: neither in the marker's chain nor in the store.

    Its failure is no longer the last one either. While the marker cannot be read, nothing ends.
    """
    bad = marker.parse(b"v3\n# previous: v2 v1\n")
    record = Record(tmp_path, logs.get())
    record.desired_is(bad, held=["v1"])
    record.quarantine("v2", "too large", marker=bad, digest=None)
    record.quarantine("v3", "corrupt", marker=bad, digest=None)
    for unchanged in (bad, None):
        record.desired_is(unchanged, held=["v1"])
        assert (set(record.state.quarantined), record.state.last_error) == ({"v2", "v3"}, "corrupt")
    back = marker.parse(b"v1\n# previous: v2\n")
    record.desired_is(back, held=["v1", "v3"])
    assert (set(record.state.quarantined), record.state.last_error) == ({"v2", "v3"}, "corrupt")
    record.desired_is(back, held=["v1"])
    state = load(tmp_path)
    assert (set(state.quarantined), state.last_error) == ({"v2"}, None)


def test_what_was_refused_and_is_named_again(tmp_path: Path) -> None:
    """It is tried once for the same bytes of the marker, and then refused while they stay."""
    bad, good = marker.parse(b"v2\n"), marker.parse(b"v1\n")
    record = Record(tmp_path, logs.get())
    for _ in range(2):
        record.desired_is(bad, held=["v1"])
        assert "v2" not in record.state.quarantined
        record.quarantine("v2", "corrupt", marker=bad, digest="d")
        record.desired_is(bad, held=["v1"])
        assert still_quarantined(record.state.quarantined["v2"], bad, "d")
        record.desired_is(good, held=["v1"])
