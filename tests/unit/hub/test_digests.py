"""What came from the Hub is held to what the Hub said of it."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from agent.hub import digests
from agent.hub.protocol import Remote

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"weights" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7000\n"


def problem(path: Path, data: bytes, remote: Remote) -> str | None:
    """What is found wrong with a file of these bytes."""
    path.write_bytes(data)
    return digests.problem(path, remote, lambda: None)


def test_large_files_by_their_sha256(tmp_path: Path) -> None:
    """The right bytes are right, and one wrong bit is found though the size is right."""
    remote = Remote("model.onnx", len(DATA), sha256=SHA256)
    assert problem(tmp_path / "file", DATA, remote) is None
    flipped = DATA[:-1] + b"\x00"
    assert problem(tmp_path / "file", flipped, remote) == "has another digest than the Hub says"


def test_a_large_file_is_seen_to_be_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing gigabytes takes longer than a Hub may be silent."""
    monkeypatch.setattr(digests, "_PIECE", 1000)
    monkeypatch.setattr(digests, "_BEAT", 2000)
    (tmp_path / "file").write_bytes(DATA)
    beats: list[None] = []
    remote = Remote("model.onnx", len(DATA), sha256=SHA256)
    assert digests.problem(tmp_path / "file", remote, lambda: beats.append(None)) is None
    assert len(beats) == 3


def test_small_files_by_their_git_blob(tmp_path: Path) -> None:
    """The id is the one that git itself gives."""
    (tmp_path / "config.json").write_bytes(b"{}\n")
    command = ["git", "hash-object", "--no-filters", str(tmp_path / "config.json")]
    blob = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    remote = Remote("config.json", 3, blob_id=blob)
    assert problem(tmp_path / "file", b"{}\n", remote) is None
    assert problem(tmp_path / "file", b"[]\n", remote) is not None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (POINTER, "is a Git-LFS pointer, not the file"),
        (b"  <!DOCTYPE html>\n<html>", "is an HTML page, not the file"),
        (b"<HTML><body>", "is an HTML page, not the file"),
        (DATA[:10], "has 10 bytes instead of 7000"),
        (b"", "has 0 bytes instead of 7000"),
        (DATA + b"x", "has 7001 bytes instead of 7000"),
    ],
)
def test_what_it_is_instead(data: bytes, expected: str, tmp_path: Path) -> None:
    """A pointer, a page of a proxy, a cut file are named as what they are."""
    remote = Remote("model.onnx", len(DATA), sha256=SHA256)
    assert problem(tmp_path / "file", data, remote) == expected
