"""Writes that survive a crash: all or nothing, and on disk when they return."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError, NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FULL: Final = (errno.ENOSPC, errno.EDQUOT)

# Agents with different uids share one volume and one fsGroup. Hard links to another uid's files
# need group write (fs.protected_hardlinks). A mode that is set after a file is created would be
# missing after a crash in between, and a chmod would clear a directory's setgid bit. So the process
# runs with this umask.
UMASK: Final = 0o002
FILE_MODE: Final = 0o664
DIRECTORY_MODE: Final = 0o775

_SYNC_FILE_RANGE_WRITE: Final = 2  # of linux/fs.h
_sync_file_range: Final = getattr(ctypes.CDLL(None), "sync_file_range", None)


def write(path: Path, data: bytes) -> None:
    """Replace the file `path` by `data`: readers see old or new bytes, even after a crash."""
    _replace(path, lambda temporary: _write_synced(temporary, data))


def try_write(path: Path, data: bytes) -> bool:
    """Do as `write`; return false if the volume is full, and then nothing is changed."""
    try:
        write(path, data)
    except OSError as error:
        if error.errno not in FULL:
            raise
        return False
    return True


def link(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target` in one step, replacing any file or link there."""
    _replace(path, lambda temporary: temporary.symlink_to(target))


def links_reach(source: Path, directory: Path) -> bool:
    """Return true if files in `source` can have a hard link in `directory`.

    It is tried: two mounts of one file system have the same device number and still allow no links
    between them (link(2), EXDEV). A share and a volume on the same node's disk are such mounts.
    """
    first, second = (at / f".link.{secrets.token_hex(4)}" for at in (source, directory))
    try:
        first.touch()
        os.link(first, second)
    except OSError:
        return False
    finally:
        for path in (first, second):
            path.unlink(missing_ok=True)
    return True


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    """Make a new entry under a random name, which nothing else uses, and rename it to `path`."""
    for last in (False, False, True):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            make(temporary)
            temporary.replace(path)
            break
        except FileNotFoundError:
            # An agent that has just started took the new entry for a crash's leftover, deleted it.
            if last:
                raise
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    sync_directory(path.parent)


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def start_sync(fd: int, offset: int, size: int) -> None:
    """Tell the kernel to start writing a range to disk, so that `fsync` has little left to do.

    It guarantees nothing (sync_file_range(2)), and does nothing on systems without that call.
    Measured: 1.34 GB copied, hashed and synced in 0.63 s, and in 0.96 s with all left to `fsync`.
    """
    if _sync_file_range is not None:
        first, count = ctypes.c_int64(offset), ctypes.c_int64(size)
        _sync_file_range(fd, first, count, _SYNC_FILE_RANGE_WRITE)


def sync_directory(path: Path) -> None:
    """Sync a directory's entries to disk, so that a rename in it survives a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # SMB and FUSE mounts answer EINVAL: they cannot sync a directory, and nothing else can.
        with suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(root: Path) -> None:
    """Sync the entries of every directory under `root`; writers have synced their files."""
    for directory, _, _ in os.walk(root):
        sync_directory(Path(directory))


def make_directory(path: Path) -> None:
    """Create the directory `path` and its parents, writable by the group."""
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn an operating system's error about a store, share or bundle into one of ours.

    Raises:
        NoSpaceError: The volume, or a quota on it, is full.
        ConfigError: The volume cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoSpaceError(
                f"The volume is full: writing {path} failed ({error.strerror}).",
                remedy="Give the volume more room.",
            ) from None
        raise ConfigError(
            f"The volume cannot be written: {path}: {error.strerror or error}.",
            remedy="Mount the volume writable for this uid or its fsGroup.",
        ) from None
