"""The bytes that `verify` reads, and the release that it takes if none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.errors import ConfigError, ReleaseMissingError, VerificationError
from agent.operate.verify import verify, warm
from tests.support.keys import make_key
from tests.support.shares import SNAPSHOT, flip, snapshot
from tests.support.stores import activate, bare_release

if TYPE_CHECKING:
    from tests.support.desks import Desk


def test_a_release_on_the_share(desk: Desk) -> None:
    """By default it is the marker's; nothing on the share changes."""
    first, second = desk.add("v1"), desk.add("v2")
    desk.share.mark("v1")
    before = snapshot(desk.share.root)
    assert verify(desk.context(), None, on="share") == first
    assert verify(desk.context(), "v2", on="share") == second
    assert snapshot(desk.share.root) == before


def test_a_flipped_bit_on_the_share(desk: Desk) -> None:
    """The file is named."""
    desk.add("v1")
    flip(desk.share.release("v1") / SNAPSHOT / "model.onnx")
    with pytest.raises(VerificationError, match=r"model\.onnx"):
        verify(desk.context(), "v1", on="share")


def test_files_are_held_to_their_whole_digest(desk: Desk) -> None:
    """The whole-file SHA-256, which is what the Hub and people know, is compared as well."""
    desk.add("v1")
    made = desk.share.sign("v1", lambda raw: raw["files"][1].update(sha256="0" * 64))
    with pytest.raises(VerificationError, match=made.files[1].path):
        verify(desk.context(), "v1", on="share")


def test_a_release_in_the_store(desk: Desk) -> None:
    """By default it is the active one; without one there is nothing to verify."""
    context = desk.context()
    context.store.prepare()
    first, second = bare_release(desk.store, "v1"), bare_release(desk.store, "v2")
    with pytest.raises(ConfigError, match="Nothing is active"):
        verify(context, None, on="store")
    with pytest.raises(ConfigError, match="Nothing is active"):
        warm(context, None)
    activate(desk.store, "v1")
    assert verify(context, None, on="store") == first
    assert verify(context, "v2", on="store") == second
    flip(desk.store / "releases/v1/fastembed/model")
    with pytest.raises(VerificationError, match="fastembed/model"):
        verify(context, None, on="store")


def test_a_release_that_the_store_lacks(desk: Desk) -> None:
    """It is missing, not corrupt; a name that no release can have never becomes a path."""
    context = desk.context()
    context.store.prepare()
    with pytest.raises(ReleaseMissingError, match="v9"):
        verify(context, "v9", on="store")
    for on in ("share", "store"):
        with pytest.raises(ConfigError, match=r"\.\./v1"):
            verify(context, "../v1", on=on)
    with pytest.raises(ConfigError, match=r"\.\./v1"):
        warm(context, "../v1")


def test_a_signature_that_is_missing(desk: Desk) -> None:
    """Where one is required the release is refused, on the share as in the store."""
    key = make_key(desk.root)
    context = desk.run_with(verify_key=key.public, require_signature="true")
    context.store.prepare()
    desk.add("v1")
    bare_release(desk.store, "v1")
    with pytest.raises(VerificationError, match=r"on the share .* is refused: it is not signed"):
        verify(context, "v1", on="share")
    with pytest.raises(VerificationError, match="in the store is refused: it is not signed"):
        verify(context, "v1", on="store")
    key.sign(desk.share, "v1")
    assert verify(context, "v1", on="share").version == "v1"
