"""What this agent verified itself: the inode, size and mtime that each file had at that time.

A manifest only claims; these records are what reuse by hard link goes by. A file that no longer
looks as it did then is not trusted until it is hashed again.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import msgspec

from agent.errors import VerificationError
from agent.files import durable
from agent.files import verify as verifying
from agent.files.durable import writing
from agent.files.source import LocalSource
from agent.release import layout

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.release.manifest import File, Manifest

_REMEDY: Final = "The release is staged again from the share."


class Record(msgspec.Struct, frozen=True):
    """What was verified of one release: (inode, size, mtime in ns) by path."""

    digest: str
    files: dict[str, tuple[int, int, int]]


def directory(agent: Path) -> Path:
    """Where the records are."""
    return agent / "verified"


def write(agent: Path, manifest: Manifest, release: Path) -> bool:
    """Record that every byte of `release` was just verified; False where the volume is full."""
    files = {file.path: look(release / file.path) for file in manifest.files}
    record = Record(manifest.digest, files)
    path = directory(agent) / f"{manifest.version}.json"
    with writing(path.name):
        return durable.try_write(path, msgspec.json.encode(record))


def amend(agent: Path, version: str, looks: Mapping[str, tuple[int, int, int] | None]) -> None:
    """Trust files of a release as they look now, or, for None, no longer.

    Raises:
        NoSpaceError: The volume is full.
    """
    record = read(agent, version)
    if record is None:
        return
    merged = {**record.files, **looks}
    files = {path: look for path, look in merged.items() if look}
    path = directory(agent) / f"{version}.json"
    if files != record.files:
        with writing(path.name):
            durable.write(path, msgspec.json.encode(Record(record.digest, files)))


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


def is_untouched(agent: Path, manifest: Manifest, release: Path) -> bool:
    """Whether all files of `release` still look as they did when they were verified."""
    return len(list(trusted(agent, manifest, release))) == len(manifest.files)


def trusted(agent: Path, manifest: Manifest, release: Path) -> Iterator[File]:
    """The files of `release` that still look as they did when they were verified."""
    record = read(agent, manifest.version)
    if record and record.digest == manifest.digest:
        for file in manifest.files:
            if record.files.get(file.path) == look(release / file.path):
                yield file


def verify(
    manifest: Manifest,
    release: Path,
    *,
    stop: threading.Event,
    log: FilteringBoundLogger,
    whole: bool = False,
) -> None:
    """Hash every byte of a `release` in the store, and see that its views are the same files.

    The arguments are those of `verifying.verify`.

    Raises:
        VerificationError: A file or a view is missing, or is not what the manifest says.
        StoppedError: `stop` was set.
    """
    for file in manifest.files:
        if look(release / file.path)[1] != file.size:
            what = f"{file.path} of {release.name} in the store is missing or has another size."
            raise VerificationError(what, remedy=_REMEDY)
    for view, path in layout.views(manifest).items():
        if look(release / view)[0] != look(release / path)[0]:
            what = f"{view} of {release.name} in the store is not the same file as {path}."
            raise VerificationError(what, remedy=_REMEDY)
    verifying.verify(manifest, LocalSource(release), "", stop=stop, log=log, whole=whole)


def look(path: Path) -> tuple[int, int, int]:
    """Inode, size and mtime of a regular file; -1 where there is none."""
    try:
        status = path.lstat()
    except OSError:
        return -1, -1, -1
    if not stat.S_ISREG(status.st_mode):
        return -1, -1, -1
    return status.st_ino, status.st_size, status.st_mtime_ns
