"""What git and the Hub know files by: computed once, and kept while a file stays as it is."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.doubles.hub.lfs import pointer

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Blob:
    """A file's identity.

    Attributes:
        size: Its bytes.
        git_id: What git calls it; in LFS, what git calls the pointer.
        sha256: In LFS, the SHA-256 of its bytes.
        pointer_size: In LFS, the pointer's bytes.
    """

    size: int
    git_id: str
    sha256: str | None = None
    pointer_size: int = 0

    @property
    def etag(self) -> str:
        """What the Hub calls it, and huggingface_hub its blob."""
        return f'"{self.sha256 or self.git_id}"'


class Blobs:
    """The identities of all files that were asked for. Safe to use from several threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int, int, bool], Blob] = {}
        self._lock = threading.Lock()

    def of(self, path: Path, *, lfs: bool) -> Blob:
        """The identity of a file.

        Raises:
            OSError: It cannot be read.
        """
        stat = path.stat()
        key = path, stat.st_size, stat.st_mtime_ns, lfs
        # One at a time: of all who wait for a large file, the first alone reads it.
        with self._lock:
            if key not in self._known:
                self._known[key] = _in_lfs(path) if lfs else _in_git(path)
            return self._known[key]


def git_id(kind: str, data: bytes) -> str:
    """The id of a git object."""
    head = f"{kind} {len(data)}\0".encode()
    return hashlib.sha1(head + data, usedforsecurity=False).hexdigest()


def _in_git(path: Path) -> Blob:
    data = path.read_bytes()
    return Blob(len(data), git_id("blob", data))


def _in_lfs(path: Path) -> Blob:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    text = pointer(sha256, size)
    return Blob(size, git_id("blob", text), sha256, len(text))
