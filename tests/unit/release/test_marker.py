"""The marker: what its bytes say, what promote and rollback make of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import ReleaseMissingError
from agent.release import marker
from agent.release.marker import Marker, UnknownMarkerError
from agent.release.version import is_version
from tests.support import strategies

AT = "2026-11-23T15:00:00Z"
RECORD = marker.render(
    Marker("2026-11-23", previous=("v2", "v1"), allow_new_space=True), by="ops@host", at=AT
)
SHORT = st.sampled_from(["v1", "v2", "v3", "v4", "v5", "v6"])


def markers() -> st.SearchStrategy[Marker]:
    """Markers that `promote` may write: a chain of three at most, each version once."""
    chain = st.lists(strategies.versions(), max_size=marker.CHAIN_LENGTH, unique=True)
    return st.builds(Marker, strategies.versions(), previous=chain.map(tuple))


def said(data: bytes) -> Marker:
    """What the bytes say, without their own digest."""
    return replace(marker.parse(data), sha256="")


def check_unknown_or_sound(data: bytes) -> Marker | None:
    """What the bytes say; None if they are unknown, which is the only error."""
    reason = ""
    try:
        found = marker.parse(data)
    except UnknownMarkerError as error:
        found, reason = None, str(error)
    assert len(reason) < 1000
    assert "\n" not in reason
    assert found is None or all(map(is_version, found.chain))
    return found


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"v2", Marker("v2"), id="no-newline"),
        pytest.param(b"v2\n", Marker("v2"), id="echo"),
        pytest.param(b"  v2 \t\n", Marker("v2"), id="blanks-around"),
        pytest.param(b"v2\n\n\n\n", Marker("v2"), id="blank-lines"),
        pytest.param(b"\xef\xbb\xbfv2\r\n", Marker("v2"), id="windows-notepad"),
        pytest.param("v2\r\n".encode("utf-16"), Marker("v2"), id="powershell"),
        pytest.param(
            b"\xfe\xff" + "v2\n".encode("utf-16-be"), Marker("v2"), id="utf-16, big end first"
        ),
        pytest.param(
            b"v2\r# previous: v1\r", Marker("v2", previous=("v1",)), id="carriage returns alone"
        ),
        pytest.param(b"\r\n \n\tv2 \n", Marker("v2"), id="blank lines before it"),
        pytest.param(b"v2\r\n# previous: v1\r\n", Marker("v2", ("v1",)), id="crlf"),
        pytest.param(b"v2\n# previous: v1 v0\n", Marker("v2", ("v1", "v0")), id="chain"),
        pytest.param(b"v2\n#previous:v1", Marker("v2", ("v1",)), id="no-blanks"),
        pytest.param(b"v2\n\n  #  previous:  v1  v1 \n", Marker("v2", ("v1",)), id="wide-blanks"),
        pytest.param(b"v2\n# previous: ../x v1 -y\n", Marker("v2", ("v1",)), id="bad-ones"),
        pytest.param(b"v2\n# previous:\n", Marker("v2"), id="empty-chain"),
        pytest.param(b"v2\n# previous: a\n# previous: b", Marker("v2", ("a",)), id="first-chain"),
        pytest.param(b"v2\nprevious: v1\n", Marker("v2"), id="chain-outside-a-comment"),
        pytest.param(b"v2\n# the previous: v1\n", Marker("v2"), id="chain-in-prose"),
        pytest.param(b"v2\n# allow-new-space\n", Marker("v2", (), True), id="allowed"),
        pytest.param(b"v2\nallow-new-space\n", Marker("v2"), id="allowed-outside-a-comment"),
        pytest.param(b"v2\n# never allow-new-space\n", Marker("v2"), id="allowed-in-prose"),
        pytest.param(b"v2\n# allow-new-spaces\n", Marker("v2"), id="allowed-misspelt"),
        pytest.param(b"v2\nv3\n", Marker("v2"), id="only-the-first-line-names-it"),
        pytest.param(b"v2\n# " + "東京".encode(), Marker("v2"), id="comment-in-any-language"),
        pytest.param(b"v2".ljust(4096, b"\n"), Marker("v2"), id="4096-bytes"),
    ],
)
def test_a_marker_written_by_hand_says_what_it_means(data: bytes, expected: Marker) -> None:
    """Any editor's file with a version on its first line is a good marker."""
    assert said(data) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"\n\n", "it is empty", id="blank"),
        pytest.param(b"\xef\xbb\xbf", "it is empty", id="byte-order-mark-only"),
        pytest.param(bytes(512), "NUL", id="nul-filled"),
        pytest.param(b"v2\n" + bytes(509), "NUL", id="nul-padded"),
        pytest.param(b"v2".ljust(4097, b"\n"), "over 4096 bytes", id="4097-bytes"),
        pytest.param(b"v" * 2**20, "over 4096 bytes", id="1-mb"),
        pytest.param(b"v\x002\x00\n\x00", "NUL bytes", id="utf-16 without a byte order mark"),
        pytest.param(
            b"\xff\xfev\x002", "not UTF-16 text: it begins with ff fe 76 00 32", id="half of utf-16"
        ),
        pytest.param(b"\xff\xfe\x00\x00v\x00\x00\x00", "NUL bytes", id="utf-32"),
        pytest.param(b"\xff\xfe", "it is empty", id="utf-16, empty"),
        pytest.param(b"XSym\n0004\n".ljust(1067), "it is a link", id="link-as-a-file"),
        pytest.param(b"\x7fELF\x02\x01", "not a version", id="binary-but-utf-8"),
        pytest.param(b"\x89PNG\r\n", "not UTF-8", id="binary"),
        pytest.param(b"# v2\n", "not a version", id="comment-first"),
        pytest.param(b"v2 # now\n", "not a version", id="comment-beside"),
        pytest.param(b"../v2\n", "not a version", id="traversal"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbfv2", "not a version", id="two-byte-order-marks"),
        pytest.param(b"x" * 64, "not a version", id="long-version"),
    ],
)
def test_what_names_no_version_is_unknown(data: bytes, reason: str) -> None:
    """Empty, torn, binary or overlong bytes are unknown, with the reason in one line."""
    with pytest.raises(UnknownMarkerError, match=reason) as caught:
        marker.parse(data)
    assert "\n" not in str(caught.value)


