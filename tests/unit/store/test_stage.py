"""Staging: no byte gets into a store that its manifest does not have, and none is fetched twice."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from agent.errors import (
    AgentError,
    NoSpaceError,
    ReleaseMissingError,
    ShortFileError,
    StoppedError,
    VerificationError,
)
from agent.release import layout, manifest
from agent.store import intact, leftovers, records, room, stage
from tests.support.parts import WEIGHTS, Parts
from tests.support.shares import FOLDER, SNAPSHOT, flip, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.store.stage import Staged

CHUNK: Final = 64 * 1024
MIB: Final = 1024 * 1024
TOKENIZER: Final = f"{SNAPSHOT}/tokenizer.json"
PATHS: Final = (WEIGHTS, TOKENIZER, f"{FOLDER}/refs/main")


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """An agent; v1 and v2 on its share have other weights, of four chunks, and one tokenizer."""
    made = Parts(tmp_path)
    for version in ("v1", "v2"):
        weights = os.urandom(3 * CHUNK + 1)
        made.publish(version, model__onnx=weights, tokenizer__json=b"same" * 10_000)
    return made


def staged(parts: Parts, version: str, **more: Any) -> Staged:
    """Stage a release of the share."""
    more.setdefault("stop", threading.Event())
    release = parts.share.manifest(version)
    return stage.stage(parts.reader.share, release, parts.store, **more)


def assert_sound(parts: Parts, version: str) -> None:
    """The store has all of the share's release, verified and on record, and nothing half done."""
    release, home = parts.store.manifest(version), parts.store.path(version)
    assert release.encoded == parts.share.manifest(version).encoded
    for file in release.files:
        assert intact.is_intact(release, home, file, threading.Event())
    assert records.is_untouched(parts.store.agent, release, home)
    assert not (parts.store.staging / version).exists()


def test_a_release_comes_into_the_store(parts: Parts) -> None:
    """Every byte, every view, the manifest and the record are there; the bytes are counted."""
    done = staged(parts, "v1", signature=b"signed")
    assert_sound(parts, "v1")
    assert done.moved == {"share": done.manifest.size}
    assert {file.path for file in done.manifest.files} == set(PATHS)
    assert (parts.store.path("v1") / manifest.SIGNATURE).read_bytes() == b"signed"
    views = layout.views(done.manifest)
    assert views
    assert all((parts.store.path("v1") / view).is_file() for view in views)


