"""Releases that are published: whole, visible in one step, or not at all."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import pytest

from agent.errors import AgentError, RefusedError, StoppedError, VerificationError
from agent.machine import threads
from agent.shares.lock import LockLostError
from tests.support.shares import snapshot
from tests.unit.shares.conformance.clients import connect
from tests.unit.shares.conformance.releases import (
    FILES,
    OTHER,
    make,
    publication,
    published,
    watched,
)

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.manifest import Manifest
    from agent.shares.base import Share
    from tests.unit.shares.conformance.places import Place

MIB = 1024 * 1024


def another(place: Place) -> Share:
    """Return the share as another process has it."""
    return connect(*place.reference)


def test_a_release_is_there_whole(place: Place) -> None:
    """A release is on the share as it was made, to the byte, and nothing else is."""
    files = {
        "fastembed/model.onnx": bytes(range(256)) * (5 * MIB // 256) + b"end",
        "fastembed/empty": b"",
        "sentence_transformers/a/b/c/d/config.json": b"{}",
    }
    place.share.publish(publication(files))
    assert published(another(place)) == files
    assert place.share.names("") == ("releases",)
    assert place.share.names("releases") == ("v1",)


def test_readers_see_all_of_it_or_nothing(place: Place) -> None:
    """A release is visible from one moment on, with every file; before, nothing of it is."""
    files = {f"fastembed/{number}/file": bytes(number) for number in range(6)}
    before: list[tuple[str, ...]] = []

    def note() -> None:
        before.append(place.share.names("releases"))

    def making(directory: Path) -> Manifest:
        note()
        return make(files, "v1", directory)

    with watched(another(place)) as seen:
        place.share.publish(publication(making=making, check=note))
    assert before == [(), ()]
    assert seen.versions == {"v1"}
    assert seen.problems == []


def fail(error: Exception) -> NoReturn:
    """Raise it."""
    raise error


def test_a_release_that_cannot_be_made(place: Place) -> None:
    """If making fails half way, that is told, and the share is as it was."""
    place.put("fastembed/model", b"made by hand")
    before = snapshot(place.root)

    def making(directory: Path) -> Manifest:
        (directory / "half").write_bytes(b"data")
        raise VerificationError("It is damaged.", remedy="Mend it.")

    with pytest.raises(VerificationError, match="It is damaged"):
        place.share.publish(publication(making=making))
    assert snapshot(place.root) == before


def test_a_lock_that_is_lost(place: Place) -> None:
    """If the last check fails, that is told, and readers see nothing; the next one does it."""
    lost = LockLostError("Another has it.", remedy="Publish again.")
    with pytest.raises(LockLostError, match="Another has it"):
        place.share.publish(publication(check=partial(fail, lost)))
    assert place.share.names("releases") == ()
    place.share.publish(publication())
    assert published(place.share) == FILES
    assert place.share.names("") == ("releases",)


def test_a_publisher_that_is_stopped(place: Place) -> None:
    """One that is stopped either ends before readers see anything, or has done all of it."""
    stop = threading.Event()

    def making(directory: Path) -> Manifest:
        stop.set()
        return make(FILES, "v1", directory)

    try:
        place.share.publish(publication(making=making, stop=stop))
    except StoppedError:
        assert place.share.names("releases") == ()
    else:
        assert published(place.share) == FILES


def test_a_release_that_came_meanwhile(place: Place) -> None:
    """Other content that came under the same version stays to the byte, and ours is refused."""

    def come() -> None:
        place.put("releases/v1/manifest.json", b"{}")
        place.put("releases/v1/file", b"theirs")

    with pytest.raises(RefusedError, match="releases/v1 appeared on the share in the meantime"):
        place.share.publish(publication(check=come))
    assert place.share.tree(("releases",)).under("releases/v1").keys() == {"manifest.json", "file"}
    assert (place.root / "releases/v1/file").read_bytes() == b"theirs"
    assert place.share.names("") == ("releases",)


def test_a_publisher_that_was_only_asleep(place: Place) -> None:
    """A publisher that another replaced, with other content, is refused and changes nothing."""
    after: list[dict[str, str]] = []

    def sleep() -> None:
        another(place).publish(publication(OTHER))
        after.append(snapshot(place.root))

    with pytest.raises(RefusedError):
        place.share.publish(publication(check=sleep))
    assert [snapshot(place.root)] == after
    assert published(place.share) == OTHER


def test_the_same_release_came_meanwhile(place: Place) -> None:
    """If another published the very same release meanwhile, it is published: that is no error."""

    def sleep() -> None:
        another(place).publish(publication())

    place.share.publish(publication(check=sleep))
    assert published(place.share) == FILES
    assert place.share.names("") == ("releases",)


def test_two_publishers_without_a_lock(place: Place) -> None:
    """Even of two that both think they have the lock one is refused, and the other's is whole."""
    together = threading.Barrier(2)

    def publish(files: dict[str, bytes]) -> dict[str, bytes]:
        def making(directory: Path) -> Manifest:
            together.wait(30)
            return make(files, "v1", directory)

        another(place).publish(publication(making=making))
        return files

    publishing = [threads.start(publish, files) for files in (FILES, OTHER)]
    errors = [each.exception(30) for each in publishing]
    assert [isinstance(error, AgentError) for error in errors if error] == [True], errors
    done = [each.result() for each in publishing if not each.exception()]
    assert done == [published(place.share)]


def test_several_publishers(place: Place) -> None:
    """Publishers of several versions, some of which fail, do not stand in each other's way."""
    lost = LockLostError("Another has it.", remedy="Publish again.")

    def publish(number: int) -> None:
        share = another(place)
        for turn in range(2):
            share.publish(publication(version=f"v{number}.{turn}"))
            with pytest.raises(LockLostError):
                share.publish(publication(version=f"w{number}", check=partial(fail, lost)))
        share.publish(publication(version=f"w{number}"))

    publishing = [threads.start(publish, number) for number in range(3)]
    for each in publishing:
        each.result(60)
    versions = [f"v{number}.{turn}" for number in range(3) for turn in range(2)]
    assert place.share.names("releases") == (*versions, "w0", "w1", "w2")
    assert [v for v in place.share.names("releases") if published(place.share, v) != FILES] == []
    assert place.share.names("") == ("releases",)