def test_the_digest_is_of_the_bytes() -> None:
    """Any change of the file, of a comment too, counts as new bytes."""
    data = b"v2\n# comment\n"
    assert marker.parse(data).sha256 == hashlib.sha256(data).hexdigest()


@given(st.binary(max_size=5000))
@example(b"v1\x85v2")
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    """Whatever lies there is a sound version or unknown."""
    check_unknown_or_sound(data)


def test_a_torn_record_is_unknown_or_names_a_version() -> None:
    """A record of which only the first, or only the last bytes arrived never crashes a reader."""
    for cut in range(marker.RECORD_BYTES):
        check_unknown_or_sound(RECORD[:cut])
        check_unknown_or_sound(RECORD[cut:])


def test_a_record_cut_after_its_first_line_names_the_release() -> None:
    """What matters most comes first: the padding and the comments may be lost without harm."""
    first = RECORD.index(b"\n")
    assert {marker.parse(RECORD[:cut]).version for cut in range(first, 513)} == {"2026-11-23"}


@given(st.integers(0, marker.RECORD_BYTES - 1), st.integers(1, marker.RECORD_BYTES))
def test_a_record_with_a_hole_is_unknown(start: int, length: int) -> None:
    """Bytes that were not written yet are NUL, and one of them is enough."""
    end = min(start + length, marker.RECORD_BYTES)
    assert check_unknown_or_sound(RECORD[:start] + bytes(end - start) + RECORD[end:]) is None


@given(markers(), markers(), st.integers(0, marker.RECORD_BYTES))
def test_a_record_half_over_another_is_unknown_or_sound(old: Marker, new: Marker, cut: int) -> None:
    """The first bytes of a new record before the last ones of the old never crash a reader."""
    first, second = (marker.render(each, by="x", at=AT) for each in (new, old))
    check_unknown_or_sound(first[:cut] + second[cut:])


