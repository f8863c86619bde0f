"""The signatures of releases on their way to a share, and on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.errors import VerificationError
from agent.publish.sign import Signing
from agent.release import manifest
from agent.signing import keys as signing
from tests.support.keys import Key, make_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.desks import Desk


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Key]:
    """Our key, and somebody else's."""
    directory = tmp_path_factory.mktemp("keys")
    return make_key(directory), make_key(directory, "other")


def signed_by(desk: Desk, version: str, key: Key) -> bool:
    """Whether a release of the share has a right signature by this key."""
    path = desk.share.release(version) / manifest.SIGNATURE
    checker = signing.verifier(key.public)
    problem = checker.problem(desk.share.manifest(version), path.read_bytes())
    return path.exists() and problem is None


def signing_of(desk: Desk, **flags: Path | str) -> Signing:
    """Return the signing of a run with these settings."""
    return Signing.of(desk.run_with(**flags))


def test_a_new_release_is_signed(desk: Desk, keys: tuple[Key, Key]) -> None:
    """Its signature stands beside its manifest, and is right by the public key."""
    release, home = desk.add("v1"), desk.share.release("v1")
    signing_of(desk, sign_key=keys[0].private).put(release, home)
    assert signed_by(desk, "v1", keys[0])


def test_a_signature_that_came_along_is_kept(desk: Desk, keys: tuple[Key, Key]) -> None:
    """Without a key of one's own a bundle keeps its signature, to the byte."""
    release, home = desk.add("v1"), desk.share.release("v1")
    came = keys[1].sign(desk.share, "v1")
    signing_of(desk).put(release, home)
    assert (home / manifest.SIGNATURE).read_bytes() == came


def test_a_wrong_signature_is_not_covered_up(desk: Desk, keys: tuple[Key, Key]) -> None:
    """With a key to verify by, what came with a wrong signature is refused before it is signed."""
    ours, theirs = keys
    release, home = desk.add("v1"), desk.share.release("v1")
    for came in (b"", theirs.sign(desk.share, "v1")):
        (home / manifest.SIGNATURE).write_bytes(came)
        with pytest.raises(VerificationError, match="v1 as it came is refused: its signature"):
            signing_of(desk, sign_key=ours.private, verify_key=ours.public).put(release, home)
        assert (home / manifest.SIGNATURE).read_bytes() == came
    # Nobody can tell which it is without one.
    signing_of(desk, sign_key=ours.private).put(release, home)
    assert signed_by(desk, "v1", ours)


def test_nothing_goes_out_that_pods_would_refuse(desk: Desk, keys: tuple[Key, Key]) -> None:
    """A release signed with another key, or unsigned where that is required, is refused."""
    ours, theirs = keys
    release, home = desk.add("v1"), desk.share.release("v1")
    required: dict[str, Path | str] = {"verify_key": ours.public, "require_signature": "true"}
    with pytest.raises(VerificationError, match="on its way to the share is refused: it is not si"):
        signing_of(desk, **required).put(release, home)
    with pytest.raises(VerificationError, match="on its way to the share is refused: its signatur"):
        signing_of(desk, sign_key=theirs.private, verify_key=ours.public).put(release, home)


def test_a_signature_is_due_until_it_is_ours(desk: Desk, keys: tuple[Key, Key]) -> None:
    """Without a key none is due; with one, unless the share has its right signature."""
    ours, theirs = keys
    release, context = desk.add("v1"), desk.context()
    mine = signing_of(desk, sign_key=ours.private)
    assert not signing_of(desk).is_due(context.reader, release)
    assert mine.is_due(context.reader, release)
    theirs.sign(desk.share, "v1")
    assert mine.is_due(context.reader, release)
    mine.add(context.share, release)
    assert signed_by(desk, "v1", ours)
    assert not mine.is_due(context.reader, release)
    other = desk.add("v2")
    (desk.share.release("v2") / manifest.SIGNATURE).write_bytes(ours.sign(desk.share, "v1"))
    assert mine.is_due(context.reader, other)
