"""A share that is a directory: an SMB or NFS mount, or any folder."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from agent.errors import VerificationError
from agent.files import durable
from agent.files.source import GONE, NO_FILE, LocalSource
from agent.release.tree import Node, Tree
from agent.shares.base import STAGING, staged_version, trash_path
from agent.shares.lock_file import ExclusiveFile
from agent.shares.staged_release import StagedRelease, remove_if_empty, with_parent

if TYPE_CHECKING:
    from pathlib import Path

    from agent.shares.base import Publication


class DirectoryShare(LocalSource):
    """A share under a local path; `agent.shares.base.Share` documents what each method promises."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "share")

    def read(self, path: str, limit: int) -> bytes | None:
        """Read a small file with one open, one read and one close.

        Raises:
            VerificationError: It is not a regular file.
        """
        try:
            fd = os.open(self._root / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in GONE and self._is_there():
                return None
            if error.errno in NO_FILE:
                raise self.no_file(path) from None
            raise self._failed(path, error) from None
        try:
            file = os.fdopen(fd, "rb")
        except OSError:  # It is a directory; the descriptor is still ours to close.
            os.close(fd)
            raise self.no_file(path) from None
        with self.errors(path), file:
            return file.read(limit + 1)

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted."""
        try:
            return tuple(sorted(entry.name for entry in (self._root / path).iterdir()))
        except OSError as error:
            if error.errno in GONE and self._is_there():
                return ()
            raise self._failed(path, error) from None

    def tree(self, paths: tuple[str, ...]) -> Tree:
        """Return everything below directories; a link to a file counts as that file."""
        nodes: dict[str, Node] = {}
        with self.errors(", ".join(paths)):
            for top in paths:
                nodes |= self._walk(top)
            if not nodes and not self._is_there():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return Tree(nodes)

    def hole(self, _path: str, _size: int, _piece: int) -> int | None:
        """Return None: a file system may keep written zeros as a hole."""
        return None

    def write(self, path: str, data: bytes) -> None:
        """Replace a file by rename: readers see the old bytes or the new, never a part."""
        with self.errors(path):
            durable.write(self._root / path, data)

    def lock_file(self, name: str) -> ExclusiveFile:
        """Return a lock file that only one publisher can create."""
        return ExclusiveFile(self._root, name, self.errors)

    def publish(self, publication: Publication) -> None:
        """Build the release in `.staging/<version>-<random>`, then rename that directory."""
        StagedRelease(self, self._root, self.errors, publication).run()

    def remove(self, path: str) -> None:
        """Rename a directory into `.staging`, then delete it."""
        directory = self._root / path
        trash = self._root / trash_path(staged_version(directory.name) or directory.name)
        with self.errors(path):
            try:
                with_parent(trash, lambda: directory.rename(trash))
                durable.sync_directory(directory.parent)
            except FileNotFoundError:
                if not self._is_there() or os.path.lexists(directory):
                    raise
            _delete(trash)
            self.tidy()

    def tidy(self) -> None:
        """Delete `.staging` if it is empty."""
        remove_if_empty(self._root / STAGING)

    def _walk(self, top: str) -> dict[str, Node]:
        nodes: dict[str, Node] = {}
        pending = [top] if (self._root / top).is_dir() else []
        while pending:
            directory = pending.pop()
            nodes[directory] = Node("directory")
            try:
                listed = os.scandir(self._root / directory)
            except PermissionError:  # `lost+found`, another team's: no harm where it is not wanted
                nodes[directory] = Node("unreadable")
                continue
            with listed as entries:
                for entry in entries:
                    path = f"{directory}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(path)
                    else:
                        nodes[path] = self._node(path)
        return nodes

    def _node(self, path: str) -> Node:
        try:
            status = self.resolved(path).stat()
        except VerificationError:
            return Node("outside")
        except (FileNotFoundError, NotADirectoryError):
            return Node("dangling")
        except PermissionError:
            return Node("unreadable")
        if stat.S_ISDIR(status.st_mode):
            return Node("linked directory")
        return Node("file", status.st_size) if stat.S_ISREG(status.st_mode) else Node("special")


def _delete(path: Path) -> None:
    """Delete a directory, or the file that a killed `promote` over REST left, as far as it goes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
