"""Records of the files that this agent verified: the inode, size and mtime of each at that time.

A manifest only claims: a file is reused by hard link if it is on record here. One that no longer
looks as it did then is not trusted until it is hashed again.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import msgspec

from agent.files import durable
from agent.files.durable import writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from agent.release.manifest import File, Manifest

# The inode, the size, and the mtime in nanoseconds.
Look = tuple[int, int, int]
_NOTHING: Final[Look] = (-1, -1, -1)


class Record(msgspec.Struct, frozen=True):
    """The verified files of one release.

    Attributes:
        digest: The release's.
        files: How each looked when it was verified, by its path.
    """

    digest: str
    files: dict[str, Look]


def directory(agent: Path) -> Path:
    """Return the directory of the records."""
    return agent / "verified"


def write(agent: Path, manifest: Manifest, release: Path) -> bool:
    """Record that every byte of `release` was just verified; return False on a full volume."""
    files = {file.path: look(release / file.path) for file in manifest.files}
    record = Record(manifest.digest, files)
    path = _path(agent, manifest.version)
    with writing(path.name):
        return durable.try_write(path, msgspec.json.encode(record))


def amend(agent: Path, version: str, looks: Mapping[str, Look | None]) -> None:
    """Trust files of a release if they look so; a file with None is no longer trusted.

    Raises:
        NoSpaceError: The volume is full.
    """
    record = read(agent, version)
    if record is None:
        return
    merged = {**record.files, **looks}
    files = {path: seen for path, seen in merged.items() if seen}
    path = _path(agent, version)
    if files != record.files:
        with writing(path.name):
            durable.write(path, msgspec.json.encode(Record(record.digest, files)))


def read(agent: Path, version: str) -> Record | None:
    """Return the record of a release; None if there is no readable one."""
    try:
        return msgspec.json.decode(_path(agent, version).read_bytes(), type=Record)
    except (OSError, ValueError):
        return None


def forget(agent: Path, version: str) -> None:
    """Drop the record of a release."""
    _path(agent, version).unlink(missing_ok=True)


def versions(agent: Path) -> tuple[str, ...]:
    """Return the releases of which there are records."""
    return tuple(path.stem for path in directory(agent).glob("*.json"))


def is_untouched(agent: Path, manifest: Manifest, release: Path) -> bool:
    """Return whether all files of `release` still look as they did when they were verified."""
    return len(list(trusted(agent, manifest, release))) == len(manifest.files)


def trusted(agent: Path, manifest: Manifest, release: Path) -> Iterator[File]:
    """Yield the files of `release` that still look as they did when they were verified."""
    record = read(agent, manifest.version)
    if record and record.digest == manifest.digest:
        for file in manifest.files:
            if record.files.get(file.path) == look(release / file.path):
                yield file


def look(path: Path) -> Look:
    """Return the inode, size and mtime of a regular file; -1 for each if there is none."""
    try:
        status = path.lstat()
    except OSError:
        return _NOTHING
    if not stat.S_ISREG(status.st_mode):
        return _NOTHING
    return status.st_ino, status.st_size, status.st_mtime_ns


def _path(agent: Path, version: str) -> Path:
    return directory(agent) / f"{version}.json"
