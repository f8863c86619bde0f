"""Digests of files on this machine: of each chunk, on all cores, or of a whole file."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from typing import TYPE_CHECKING

from agent.files import parallel
from agent.release.manifest import chunk_count

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def chunk_digests(
    directory: Path, paths: Sequence[str], *, chunk_size: int, stop: threading.Event
) -> Mapping[str, tuple[str, ...]]:
    """Return the SHA-256 of each chunk of each file, by path.

    Raises:
        StoppedError: `stop` was set.
    """
    counts = {p: chunk_count((directory / p).stat().st_size, chunk_size) for p in paths}
    found: dict[str, list[str]] = {path: [""] * count for path, count in counts.items()}

    def task(path: str, index: int, buffer: memoryview) -> None:
        fd = os.open(directory / path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            got = os.preadv(fd, [buffer], index * chunk_size)
        finally:
            os.close(fd)
        found[path][index] = hashlib.sha256(buffer[:got]).hexdigest()

    tasks = [partial(task, path, index) for path in paths for index in range(counts[path])]
    parallel.run(tasks, buffer_size=chunk_size, stop=stop)
    return {path: tuple(digests) for path, digests in found.items()}


def whole_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
