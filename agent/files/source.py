"""Sources of bytes: files that several threads read at offsets."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from agent.errors import (
    AgentError,
    ForbiddenError,
    ReleaseMissingError,
    UnreachableError,
    VerificationError,
)
from agent.files import parallel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The errors of opening a socket, a device without a driver, and a link instead of a file.
NO_FILE: Final = (errno.ENXIO, errno.ENODEV, errno.ELOOP)
NO_FILE_REMEDY: Final = "Put the file itself there."
# A circular link leads to nothing, like a link whose target is gone.
GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM)
_ABSENT: Final = (*GONE, *_FORBIDDEN)


class Reader(Protocol):
    """One open file of a source."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; return the bytes read, fewer only at the file's end.

        Raises:
            UnreachableError: The source does not answer.
            ReleaseMissingError: The file is missing.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Source(Protocol):
    """A place whose files are copied, hashed and verified: a share, a store, a download."""

    @property
    def address(self) -> str:
        """The place's address, for logs and errors."""
        ...

    @property
    def parallel(self) -> int:
        """The best number of reads at a time."""
        ...

    def open(self, path: str) -> Reader:
        """Open a file for reading at offsets.

        Raises:
            ReleaseMissingError: The file is missing (or the first read raises this).
            UnreachableError: The source does not answer.
        """
        ...


def beginning(source: Source, path: str, size: int) -> bytes:
    """Return the first `size` bytes of a file, fewer if it is shorter.

    Raises:
        AgentError: As `Source.open` and `Reader.read_into` raise.
    """
    buffer, reader = bytearray(size), source.open(path)
    try:
        return bytes(buffer[: reader.read_into(memoryview(buffer), 0)])
    finally:
        reader.close()


class FileReader:
    """One open file of a directory; `Reader` documents its methods."""

    def __init__(self, source: LocalSource, path: str) -> None:
        self._source = source
        self._path = path
        self._fd = source.open_file(path)
        # The kernel then reads ahead twice as far: 1.34 GB that no cache held was staged in 1.1 s
        # instead of 1.7 s.
        with suppress(OSError):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`."""
        done = 0
        with self._source.errors(self._path):
            while done < len(buffer):
                got = os.preadv(self._fd, [buffer[done:]], offset + done)
                if not got:
                    break
                done += got
        return done

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class LocalSource:
    """A directory whose files are read; links that lead out of it are refused.

    Args:
        root: The directory.
        kind: The word for it in error sentences, such as "share".
    """

    parallel: Final = parallel.THREADS

    def __init__(self, root: Path, kind: str = "directory") -> None:
        self._root = root
        self._kind = kind
        self._where = f"on the {kind}" if kind == "share" else f"in the {kind}"

    @property
    def address(self) -> str:
        """The directory's path."""
        return str(self._root)

    def open(self, path: str) -> FileReader:
        """Open a file for reading.

        Raises:
            ReleaseMissingError: The file is missing.
            VerificationError: It is not a regular file, or a link that leads out of the directory.
            UnreachableError: The directory is missing, or the agent may not read it.
        """
        try:
            return FileReader(self, path)
        except OSError as error:
            if error.errno not in GONE or not self._is_there():
                raise self._failed(path, error) from None
            raise ReleaseMissingError(
                f"{path} is missing {self._where} {self.address}.",
                remedy="Publish the release again; it is used once it is complete.",
            ) from None

    def open_file(self, path: str) -> int:
        """Open a regular file and return its descriptor; a FIFO or a device does not block.

        Raises:
            VerificationError: It is not a regular file.
            OSError: It cannot be opened.
        """
        real = self.resolved(path)
        try:
            fd = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
            # The type of the open file is asked: its name may lead elsewhere a moment later.
            if stat.S_ISREG(os.fstat(fd).st_mode):
                return fd
            os.close(fd)
        except OSError as error:
            if error.errno not in NO_FILE:
                raise
        raise self.no_file(path)

    def resolved(self, path: str) -> Path:
        """Return the real path of `path`, with its links followed.

        Raises:
            VerificationError: It leads out of the directory, or in a circle.
        """
        try:
            real = (self._root / path).resolve()
        except RuntimeError:
            what = f"{path} {self._where} is a link that leads in a circle."
            raise VerificationError(what, remedy=NO_FILE_REMEDY) from None
        if not real.is_relative_to(self._root.resolve()):
            raise VerificationError(
                f"{path} is a link that leads out of the {self._kind} {self.address}.",
                remedy=NO_FILE_REMEDY,
            )
        return real

    @contextmanager
    def errors(self, path: str) -> Iterator[None]:
        """Turn an operating system's error about `path` into one of ours."""
        try:
            yield
        except OSError as error:
            raise self._failed(path, error) from None

    def no_file(self, path: str) -> VerificationError:
        """Return the error for a path that is not a regular file."""
        return VerificationError(
            f"{path} {self._where} is not a regular file.", remedy=NO_FILE_REMEDY
        )

    def _is_there(self) -> bool:
        try:
            return self._root.is_dir()
        except OSError:  # No permission for it, or for a directory above it.
            return False

    def _failed(self, path: str, error: OSError) -> AgentError:
        # Other errors come from a mount that exists. It is not asked again, which may hang.
        if error.errno in _ABSENT and not self._is_there():
            return UnreachableError(
                f"The {self._kind} {self.address} is not there.",
                remedy="Check that it is mounted for this user.",
            )
        what = f"{path} {self._where} {self.address}: {error.strerror or error}."
        if error.errno in _FORBIDDEN:
            remedy = "Check the mount and its permissions; all may read after chmod -R a+rX."
            return ForbiddenError(what, remedy=remedy)
        return UnreachableError(what, remedy="Check the mount and its permissions.")
