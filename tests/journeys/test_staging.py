"""Staging: what is moved, what is reused, and that nothing changes where it does not fit."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.agents import assert_failed
from tests.support.pods import Pod
from tests.support.shares import TestShare, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """Two releases: a megabyte that both have, and another one that differs."""
    made = TestShare(tmp_path / "share")
    same = os.urandom(MIB)
    for version in ("v1", "v2"):
        made.add_files(version, {"model.onnx": os.urandom(MIB), "model.onnx.data": same})
    return made


@pytest.fixture
def full(share: TestShare, tmp_path: Path) -> Iterator[Pod]:
    """A pod whose store is a volume of 8 MiB of its own, with v1 active."""
    made = Pod(tmp_path, share)
    path = made.store
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    share.mark("v1")
    assert made.init().code == 0
    yield made
    subprocess.run(["umount", str(path)], check=True)


def fill(volume: Path, *, leave: int = 0) -> None:
    """Take all space of a volume but `leave` bytes."""
    with (volume / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError:
            file.truncate(max(0, file.tell() - leave))


@pytest.mark.parametrize("leave", [0, MIB], ids=["no byte", "one MiB"])
def test_a_full_volume(full: Pod, leave: int) -> None:
    """On a volume that is really full, `init` says so by exit code 6 and changes nothing."""
    full.share.mark("v2")
    fill(full.store, leave=leave)
    before = snapshot(full.store / "releases")
    assert_failed(full.init(), 6)
    assert snapshot(full.store / "releases") == before
    assert full.active() == "v1"
    assert list((full.store / ".agent/staging").iterdir()) == []


def test_a_full_volume_with_good_data(full: Pod) -> None:
    """A volume that is full does not keep a pod from the release that it holds already."""
    fill(full.store)
    done = full.init()
    assert done.code == 0, done.sentence
