"""What the marker may be, and what it does then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.workers import until

if TYPE_CHECKING:
    from tests.support.pods import Pod

_HALF: Final = b"v2\n# previous: v1\n"


def says_nothing(name: str, data: bytes, reason: str) -> object:
    """A marker that is not understood, and what is said of it."""
    return pytest.param(data, reason, id=name, marks=case("marker", name))


def understood(name: str, data: bytes) -> object:
    """A marker that names v2 all the same."""
    return pytest.param(data, id=name, marks=case("marker", name))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        says_nothing("empty", b"", "it is empty"),
        says_nothing("NUL-filled", bytes(512), "it holds NUL bytes"),
        says_nothing("torn: its tail is not written yet", _HALF.ljust(512, b"\0"), "NUL bytes"),
        says_nothing("1 MB", b"v2\n".ljust(1024 * 1024, b"#"), "over 4096 bytes"),
        says_nothing("binary", b"\x89PNG\r\n\x1a\n" + bytes(range(1, 256)), "not UTF-8"),
        says_nothing("no version in it", b"../v2\n", "not a version"),
    ],
)
def test_a_marker_that_says_nothing(data: bytes, reason: str, pod: Pod) -> None:
    """The old release stays, `/status` says why, and any good marker ends it."""
    with serving(pod) as running:
        running.mark(data)
        until(lambda: reason in (running.sidecar.status()["share"]["marker_unknown"] or ""))
        assert running.sidecar.status()["desired"] == "v1"
        running.assert_active("v1")
        running.mark("v2\n")
        running.settle("v2")
        assert running.sidecar.status()["share"]["marker_unknown"] is None


@pytest.mark.parametrize(
    "data",
    [
        understood("CRLF", b"v2\r\n# previous: v1\r\n"),
        understood("byte order mark", b"\xef\xbb\xbfv2\r\n"),
        understood("trailing spaces", b"v2 \t \n\n"),
        understood("no newline at its end", b"v2"),
    ],
)
def test_a_marker_as_editors_write_it(data: bytes, pod: Pod) -> None:
    """It names its release as if it were written by `promote`."""
    with serving(pod) as running:
        running.mark(data)
        running.settle("v2")
        assert running.sidecar.status()["share"]["marker_unknown"] is None


@case("marker", "torn: a part of the version")
def test_a_marker_that_is_written_slowly(pod: Pod) -> None:
    """Half a version names no release: the old one stays, and the whole version is served."""
    with serving(pod) as running:
        running.mark("v")
        until(lambda: "The release v is missing" in (running.sidecar.status()["last_error"] or ""))
        running.assert_active("v1")
        running.mark("v2")
        running.settle("v2")
        assert running.sidecar.status()["last_error"] is None


@case("marker", "missing at start, appears later")
def test_a_marker_that_is_missing(pod: Pod) -> None:
    """What the store has active is served, `/status` says why, and the first marker counts."""
    (pod.share.root / "VERSION").unlink()
    with serving(pod) as running:
        until(lambda: running.sidecar.status()["share"]["marker_unknown"] == "there is none")
        running.assert_active("v1")
        running.mark("v2\n")
        running.settle("v2")


@case("marker", "deleted, and written again")
def test_a_marker_that_is_deleted(pod: Pod) -> None:
    """The release that it named last stays desired and active, and the next marker counts."""
    with serving(pod) as running:
        running.mark("v2\n")
        running.settle("v2")
        (pod.share.root / "VERSION").unlink()
        until(lambda: running.sidecar.status()["share"]["marker_unknown"] == "there is none")
        assert running.sidecar.status()["desired"] == "v2"
        running.assert_active("v2")
        running.mark("v1\n")
        running.settle("v1")
