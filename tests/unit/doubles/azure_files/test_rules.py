"""The double's pure rules: signatures, names, ranges, leases, SMB properties, listings, faults."""

from __future__ import annotations

import functools
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.doubles.azure_files.leases import Lease, State
from tests.doubles.azure_files.listing import parse_page
from tests.doubles.azure_files.moments import Clock
from tests.doubles.azure_files.names import fold, split_path
from tests.doubles.azure_files.ranges import GRAIN, ByteRange, RangeSet, within
from tests.doubles.azure_files.resterror import RestError
from tests.doubles.azure_files.signing import SignedParts, split_query, strings_to_sign
from tests.doubles.azure_files.smb import parse_attributes

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
ONE = "11111111-1111-1111-1111-111111111111"
TWO = "22222222-2222-2222-2222-222222222222"


def code(act: Callable[[], object]) -> str:
    """The error code that an act ends with."""
    with pytest.raises(RestError) as refused:
        act()
    return refused.value.code


def test_string_to_sign_as_documented() -> None:
    """The published example of "Authorize with Shared Key" gives the published string."""
    headers = {"x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2015-02-21"}
    query = (("restype", "container"), ("comp", "metadata"), ("timeout", "20"))
    parts = SignedParts("GET", "/mycontainer", query, headers)
    expected = (
        "GET\n\n\n\n\n\n\n\n\n\n\n\n"
        "x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
        "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
    )
    assert strings_to_sign(parts, "myaccount") == [expected, expected]


def test_string_to_sign_details() -> None:
    """A zero length counts as none, x-ms-date outranks Date, values of one name are joined."""
    headers = {
        "content-length": "0",
        "date": "today",
        "x-ms-date": "a  b",
        "x-ms-meta-ab": "1",
        "x-ms-meta-a_b": "2",
    }
    query = split_query("include=b&x=%2B+&include=a")
    plain, as_words = strings_to_sign(SignedParts("put", "/s/%20", query, headers), "acc")
    resource = "/acc/s/%20\ninclude:a,b\nx:++"
    assert (
        plain == "PUT" + "\n" * 12 + f"x-ms-date:a b\nx-ms-meta-a_b:2\nx-ms-meta-ab:1\n{resource}"
    )
    assert as_words == plain


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/data", ("data", ())),
        ("/data/a%20b/c", ("data", ("a b", "c"))),
        ("/data/dots.../x.", ("data", ("dots", "x"))),
        ("/data/%E5%95%8A", ("data", ("\u554a",))),
    ],
)
def test_paths(raw: str, expected: tuple[str, tuple[str, ...]]) -> None:
    """A path is decoded and split; trailing dots do not count."""
    assert split_path(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/Data", "InvalidResourceName"),
        ("/a--b", "InvalidResourceName"),
        ("/ab", "OutOfRangeInput"),
        ("/" + "a" * 64, "OutOfRangeInput"),
        ("/data//x", "InvalidResourceName"),
        ("/data/a%3Ab", "InvalidResourceName"),
        ("/data/..", "InvalidResourceName"),
        ("/data/lpt9", "InvalidResourceName"),
        ("/data/%ff", "InvalidUri"),
        ("/data/" + "/".join("a" * 251), "InvalidFileOrDirectoryPathName"),
    ],
)
def test_refused_paths(raw: str, expected: str) -> None:
    """What is no name to the service is none to the double."""
    assert code(lambda: split_path(raw)) == expected


def test_range_headers() -> None:
    """Ranges to be read are cut at the end of the file; malformed ones are refused."""
    assert within("bytes=3-", 10) == ByteRange(3, 10)
    assert within("bytes=3-99", 10) == ByteRange(3, 10)
    assert within("bytes=3-3", 10) == ByteRange(3, 4)
    assert code(lambda: within("bytes=10-", 10)) == "InvalidRange"
    for malformed in ("bytes=-5", "bytes=5-3", "3-5", "bytes=0-1,3-4"):
        assert code(functools.partial(within, malformed, 10)) == "InvalidHeaderValue"


