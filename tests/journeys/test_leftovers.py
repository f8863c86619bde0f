"""What a staging that was given up leaves to the next one."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Final

import pytest

from agent.shares.directory import DirectoryShare
from agent.store.stage import stage
from agent.store.store import Store
from tests.support.shares import SNAPSHOT, TestShare

if TYPE_CHECKING:
    from pathlib import Path

    from agent.store.stage import Staged

CHUNK: Final = 64 * 1024
SAME: Final = random.Random(1).randbytes(4 * CHUNK)
FILE: Final = f"{SNAPSHOT}/model.onnx"


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """A share with v1, and v2 that has one file of it and another one."""
    made = TestShare(tmp_path / "share")
    made.add_files("v1", {"model.onnx": SAME, "vocab.txt": b"one"})
    made.add_files("v2", {"model.onnx": SAME, "vocab.txt": b"another"})
    return made


@pytest.fixture
def store(tmp_path: Path, share: TestShare) -> Store:
    """A store in which v1 was half staged: the second half of its large file are zeros."""
    (tmp_path / "store").mkdir()
    made = Store(tmp_path / "store")
    made.prepare()
    put(made.staging / "v1" / FILE, SAME[: 2 * CHUNK] + bytes(2 * CHUNK))
    put(made.staging / "v1" / "manifest.json", share.manifest("v1").encoded)
    return made


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def staged(share: TestShare, store: Store, version: str) -> Staged:
    stop = threading.Event()
    return stage(DirectoryShare(share.root), share.manifest(version), store, stop=stop)


def test_chunks_of_another_release_s_staging(share: TestShare, store: Store) -> None:
    """A file that both have is gone on with; whatever else was staged goes."""
    moved = staged(share, store, "v2").moved
    assert moved["resumed"] == 2 * CHUNK
    assert (store.path("v2") / FILE).read_bytes() == SAME
    assert list(store.staging.iterdir()) == []


def test_a_file_that_should_become_another(share: TestShare, store: Store) -> None:
    """Only the same content is taken over: a late write of the old staging may still come."""
    share.add_files("v3", {"model.onnx": SAME[:-1] + b"!", "vocab.txt": b"one"})
    assert "resumed" not in staged(share, store, "v3").moved


def test_a_release_that_is_being_deleted(share: TestShare, store: Store) -> None:
    """It is no staging, whatever its manifest says: a worker may have its files mapped."""
    (store.staging / "v1").rename(store.staging / "trash-v1-0123abcd")
    assert "resumed" not in staged(share, store, "v2").moved


def test_a_staging_says_what_it_is_of(share: TestShare, store: Store) -> None:
    """A staging that is stopped leaves its manifest, so that the next one knows."""
    stop = threading.Event()
    share.add_files("v3", {"model.onnx": b"short", "vocab.txt": SAME})
    (share.release("v3") / FILE).unlink()
    with pytest.raises(Exception, match="missing on the share"):
        stage(DirectoryShare(share.root), share.manifest("v3"), store, stop=stop)
    noted = (store.staging / "v3" / "manifest.json").read_bytes()
    assert noted == share.manifest("v3").encoded