FAULTS: Final[dict[str, tuple[Callable[[Path], object], type[AgentError]]]] = {
    "first bit": (lambda path: flip(path, 0), VerificationError),
    "a bit within": (lambda path: flip(path, path.stat().st_size // 2), VerificationError),
    "last bit": (flip, VerificationError),
    "a byte short": (lambda path: os.truncate(path, path.stat().st_size - 1), ShortFileError),
    "empty": (lambda path: os.truncate(path, 0), ShortFileError),
    "missing": (lambda path: path.unlink(), ReleaseMissingError),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fault", FAULTS)
def test_bytes_that_are_wrong(fault: str, path: str, parts: Parts) -> None:
    """Whatever is wrong with a file, it is named, and nothing of the release can be seen.

    Once the share is right again, so is the store.
    """
    target = parts.share.release("v1") / path
    right = target.read_bytes()
    spoil, kind = FAULTS[fault]
    spoil(target)
    with pytest.raises(kind, match=path):
        staged(parts, "v1")
    assert list((parts.store.root / "releases").iterdir()) == []
    assert records.read(parts.store.agent, "v1") is None
    target.write_bytes(right)
    staged(parts, "v1")
    assert_sound(parts, "v1")


@pytest.mark.parametrize("chunk", range(4))
def test_a_chunk_that_is_wrong(chunk: int, parts: Parts) -> None:
    """Each chunk is held to its own digest, and the sentence says which one is wrong."""
    flip(parts.share.release("v1") / WEIGHTS, chunk * CHUNK)
    with pytest.raises(VerificationError, match=f"chunk {chunk} "):
        staged(parts, "v1")


@pytest.mark.parametrize("path", PATHS)
def test_bytes_beyond_the_end(path: str, parts: Parts) -> None:
    """Bytes that a file has beyond its size do not get into the store."""
    with (parts.share.release("v1") / path).open("ab") as file:
        file.write(b"\0")
    staged(parts, "v1")
    assert_sound(parts, "v1")


def test_a_link_out_of_the_share(parts: Parts, tmp_path: Path) -> None:
    """A file that is a link out of the share is not followed, though its bytes would be right."""
    target = parts.share.release("v1") / WEIGHTS
    target.rename(tmp_path / "outside")
    target.symlink_to(tmp_path / "outside")
    with pytest.raises(VerificationError, match="leads out of the share"):
        staged(parts, "v1")
    assert list((parts.store.root / "releases").iterdir()) == []


def test_a_file_that_the_store_has(parts: Parts) -> None:
    """It is linked: it takes no room, and is not read from the share."""
    staged(parts, "v1")
    (parts.share.release("v2") / TOKENIZER).unlink()
    done = staged(parts, "v2")
    assert done.moved["reused"] == 40_000 + 40
    first, second = (parts.store.path(version) / TOKENIZER for version in ("v1", "v2"))
    assert first.samefile(second)
    assert_sound(parts, "v2")


def test_a_file_that_changed_since(parts: Parts) -> None:
    """A file of the store that looks otherwise than when it was verified is fetched instead."""
    staged(parts, "v1")
    held = parts.store.path("v1") / TOKENIZER
    os.utime(held, ns=(1, 1))
    assert staged(parts, "v2").moved["reused"] == 40
    assert not held.samefile(parts.store.path("v2") / TOKENIZER)


def test_chunks_that_are_there_already(parts: Parts) -> None:
    """Chunks of an attempt before this one are kept if they are right, and fetched if not."""
    left = parts.store.staging / "v1" / WEIGHTS
    left.parent.mkdir(parents=True)
    shutil.copyfile(parts.share.release("v1") / WEIGHTS, left)
    flip(left, 2 * CHUNK)
    done = staged(parts, "v1")
    assert done.moved["resumed"] == 2 * CHUNK + 1
    assert_sound(parts, "v1")


def test_files_of_a_release_that_was_given_up(parts: Parts) -> None:
    """What another staging fetched is taken over, and its directory goes."""
    release, other = parts.share.manifest("v1"), parts.store.staging / "v1"
    (other / TOKENIZER).parent.mkdir(parents=True)
    leftovers.note(other, release)
    shutil.copyfile(parts.share.release("v1") / TOKENIZER, other / TOKENIZER)
    assert staged(parts, "v2").moved["resumed"] == 40_000
    assert not other.exists()


def test_files_that_are_not_the_release_s(parts: Parts) -> None:
    """Whatever else lies in its staging directory is not published with it."""
    left = parts.store.staging / "v1" / SNAPSHOT
    left.mkdir(parents=True)
    (left / "stranger.bin").write_bytes(b"x")
    (left / "model.onnx").symlink_to("/etc/hostname")
    staged(parts, "v1")
    assert not (parts.store.path("v1") / SNAPSHOT / "stranger.bin").exists()
    assert_sound(parts, "v1")


def test_a_release_of_this_name_makes_way(parts: Parts) -> None:
    """Other content under the same version is replaced as a whole."""
    staged(parts, "v1")
    before = parts.store.manifest("v1").digest
    parts.publish("v1", model__onnx=b"other")
    staged(parts, "v1")
    assert parts.store.manifest("v1").digest != before
    assert_sound(parts, "v1")


def test_a_stop(parts: Parts) -> None:
    """Told to stop, it ends without a release, and what is there counts next time."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        staged(parts, "v1", stop=stop)
    assert list((parts.store.root / "releases").iterdir()) == []
    staged(parts, "v1")
    assert_sound(parts, "v1")


def test_no_room(parts: Parts) -> None:
    """A release that does not fit is refused before a byte is written, and nothing goes for it."""
    staged(parts, "v1")
    before = snapshot(parts.store.root)
    parts.store.limit = room.used_bytes(parts.store)
    with pytest.raises(NoSpaceError, match="--store-limit"):
        staged(parts, "v2", spare=("v1",))
    assert snapshot(parts.store.root) == before


def test_room_is_made(parts: Parts) -> None:
    """Releases that may go do so, but for the files that the new one has as well."""
    parts.publish("v3", model__onnx=os.urandom(2 * MIB), tokenizer__json=b"same" * 10_000)
    parts.publish("v4", model__onnx=os.urandom(2 * MIB), tokenizer__json=b"same" * 10_000)
    staged(parts, "v3")
    parts.store.limit = room.used_bytes(parts.store) + stage.OVERHEAD_BYTES + MIB
    done = staged(parts, "v4", spare=("v3",))
    assert parts.store.versions() == ("v4",)
    assert done.moved["reused"] == 40_000 + 40
    assert_sound(parts, "v4")


def test_a_file_that_stays_makes_no_room(parts: Parts) -> None:
    """A release that may go frees nothing by a file that the new one has as well."""
    same = os.urandom(2 * MIB)
    parts.publish("v3", model__onnx=b"small", tokenizer__json=same)
    parts.publish("v4", model__onnx=os.urandom(2 * MIB), tokenizer__json=same)
    staged(parts, "v3")
    parts.store.limit = room.used_bytes(parts.store) + stage.OVERHEAD_BYTES + MIB
    with pytest.raises(NoSpaceError):
        staged(parts, "v4", spare=("v3",))
    assert parts.store.versions() == ("v3",)


def test_links_that_were_left_take_no_room(parts: Parts) -> None:
    """What a crash left linked into the staging directory takes no space, so it frees none."""
    same = os.urandom(MIB)
    for version in ("v3", "v4"):
        parts.publish(version, model__onnx=os.urandom(MIB), tokenizer__json=same)
    staged(parts, "v3")
    left = parts.store.staging / "v4" / TOKENIZER
    left.parent.mkdir(parents=True)
    os.link(parts.store.path("v3") / TOKENIZER, left)
    before = snapshot(parts.store.root / "releases")
    # The new megabyte does not fit by half of itself.
    parts.store.limit = room.used_bytes(parts.store) + stage.OVERHEAD_BYTES + MIB // 2
    with pytest.raises(NoSpaceError):
        staged(parts, "v4")
    assert snapshot(parts.store.root / "releases") == before


def test_what_staging_needs(parts: Parts) -> None:
    """Bytes that the store has, or that are staged already, are not counted again."""
    release = parts.share.manifest("v2")
    all_of_it = stage.needed_bytes(parts.store, release)
    assert all_of_it >= release.size + stage.OVERHEAD_BYTES
    staged(parts, "v1")
    assert stage.needed_bytes(parts.store, release) <= all_of_it - 40_000
