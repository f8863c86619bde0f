"""The double answers as the real service did: every recorded session, request by request."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from tests.support.azure_double import Double, running_double
from tests.support.recordings import (
    RECORDINGS,
    Asked,
    Minted,
    differences,
    load,
    prerequisites,
    send,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SESSIONS: Final = sorted(RECORDINGS.glob("*.yaml"))
EXPECTED: Final = 37
# Sessions that the double cannot hold to, each with the reason.
CANNOT_HOLD: Final[dict[str, str]] = {}


@pytest.fixture(scope="module")
def open_double() -> Iterator[Double]:
    """A double that lets everyone in: recorded signatures are not valid."""
    with running_double("--no-auth") as double:
        yield double


def test_all_sessions_are_here() -> None:
    """Every recorded session is replayed: none is missed by a changed name or folder."""
    if not RECORDINGS.is_dir():
        pytest.skip(f"no recordings of the real service at {RECORDINGS}")
    assert len(SESSIONS) == EXPECTED
    assert CANNOT_HOLD.keys() <= {path.stem for path in SESSIONS}


@pytest.mark.skipif(not SESSIONS, reason=f"no recordings of the real service at {RECORDINGS}")
@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.stem)
def test_replay(path: Path, open_double: Double) -> None:
    """Status, error code, headers and body of every answer are those that the service gave."""
    if path.stem in CANNOT_HOLD:
        pytest.xfail(CANNOT_HOLD[path.stem])
    session, minted = load(path), Minted()
    with closing(http.client.HTTPConnection(urlsplit(open_double.url).netloc)) as connection:
        for target in prerequisites(session):
            made = send(connection, Asked("PUT", target, {}, b""), minted)
            assert made.status == http.client.CREATED, made
        for number, (asked, recorded) in enumerate(session, 1):
            replayed = send(connection, asked, minted)
            found = differences(recorded, replayed)
            assert not found, f"request {number}, {asked.method} {asked.target}: {found}"
            minted.learn(recorded, replayed)
