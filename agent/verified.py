"""What this agent verified itself: the inode, size and mtime that each file had at that time.

A manifest only claims; these records are what reuse by hard link goes by. A file that no longer
looks as it did then is not trusted until it is hashed again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from agent import chunks, durable, layout
from agent.errors import VerificationError
from agent.manifest import chunk_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.manifest import File, Manifest

_REMEDY: Final = "The release is staged again from the share."


class Record(msgspec.Struct, frozen=True):
    """What was verified of one release: (inode, size, mtime in ns) by path."""

    digest: str
    files: dict[str, tuple[int, int, int]]


def directory(agent: Path) -> Path:
    """Where the records are."""
    return agent / "verified"


def write(agent: Path, manifest: Manifest, release: Path) -> None:
    """Record that every byte of `release` was just verified."""
    files = {file.path: _look(release / file.path) for file in manifest.files}
    record = Record(manifest.digest, files)
    durable.write(directory(agent) / f"{manifest.version}.json", msgspec.json.encode(record))


def read(agent: Path, version: str) -> Record | None:
    """The record of a release, if there is a readable one."""
    try:
        data = (directory(agent) / f"{version}.json").read_bytes()
        return msgspec.json.decode(data, type=Record)
    except (OSError, ValueError):
        return None


def forget(agent: Path, version: str) -> None:
    """Drop the record of a release."""
    (directory(agent) / f"{version}.json").unlink(missing_ok=True)


def versions(agent: Path) -> tuple[str, ...]:
    """The releases of which there are records."""
    return tuple(path.stem for path in directory(agent).glob("*.json"))


def trusted(agent: Path, manifest: Manifest, release: Path) -> Iterator[File]:
    """The files of `release` that still look as they did when they were verified."""
    record = read(agent, manifest.version)
    if record and record.digest == manifest.digest:
        for file in manifest.files:
            if record.files.get(file.path) == _look(release / file.path):
                yield file


def verify(manifest: Manifest, release: Path, *, stop: threading.Event | None = None) -> None:
    """Hash every byte of `release`, on all cores.

    Raises:
        VerificationError: A file or a view is missing, or is not what the manifest says.
        StoppedError: `stop` was set.
    """
    for file in manifest.files:
        _check_size(file, release)
    for view, path in layout.views(manifest).items():
        _check_view(release, view, path)
    size = manifest.chunk_size
    tasks = (task for file in manifest.files for task in _tasks(file, release, size))
    chunks.run(tasks, buffer_size=size, stop=stop or threading.Event())


def _tasks(file: File, release: Path, size: int) -> list[Callable[[memoryview], None]]:
    return [partial(_check, file, release, i, size) for i in range(chunk_count(file.size, size))]


def _check(file: File, release: Path, index: int, size: int, buffer: memoryview) -> None:
    view = buffer[: min(size, file.size - index * size)]
    fd = os.open(release / file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        got = os.preadv(fd, [view], index * size)
    finally:
        os.close(fd)
    if got != len(view) or hashlib.sha256(view).hexdigest() != file.chunks[index]:
        raise VerificationError(
            f"{file.path} of {release.name} is corrupt in chunk {index}.", remedy=_REMEDY
        )


def _check_size(file: File, release: Path) -> None:
    _, size, _ = _look(release / file.path)
    if size != file.size:
        found = "is missing" if size < 0 else f"has {size} bytes instead of {file.size}"
        raise VerificationError(f"{file.path} of {release.name} {found}.", remedy=_REMEDY)


def _check_view(release: Path, view: str, path: str) -> None:
    if _look(release / view)[0] != _look(release / path)[0]:
        raise VerificationError(
            f"{view} of {release.name} is not the same file as {path}.", remedy=_REMEDY
        )


def _look(path: Path) -> tuple[int, int, int]:
    """Inode, size and mtime of a regular file; -1 where there is none."""
    try:
        status = path.lstat()
    except OSError:
        return -1, -1, -1
    return status.st_ino, status.st_size, status.st_mtime_ns