@given(markers(), st.booleans(), st.text() | st.text("\ud800\n# allow-new-space"))
@example(Marker("v" * 63, ("a" * 63, "b" * 63, "c" * 63)), True, "é" * 300)
@example(Marker("v2"), False, "\n# allow-new-space\n# previous: v9")
def test_a_record_says_what_it_was_made_of(made: Marker, allowed: bool, by: str) -> None:
    """Rendered and read again, a marker is the same, whoever promoted it under whatever name."""
    made = replace(made, allow_new_space=allowed)
    record = marker.render(made, by=by, at=AT)
    assert len(record) == marker.RECORD_BYTES == 512
    assert record.endswith(b"\n")
    assert said(record) == made


def test_a_record_tells_people_who_and_when() -> None:
    """An operator reads in the marker who promoted what, and when."""
    lines = RECORD.decode().rstrip("\n").split("\n")
    assert lines == [
        "2026-11-23",
        "# previous: v2 v1",
        "# allow-new-space",
        f"# promoted: {AT} by ops@host",
    ]


def test_a_plain_record_has_no_further_lines() -> None:
    """What is not so is not said."""
    record = marker.render(Marker("v1"), by="a\x00b\nc", at=AT)
    assert record.rstrip(b"\n").decode() == f"v1\n# promoted: {AT} by a?b?c"


@given(st.lists(SHORT, min_size=1, max_size=12))
def test_the_chain_is_what_was_promoted_before_newest_first(promoted: list[str]) -> None:
    """Promote keeps the last three others, each once."""
    current: Marker | None = None
    for version in promoted:
        current = marker.promoted(current, version)
    newest_first = list(dict.fromkeys(reversed(promoted)))
    assert current == Marker(newest_first[0], previous=tuple(newest_first[1:4]))


@given(markers(), SHORT, st.booleans())
def test_promoting_never_inherits_a_permission(old: Marker, version: str, allowed: bool) -> None:
    """Another embedding space is allowed for one promotion, by whoever promotes."""
    old = replace(old, allow_new_space=not allowed)
    assert marker.promoted(old, version, allow_new_space=allowed).allow_new_space is allowed


@given(st.none() | markers().filter(lambda old: old.version != "v9"))
def test_a_rollback_undoes_a_promotion(old: Marker | None) -> None:
    """What was served before is served again, and what was promoted is in no chain."""
    bad = marker.promoted(old, "v9")
    if old is None:
        with pytest.raises(ReleaseMissingError, match="v9 and has no previous release") as caught:
            marker.rolled_back(bad)
        assert caught.value.exit_code == 4
        assert "promote VERSION" in caught.value.remedy
        return
    back = marker.rolled_back(bad)
    assert back.version == old.version
    assert "v9" not in back.chain
    assert back.previous == tuple(v for v in bad.previous if v != old.version)


@given(markers())
def test_rollbacks_walk_down_the_chain_and_end(start: Marker) -> None:
    """Each rollback takes the head of the chain out of it, until there is nothing to go back to."""
    visited = [start.version]
    current = start
    while any(v != current.version for v in current.previous):
        current = marker.rolled_back(current)
        assert current.allow_new_space
        visited.append(current.version)
    assert tuple(visited) == start.chain
    with pytest.raises(ReleaseMissingError):
        marker.rolled_back(current)


@given(markers(), st.data())
def test_a_rollback_goes_where_it_is_told(old: Marker, data: st.DataObject) -> None:
    """A named version is taken out of the chain; the order of the others stays.

    Only a release of the chain was served before, so only its embedding space is known to be fine.
    """
    version = data.draw(st.sampled_from(("v9", *old.chain)))
    back = marker.rolled_back(old, version)
    assert back.version == version
    assert back.previous == tuple(v for v in old.previous if v not in {version, old.version})
    assert back.allow_new_space is (version in old.previous)


def test_a_marker_never_falls_back_to_itself() -> None:
    """A chain that a hand wrote with the version in it names each release once."""
    written = marker.parse(b"v2\n# previous: v2 v1\n")
    assert written.chain == ("v2", "v1")
    assert marker.rolled_back(written) == Marker("v1", allow_new_space=True)
