"""Verifies a release in place, on a share or in a store: hashes every byte, on all cores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from agent.errors import AgentError, VerificationError
from agent.files import parallel, progress
from agent.files.progress import ByteCounter
from agent.release.manifest import chunk_count

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from agent.files.source import Source
    from agent.release.manifest import File, Manifest


def verify(
    manifest: Manifest,
    source: Source,
    prefix: str,
    *,
    stop: threading.Event,
    log: FilteringBoundLogger,
    what: str = "verify",
    whole: bool = False,
) -> None:
    """Compare all files of a release with the chunk digests in its manifest; show the progress.

    Args:
        manifest: The manifest with the digests.
        source: The place that holds the files.
        prefix: The prefix of their paths there, with its slash.
        stop: Ends it early.
        log: Told of progress.
        what: The name of the work, as progress shows it.
        whole: Compare the digest of each whole file too. The chunks cover every byte already; this
            finds a manifest that contradicts itself, and takes as long again.

    Raises:
        VerificationError: A file has other bytes, or more or fewer of them.
        ReleaseMissingError: A file is missing.
        UnreachableError: The share does not answer.
        StoppedError: `stop` was set.
    """
    moved = ByteCounter()
    task = _Verifier(manifest.chunk_size, source, prefix, moved)
    tasks: list[Callable[[memoryview], None]] = [
        partial(task.check, file, index)
        for file in manifest.files
        for index in range(max(1, chunk_count(file.size, manifest.chunk_size)))
    ]
    if whole:
        tasks = [*(partial(task.check_whole, file) for file in manifest.files), *tasks]
    # One byte more than a chunk, so that a file that is too long is noticed.
    size = manifest.chunk_size + 1
    threads = parallel.crew(source.parallel, size)
    with progress.shown(log, what, moved, manifest.size):
        # A whole file of gigabytes takes minutes over SMB. Without a pulse that counts as a stall.
        parallel.run(
            tasks, buffer_size=size, stop=stop, threads=threads, pulse=lambda: task.read.total
        )


def is_right(manifest: Manifest, source: Source, prefix: str, file: File, index: int) -> bool:
    """Return true if one chunk has the digest in the manifest; false if it cannot be read."""
    task = _Verifier(manifest.chunk_size, source, prefix, ByteCounter())
    buffer = memoryview(bytearray(manifest.chunk_size + 1))
    try:
        task.check(file, index, buffer)
    except AgentError:
        return False
    return True


@dataclass(frozen=True)
class _Verifier:
    chunk_size: int
    source: Source
    prefix: str
    moved: ByteCounter
    # Bytes of whole files, which `moved` does not count.
    read: ByteCounter = field(default_factory=ByteCounter)

    def check_whole(self, file: File, buffer: memoryview) -> None:
        # Read again if it is wrong: the bad bytes may come from a cache or a torn answer.
        if not any(self._hash(file, buffer) == file.sha256 for _ in range(2)):
            raise self._corrupt(f"{file.path} has another SHA-256 than its manifest says")

    def _hash(self, file: File, buffer: memoryview) -> str:
        digest, offset = hashlib.sha256(), 0
        reader = self.source.open(self.prefix + file.path)
        try:
            while got := reader.read_into(buffer[: self.chunk_size], offset):
                digest.update(buffer[:got])
                offset += got
                self.read.add("whole", got)
        finally:
            reader.close()
        return digest.hexdigest()

    def check(self, file: File, index: int, buffer: memoryview) -> None:
        if not any(self._is_right(file, index, buffer) for _ in range(2)):
            raise self._corrupt(f"{file.path} is corrupt in chunk {index}")
        self.moved.add("verified", min(self.chunk_size, file.size - index * self.chunk_size))

    def _is_right(self, file: File, index: int, buffer: memoryview) -> bool:
        offset = index * self.chunk_size
        due = min(self.chunk_size, file.size - offset)
        last = offset + due == file.size
        reader = self.source.open(self.prefix + file.path)
        try:
            got = reader.read_into(buffer[: due + 1 if last else due], offset)
        finally:
            reader.close()
        digest = hashlib.sha256(buffer[:got]).hexdigest()
        return got == due and (not due or digest == file.chunks[index])

    def _corrupt(self, what: str) -> VerificationError:
        return VerificationError(
            f"{self.prefix}{what} on {self.source.address}.",
            remedy="Publish it again under a new version; a store stages it again by itself.",
        )
