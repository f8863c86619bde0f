"""Killed publishers leave things on a share; the next publisher uses or deletes them."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
from structlog.testing import capture_logs

from agent.shares import lock as locking
from agent.shares.lock import LockLostError
from agent.shares.lock_holder import Holder
from tests.support.loopback import ROOT
from tests.support.shares import snapshot
from tests.unit.shares.conformance import publisher
from tests.unit.shares.conformance.clients import connect
from tests.unit.shares.conformance.locks import held
from tests.unit.shares.conformance.releases import (
    FILES,
    MANIFEST,
    OTHER,
    make,
    publication,
    published,
    watched,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.shares.conformance.places import Place

LEFT: Final = ".staging/v1-0123abcd"
STRANGERS: Final = (
    ".staging/v2-0123abcd",
    ".staging/v10-0123abcd",
    ".staging/v1-0123abcd-4567cdef",
    ".staging/notes",
    ".staging/v1",
    ".staging/v1-old",
)


def half(release: Path) -> None:
    """Leave out a file."""
    (release / "fastembed/config.json").unlink()


def zeros(release: Path) -> None:
    """Leave a file of the right size that was not written to."""
    (release / "fastembed/model").write_bytes(bytes(len(FILES["fastembed/model"])))


def no_manifest(release: Path) -> None:
    """Leave out the manifest."""
    (release / MANIFEST).unlink()


def torn_manifest(release: Path) -> None:
    """Leave half a manifest."""
    data = (release / MANIFEST).read_bytes()
    (release / MANIFEST).write_bytes(data[: len(data) // 2])


def too_much(release: Path) -> None:
    """Leave a signature that was made for another one."""
    (release / "model.sig").write_bytes(b"{}")


@pytest.mark.parametrize(
    ("killed", "name", "files"),
    [
        (half, LEFT, FILES),
        (half, LEFT, OTHER),
        (half, f"{LEFT}.trash", FILES),
        (zeros, LEFT, FILES),
        (no_manifest, LEFT, FILES),
        (torn_manifest, LEFT, FILES),
        (too_much, LEFT, FILES),
    ],
)
def test_what_was_left_of_the_version(
    killed: Callable[[Path], None],
    name: str,
    files: dict[str, bytes],
    place: Place,
    tmp_path: Path,
) -> None:
    """Leavings of the same version are used or deleted, whatever state they are in."""
    source = tmp_path / "left"
    source.mkdir()
    make(FILES, "v1", source)
    killed(source)
    for path in source.rglob("*"):
        if path.is_file():
            place.put(f"{name}/{path.relative_to(source)}", path.read_bytes())
    with watched(connect(*place.reference)) as seen:
        place.share.publish(publication(files))
    assert seen.problems == []
    assert published(place.share) == files
    assert place.share.names("") == ("releases",)


def test_what_is_not_of_the_version(place: Place) -> None:
    """Directories in `.staging` of other versions, or of other people, stay."""
    for directory in STRANGERS:
        place.put(f"{directory}/file", b"data")
    place.put(f"{LEFT}/file", b"data")
    place.share.publish(publication())
    assert place.share.names(".staging") == tuple(sorted(d.split("/")[1] for d in STRANGERS))
    assert len(place.share.tree((".staging",)).nodes) == 1 + 2 * len(STRANGERS)


def test_a_publisher_that_was_killed(place: Place, quick: None) -> None:
    """After SIGKILL nothing is visible; the next publisher has the lock at once, and does it all.

    Another process is killed, at its last step.
    """
    command = [sys.executable, "-m", publisher.__name__, *place.reference]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    with child:
        assert child.stdout
        assert child.stdout.readline() == "staged\n"
        assert place.share.names("releases") == ()
        assert len(place.share.names(".staging")) == 1
        child.kill()
    with held(place.share) as lock:
        place.share.publish(publication(check=lock.check))
    assert published(place.share) == FILES
    assert place.share.names("") == ("releases",)


def test_a_publisher_that_was_silent(
    place: Place, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that said nothing for too long is replaced; when it wakes it is refused, and told why."""
    monkeypatch.setattr(locking, "BEAT_SECONDS", 3600.0)
    monkeypatch.setattr(Holder, "is_gone", lambda _: False)
    after: list[dict[str, str]] = []
    silent, other = place.share, connect(*place.reference)

    def sleep(check: Callable[[], None]) -> None:
        with capture_logs() as told, held(other) as lock:
            other.publish(publication(OTHER, check=lock.check))
        assert "lock.broken" in {each["event"] for each in told}
        after.append(snapshot(place.root))
        check()

    with held(silent) as lock, pytest.raises(LockLostError, match="silent for too long"):
        silent.publish(publication(check=partial(sleep, lock.check)))
    assert [snapshot(place.root)] == after
    assert published(place.share) == OTHER
    assert place.share.names("") == ("releases",)