def test_range_set_agrees_with_a_bitmap() -> None:
    """After any writes, clears and cuts, the ranges are those that a map of grains has."""
    choose = random.Random(5)
    for _ in range(200):
        spans, grains = RangeSet(), [False] * 20
        for _ in range(10):
            low, high = sorted(choose.sample(range(20 * GRAIN), 2))
            if choose.random() < 0.6:
                spans.add(ByteRange(low, high))
                grains[low // GRAIN : -(-high // GRAIN)] = [True] * (
                    -(-high // GRAIN) - low // GRAIN
                )
            else:
                spans.remove(ByteRange(low, high))
                for grain in range(-(-low // GRAIN), high // GRAIN):
                    grains[grain] = False
        found = [False] * 20
        for span in spans.inside(ByteRange(0, 20 * GRAIN)):
            for grain in range(span.start // GRAIN, span.end // GRAIN):
                assert not found[grain]
                found[grain] = True
        assert found == grains


def lease(kind: str = "File", *, seconds: int = -1) -> Lease:
    """A lease that ONE holds since NOW."""
    made = Lease(kind)
    made.acquire(proposed=ONE, seconds=seconds, now=NOW)
    return made


def test_file_lease_rules() -> None:
    """A file's lease is for ever, taken anew by its holder only, and cannot be renewed."""
    held = lease()
    assert held.state(NOW + timedelta(days=9999)) is State.LEASED
    assert held.acquire(proposed=ONE, seconds=-1, now=NOW) == ONE
    assert code(lambda: held.acquire(proposed=TWO, seconds=-1, now=NOW)) == "LeaseAlreadyPresent"
    assert code(lambda: held.renew(given=ONE, now=NOW)) == "InvalidHeaderValue"
    assert code(lambda: held.release(given=TWO)) == "LeaseIdMismatchWithLeaseOperation"
    assert code(lambda: held.check_write(TWO, NOW)) == "LeaseIdMismatchWithFileOperation"
    free = Lease("File")
    assert code(lambda: free.acquire(proposed=None, seconds=30, now=NOW)) == "InvalidHeaderValue"
    assert code(lambda: free.acquire(proposed="x", seconds=-1, now=NOW)) == "InvalidHeaderValue"
    assert code(lambda: free.check_write(ONE, NOW)) == "LeaseNotPresentWithFileOperation"
    assert code(lambda: free.end(after=None, now=NOW)) == "LeaseNotPresentWithLeaseOperation"
    assert held.change(given=ONE, proposed=TWO, now=NOW) == TWO
    assert held.change(given=ONE, proposed=TWO, now=NOW) == TWO
    assert held.end(after=None, now=NOW) == 0
    assert held.state(NOW) is State.BROKEN
    held.check_write(None, NOW)
    assert code(lambda: held.check_write(TWO, NOW)) == "LeaseLost"


def test_share_lease_rules() -> None:
    """A share's lease runs out, can be renewed unless taken since, and breaks over a period."""
    held = lease("Share", seconds=15)
    later = NOW + timedelta(seconds=15)
    assert held.state(later) is State.EXPIRED
    assert held.renew(given=ONE, now=later) == ONE
    assert held.headers(later)["x-ms-lease-duration"] == "fixed"
    assert held.end(after=60, now=later) == 15
    assert held.state(later) is State.BREAKING
    take = functools.partial(held.acquire, seconds=15, now=later)
    assert code(lambda: take(proposed=ONE)) == "LeaseIsBreakingAndCannotBeAcquired"
    assert code(lambda: take(proposed=TWO)) == "LeaseAlreadyPresent"
    assert held.state(later + timedelta(seconds=15)) is State.BROKEN
    assert held.acquire(proposed=TWO, seconds=60, now=later + timedelta(seconds=15)) == TWO


def test_attributes() -> None:
    """Attributes are known names in any case, written back in the service's order and form."""
    assert parse_attributes("", directory=False) == "Archive"
    assert parse_attributes("archive|TEMPORARY", directory=False) == "Archive | Temporary"
    assert parse_attributes("Hidden", directory=True) == "Hidden | Directory"
    assert code(lambda: parse_attributes("Green", directory=False)) == "InvalidHeaderValue"


def test_etags_never_repeat() -> None:
    """Two changes within one tick of the clock still have two ETags, each 17 characters and up."""
    clock = Clock()
    etags = [clock.etag() for _ in range(1000)]
    assert len(set(etags)) == len(etags)
    assert all(etag.startswith('"0x8D') for etag in etags)


def test_names_fold_as_ntfs() -> None:
    """Names are the same if their upper case is, character by character."""
    assert fold("\u00e4\u00df\u0131.Bin") == "\u00c4\u00dfI.BIN"


@pytest.mark.parametrize("marker", ["x", "1!4!????", "1!8"])
def test_bad_markers(marker: str) -> None:
    """A marker that the double did not make is refused."""
    assert code(lambda: parse_page({"marker": marker})) == "InvalidQueryParameterValue"


def test_bad_pages() -> None:
    """A page of less than one entry, and an unknown include, are refused."""
    assert code(lambda: parse_page({"maxresults": "0"})) == "OutOfRangeQueryParameterValue"
    assert code(lambda: parse_page({"include": "sizes"})) == "InvalidQueryParameterValue"
