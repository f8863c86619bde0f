"""Verification: no byte of a release is published to the worker that its manifest does not have.

Each fault once, as a user meets it; tests/unit/store/test_stage.py has it for every file and chunk.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from agent.release import manifest
from tests.support.agents import assert_failed
from tests.support.pods import Pod
from tests.support.shares import EXTERNAL, FOLDER, SNAPSHOT, TestShare, flip, in_memory, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.agents import Result

WEIGHTS = f"{SNAPSHOT}/model.onnx.data"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> TestShare:
    """A share with one release of a tiny model, its weights as external data. Not to be changed."""
    made = TestShare(tmp_path_factory.mktemp("sound") / "share")
    made.add("v1", EXTERNAL)
    made.mark("v1")
    return made


@pytest.fixture
def pod(sound: TestShare) -> Iterator[Pod]:
    """A pod on a copy of the sound share, all of it in memory."""
    with in_memory() as scratch:
        made = Pod(scratch)
        made.share.fill_from(sound.root)
        yield made


def verify(pod: Pod, on: str) -> Result:
    """Run `verify v1`."""
    return pod.run("verify", "v1", "--on", on)


def assert_sound(pod: Pod) -> None:
    """The release is active, with the bytes of the share."""
    release = pod.share.manifest("v1")
    for file in release.files:
        held = (pod.store / "current" / file.path).read_bytes()
        assert held == (pod.share.release("v1") / file.path).read_bytes()
    assert (pod.store / "current/manifest.json").read_bytes() == release.encoded


def test_a_flipped_bit(pod: Pod) -> None:
    """One flipped bit, at the start, in the middle or at the end of a file, is exit 5.

    Nothing of it reaches the worker, and once the file is right again, so is the store.
    """
    target = pod.share.release("v1") / WEIGHTS
    size = target.stat().st_size
    for offset in {0, size // 2, size - 1}:
        flip(target, offset)
        assert target.stat().st_size == size
        assert_failed(pod.init("--no-fallback"), 5, WEIGHTS)
        pod.assert_empty()
        assert_failed(verify(pod, "share"), 5, WEIGHTS)
        flip(target, offset)
    assert pod.init("--no-fallback").code == 0
    assert_sound(pod)
    assert verify(pod, "store").code == 0


def test_a_flipped_bit_of_the_manifest(pod: Pod) -> None:
    """One flipped bit in what a manifest says of its files, or in its form, is exit 5."""
    path = pod.share.release("v1") / manifest.FILE_NAME
    whole = path.read_bytes()
    weights = pod.share.manifest("v1").files[-1]
    spots = {
        "digest": whole.index(weights.chunks[0].encode()) + 5,
        "size": whole.index(f'"size":{weights.size}'.encode()) + len('"size":'),
        "path": whole.index(b'"path":"fastembed') + len('"path":"'),
        "first": 0,
        "last": len(whole) - 1,
    }
    for spot, offset in spots.items():
        flip(path, offset)
        done = pod.init("--no-fallback")
        assert done.code in ({4, 5} if spot == "path" else {5}), (spot, done.lines)
        assert "Traceback" not in "\n".join(done.lines)
        if spot in {"first", "last"}:
            assert_failed(done, 5, "releases/v1/manifest.json")
        pod.assert_empty()
        path.write_bytes(whole)
    assert pod.init("--no-fallback").code == 0
    assert_sound(pod)


def test_a_flip_is_fatal_with_fallback_too(pod: Pod) -> None:
    """With nothing to fall back to, a corrupt release is exit 5, not a pod without a model."""
    flip(pod.share.release("v1") / WEIGHTS)
    assert_failed(pod.init(), 5, WEIGHTS)
    pod.assert_empty()


def test_a_truncated_file(pod: Pod) -> None:
    """A file that is one byte short, or empty, is exit 5."""
    target = pod.share.release("v1") / WEIGHTS
    for size in (target.stat().st_size - 1, 0):
        os.truncate(target, size)
        assert_failed(pod.init("--no-fallback"), 5, WEIGHTS)
        assert_failed(verify(pod, "share"), 5, WEIGHTS)
        pod.assert_empty()


def test_a_missing_file(pod: Pod) -> None:
    """A file that is not there is exit 4: the release is not complete."""
    (pod.share.release("v1") / WEIGHTS).unlink()
    assert_failed(pod.init("--no-fallback"), 4, WEIGHTS)
    assert_failed(verify(pod, "share"), 4, WEIGHTS)
    pod.assert_empty()


def test_a_missing_manifest(pod: Pod) -> None:
    """A release without a manifest is not complete: exit 4, and its bytes are not touched."""
    (pod.share.release("v1") / manifest.FILE_NAME).unlink()
    before = snapshot(pod.share.root)
    assert_failed(pod.init("--no-fallback"), 4, "releases/v1/manifest.json")
    pod.assert_empty()
    assert snapshot(pod.share.root) == before


def test_a_file_that_is_too_long(pod: Pod) -> None:
    """Bytes beyond what the manifest says never get into a store, and `verify` finds them."""
    with (pod.share.release("v1") / WEIGHTS).open("ab") as file:
        file.write(b"\0")
    assert_failed(verify(pod, "share"), 5, WEIGHTS)
    pod.init("--no-fallback")
    for held in (pod.store / "releases").rglob(WEIGHTS):
        size = next(f.size for f in pod.share.manifest("v1").files if f.path == WEIGHTS)
        assert held.stat().st_size == size


def test_a_wrong_whole_digest(pod: Pod) -> None:
    """A manifest whose whole-file SHA-256 contradicts its chunks is found where `verify` reads."""
    path = pod.share.sign("v1", lambda raw: raw["files"][2].update(sha256="0" * 64)).files[2].path
    assert_failed(verify(pod, "share"), 5, path)
    assert pod.init().code == 0
    assert_failed(verify(pod, "store"), 5, path)


def test_a_manifest_of_another_version(pod: Pod) -> None:
    """A release that was copied to another name is not that release."""
    pod.share.sign("v1", lambda raw: raw.update(version="v7"))
    assert_failed(pod.init("--no-fallback"), 5, "releases/v1/manifest.json")
    pod.assert_empty()


@pytest.mark.parametrize("path", ["../outside", "/outside", "fastembed/../../outside"])
def test_a_manifest_that_leads_outside(path: str, pod: Pod) -> None:
    """A manifest whose path leaves the release is refused whole; nothing is written anywhere."""
    target = pod.share.release("v1") / manifest.FILE_NAME
    whole = target.read_bytes().decode()
    target.write_text(whole.replace(f"{FOLDER}/refs/main", path))
    (pod.share.root / "outside").write_text("secret")
    assert_failed(pod.init("--no-fallback"), 5, "releases/v1/manifest.json")
    pod.assert_empty()
    assert not list(pod.store.parent.glob("outside"))
    assert not list(pod.store.rglob("outside"))


@pytest.mark.parametrize("path", [WEIGHTS, manifest.FILE_NAME])
def test_rot_in_the_store(path: str, pod: Pod) -> None:
    """A bit that flips in the store is found by `verify`, by name; `init` brings the bytes anew.

    The file keeps its size and times, as it does when a disk rots.
    """
    assert pod.init().code == 0
    target = pod.store / "releases/v1" / path
    status = target.stat()
    flip(target)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert_failed(verify(pod, "store"), 5, path)
    done = pod.init("--no-fallback")
    assert done.code == 0, done.lines
    assert done.named("store.corrupt")
    assert_sound(pod)
    assert verify(pod, "store").code == 0
