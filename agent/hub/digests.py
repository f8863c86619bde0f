"""Holds a file to the Hub's digest: SHA-256 where the Hub keeps it as LFS, else a git blob id."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.hub.protocol import Remote

_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_HTML: Final = (b"<!doctype html", b"<html")
_PIECE: Final = 1024 * 1024
_BEAT: Final = 64 * _PIECE


def problem(path: Path, remote: Remote, hashing: Callable[[], object]) -> str | None:
    """Return what is wrong with a fetched file, as far as can be seen; None if it is the Hub's.

    Args:
        path: The file.
        remote: The Hub's description of it.
        hashing: Called now and then while it is hashed, so that nobody takes that for a hang.
    """
    size, known = path.stat().st_size, remote.sha256 or remote.blob_id
    if size == remote.size and _digest(path, size, remote, hashing) == known:
        return None
    return _looks(path, size, remote)


def _digest(path: Path, size: int, remote: Remote, hashing: Callable[[], object]) -> str:
    """Return SHA-256, or a git blob id: SHA-1 of a header and the bytes (Pro Git, Git Objects)."""
    digest = hashlib.sha256()
    if remote.sha256 is None:
        digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            if file.tell() % _BEAT == 0:
                hashing()
    return digest.hexdigest()


def _looks(path: Path, size: int, remote: Remote) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(_LFS_POINTER):
        return "is a Git-LFS pointer, not the file"
    if head.lstrip()[:64].lower().startswith(_HTML):
        return "is an HTML page, not the file"
    if size != remote.size:
        return f"has {size} bytes instead of {remote.size}"
    return "has another digest than the Hub says"
