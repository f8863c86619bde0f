"""How the marker may change, and where it may lead."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from tests.faults.matrix import case
from tests.faults.serving import release_labels, serving
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.pods import Pod

_FLAPS: Final = 81
_HERTZ: Final = 20


def replace(marker: Path, text: str) -> None:
    """Write a marker beside the old one, and rename it to its place."""
    new = marker.with_name(".VERSION.new")
    new.write_text(text)
    new.replace(marker)


@case("marker", "rewritten in the same second: same size, same time of change")
def test_a_rewrite_that_no_stat_shows(pod: Pod) -> None:
    """A poll finds it, with nobody to wake the agent: it goes by the bytes."""
    marker = pod.share.root / "VERSION"
    marker.write_text("v1\n")
    with serving(pod) as running:
        until(lambda: "no other release" in running.sidecar.status()["doing"])
        before = marker.stat()
        with marker.open("r+") as file:
            file.write("v2\n")
        os.utime(marker, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = marker.stat()
        assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
            *(before.st_ino, before.st_size, before.st_mtime_ns),
        )
        running.settle("v2")


@case("marker", "replaced by rename")
def test_a_marker_that_is_replaced(pod: Pod) -> None:
    """Another file under the marker's name is read by the next poll, each time."""
    with serving(pod) as running:
        for version in ("v2", "v1", "v2"):
            replace(pod.share.root / "VERSION", f"{version}\n")
            running.settle(version)


@case("marker", "flapping v1/v2 at 20 Hz")
def test_a_marker_that_flaps(pod: Pod) -> None:
    """It ends on the last one, without a reload for each, and nothing is quarantined for it."""
    with serving(pod) as running:
        pace = threading.Event()
        for flap in range(_FLAPS):
            replace(pod.share.root / "VERSION", f"v{2 - flap % 2}\n")
            pace.wait(1 / _HERTZ)
        running.settle("v2")
        assert running.sidecar.metric("model_agent_reload_attempts_total") < _FLAPS / 4
        assert running.sidecar.metric("model_agent_quarantined_releases") == 0
        assert pod.state()["attempts"] == {}


@case("marker", "names an unknown version")
def test_a_marker_that_names_an_unknown_version(pod: Pod) -> None:
    """The old release stays, `/status` names the missing one, and any good marker is the exit."""
    with serving(pod) as running:
        for good in ("v2", "v1"):
            before = pod.active()
            assert before
            running.mark("v9\n")
            until(lambda: "v9 is missing" in (running.sidecar.status()["last_error"] or ""))
            until(lambda: release_labels(running.sidecar)["desired"] == "v9")
            running.assert_active(before)
            running.mark(f"{good}\n")
            running.settle(good)
        assert running.sidecar.status()["quarantined"] == {}


@case("marker", "reverts to a smaller version")
def test_a_marker_that_goes_back(pod: Pod) -> None:
    """Versions are names without an order: going down is a bump as going up is."""
    with serving(pod) as running:
        running.allowed.add("v3")
        for version in ("v3", "v2", "v1"):
            running.mark(f"{version}\n")
            running.settle(version)
