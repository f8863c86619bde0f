"""Operations on the files of a share. Unless noted they may be repeated: an answer may be lost.

A `PUT` or `DELETE` that was done, but whose answer was lost, is done again by the retry. The error
that comes back then (it exists already, it is gone already) counts as success.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from agent.shares.azurefiles.explain import ServiceError
from agent.shares.azurefiles.sentences import GONE
from agent.shares.azurefiles.service import GET, PATIENT_SECONDS, READ_SECONDS
from agent.shares.azurefiles.transport import Into

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.shares.azurefiles.service import Service

T = TypeVar("T")

EXISTS: Final = "ResourceAlreadyExists"
# The path is a directory where a file was asked for, or a file where a directory was.
OTHER_KIND: Final = "ResourceTypeMismatch"
_NO_PARENT: Final = "ParentNotFound"
_NOT_EMPTY: Final = "DirectoryNotEmpty"
_OUT_OF_RANGE: Final = "InvalidRange"


def is_missing(error: ServiceError, path: str) -> bool:
    """Return true if `error` says that `path` is missing; false if the share's prefix is missing.

    Without the prefix' directory no path has a parent, and the empty path does not exist either.
    """
    if "/" not in path and error.code == _NO_PARENT:
        return False
    return path != "" and error.code in GONE


class Files:
    """The files of one share; paths are the agent's, without the share's prefix.

    All methods raise `ServiceError` if the service does not do what was asked.

    Args:
        service: Makes the calls.
        seconds: The time for which a call is tried again.
    """

    def __init__(self, service: Service, *, seconds: float = PATIENT_SECONDS) -> None:
        self.service = service
        self._seconds = seconds
        # Half of the time, so that after an answer that stalls there is time for another try.
        self._wait: dict[str, Any] = {"read_timeout": min(READ_SECONDS, seconds / 2)}

    def read_into(self, path: str, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; return the bytes read, fewer only at the file's end."""
        done = 0
        while done < len(buffer):
            piece = buffer[done : done + GET]
            got = self._get(path, piece, offset + done)
            done += got
            if got < len(piece):
                break
        return done

    def read(self, path: str, limit: int) -> bytes | None:
        """Return the first `limit` bytes, in one GET if they fit; None if there is no such file."""

        def get() -> bytes:
            # The MD5 of each piece is checked: a marker or a manifest has no digest of its own.
            file = self.service.file(path)
            return file.download_file(0, limit, validate_content=True, **self._wait).readall()

        try:
            return self._attempt(get, path)
        except ServiceError as error:
            if error.code == _OUT_OF_RANGE:
                return b""
            if is_missing(error, path):
                return None
            raise

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes; None if there is no such file."""
        try:
            found = self._attempt(
                lambda: self.service.file(path).get_file_properties(**self._wait), path
            )
        except ServiceError as error:
            if error.code in GONE:
                return None
            raise
        size: int = found.size
        return size

    def entries(self, path: str) -> dict[str, int | None]:
        """Return what `listing` returns, but an empty dictionary if there is no such directory."""
        return self.listing(path) or {}

    def listing(self, path: str) -> dict[str, int | None] | None:
        """Return a directory's entries: file sizes by name, None for directories.

        The result is None if there is no such directory.
        """

        def get() -> dict[str, int | None]:
            listed = self.service.directory(path).list_directories_and_files(**self._wait)
            try:
                return {each.name: getattr(each, "size", None) for each in listed}
            except AttributeError:  # The SDK found no properties: the answer arrived damaged.
                raise self.service.broken_off(path) from None

        try:
            return self._attempt(get, path)
        except ServiceError as error:
            if error.code == OTHER_KIND or is_missing(error, path):
                return None
            raise

    def ranges(self, path: str) -> list[tuple[int, int]]:
        """Return start and end of each range of a file that was written, in order.

        That proves nothing about the bytes in it.
        """
        found = self._attempt(lambda: list(self.service.file(path).list_ranges(**self._wait)), path)
        return sorted((each["start"], each["end"] + 1) for each in found)

    def create(self, path: str, size: int) -> None:
        """Create a file of zeros, replacing what was there; its directories are created too."""
        for last in (False, False, True):
            try:
                self._attempt(lambda: self.service.file(path).create_file(size, **self._wait), path)
            except ServiceError as error:
                # Another publisher may delete an empty directory just after it was made.
                if error.code != _NO_PARENT or last:
                    raise
                self.make_directory(path.rpartition("/")[0])
            else:
                return

    def put(self, path: str, offset: int, data: bytes, **lease: Any) -> None:
        """Write at most `PIECE` bytes; the service checks their MD5, which goes along."""

        def put() -> None:
            file = self.service.file(path)
            file.upload_range(data, offset, len(data), validate_content=True, **lease, **self._wait)

        if data:  # the service refuses an empty range
            self._attempt(put, path)

    def delete(self, path: str, **lease: Any) -> None:
        """Delete a file, if it exists."""
        try:
            self._attempt(lambda: self.service.file(path).delete_file(**lease, **self._wait), path)
        except ServiceError as error:
            if error.code not in GONE:
                raise

    def make_directory(self, path: str) -> None:
        """Create a directory and its parents, but not the share's prefix."""
        parent = path.rpartition("/")[0]
        try:
            self._attempt(lambda: self.service.directory(path).create_directory(**self._wait), path)
        except ServiceError as error:
            if error.code == _NO_PARENT and parent:
                self.make_directory(parent)
                self.make_directory(path)
            elif error.code != EXISTS:
                raise

    def rename(self, path: str, target: str) -> None:
        """Rename a file, over an existing one. It cannot be repeated: callers check the result."""
        new = self.service.address.at(target)
        self._attempt(lambda: self.service.file(path).rename_file(new, overwrite=True), path)

    def rename_directory(self, path: str, target: str) -> None:
        """Rename a directory, never over an existing one. It cannot be repeated either."""
        new = self.service.address.at(target)
        self._attempt(lambda: self.service.directory(path).rename_directory(new), path)

    def move_directory(self, path: str, target: str, *, tries: int = 3) -> bool:
        """Rename a directory to a name that nobody else uses; return false if another took it."""
        try:
            self.rename_directory(path, target)
        except ServiceError as error:
            if error.code not in GONE:
                raise
            parent, _, name = target.rpartition("/")
            # The answer to the first try may have been lost: then it is there already.
            if name in self.entries(parent):
                return True
            if self.listing(path) is None:
                return False
            if tries == 1:
                raise
            # Another publisher may delete an empty directory just after it was made.
            self.make_directory(parent)
            return self.move_directory(path, target, tries=tries - 1)
        return True

    def delete_tree(self, path: str) -> None:
        """Delete a directory and everything in it, if it exists."""
        for name, size in self.entries(path).items():
            if size is None:
                self.delete_tree(f"{path}/{name}")
            else:
                self.delete(f"{path}/{name}")
        self.delete_if_empty(path)

    def delete_if_empty(self, path: str) -> None:
        """Delete a directory, if it exists and is empty."""
        try:
            self._attempt(lambda: self.service.directory(path).delete_directory(**self._wait), path)
        except ServiceError as error:
            if error.code not in {*GONE, _NOT_EMPTY}:
                raise

    def _get(self, path: str, piece: memoryview, offset: int) -> int:
        def get() -> int:
            into: Any = Into(piece)
            file = self.service.file(path)
            file.download_file(offset, len(piece), into=into, **self._wait).readinto(into)
            done: int = into.done
            return done

        try:
            return self._attempt(get, path)
        except ServiceError as error:
            if error.code == _OUT_OF_RANGE:
                return 0
            raise

    def _attempt(self, call: Callable[[], T], path: str) -> T:
        return self.service.attempt(call, path, seconds=self._seconds)
