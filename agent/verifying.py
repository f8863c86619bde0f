"""Hashes every byte of a release where it lies, on a share or in a store, on all cores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from agent import chunks
from agent.errors import VerificationError
from agent.manifest import chunk_count

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from agent.manifest import File, Manifest
    from agent.shares.base import Share
    from agent.staging import Moved


def verify(
    manifest: Manifest,
    share: Share,
    prefix: str,
    *,
    stop: threading.Event,
    moved: Moved,
    whole: bool = False,
) -> None:
    """Hold all files of a release to their chunk digests.

    Args:
        manifest: What they should be.
        share: Where they are.
        prefix: Of their paths there, with its slash.
        stop: Ends it early.
        moved: Counts bytes as they are hashed.
        whole: Whether to compare the digest of each whole file too. The chunks cover every byte
            already; this finds a manifest that contradicts itself, and takes as long again.

    Raises:
        VerificationError: A file has other bytes, or more or fewer of them.
        ReleaseMissingError: A file is not there.
        UnreachableError: The share does not answer.
        StoppedError: `stop` was set.
    """
    task = _Verifier(manifest.chunk_size, share, prefix, moved)
    tasks: list[Callable[[memoryview], None]] = [
        partial(task.check, file, index)
        for file in manifest.files
        for index in range(max(1, chunk_count(file.size, manifest.chunk_size)))
    ]
    if whole:
        tasks = [*(partial(task.check_whole, file) for file in manifest.files), *tasks]
    # One byte more than a chunk, so that a file that is longer than it should be shows.
    chunks.run(tasks, buffer_size=manifest.chunk_size + 1, stop=stop)


@dataclass(frozen=True)
class _Verifier:
    chunk_size: int
    share: Share
    prefix: str
    moved: Moved

    def check_whole(self, file: File, buffer: memoryview) -> None:
        digest, offset = hashlib.sha256(), 0
        reader = self.share.open(self.prefix + file.path)
        try:
            while got := reader.read_into(buffer, offset):
                digest.update(buffer[:got])
                offset += got
        finally:
            reader.close()
        if digest.hexdigest() != file.sha256:
            raise self._corrupt(f"{file.path} has another SHA-256 than its manifest says")

    def check(self, file: File, index: int, buffer: memoryview) -> None:
        offset = index * self.chunk_size
        due = min(self.chunk_size, file.size - offset)
        last = offset + due == file.size
        reader = self.share.open(self.prefix + file.path)
        try:
            got = reader.read_into(buffer[: due + 1 if last else due], offset)
        finally:
            reader.close()
        digest = hashlib.sha256(buffer[:got]).hexdigest()
        if got != due or (due and digest != file.chunks[index]):
            raise self._corrupt(f"{file.path} is corrupt in chunk {index}")
        self.moved.add("verified", due)

    def _corrupt(self, what: str) -> VerificationError:
        return VerificationError(
            f"{self.prefix}{what} on {self.share.address}.",
            remedy="Publish it again under a new version; a store stages it again by itself.",
        )
