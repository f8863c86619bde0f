"""Publishes a release to a share that is a directory, and makes it visible with one rename.

It is built in a directory of `.staging` whose name no other publisher uses.
"""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from agent.errors import AgentError, RefusedError
from agent.files import durable
from agent.release import manifest
from agent.release.layout import RELEASES
from agent.shares.base import STAGING, staged_version, staging_path
from agent.shares.lock import LockLostError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from agent.release.manifest import Manifest
    from agent.shares.base import Publication, Share


class StagedRelease:
    """Publishes one release.

    Args:
        share: The share to publish to.
        root: The share's directory.
        errors: Turns an operating system's error about a path into one of ours.
        publication: The version, its builder, the check of the lock, and the stop flag.
    """

    def __init__(
        self,
        share: Share,
        root: Path,
        errors: Callable[[str], AbstractContextManager[None]],
        publication: Publication,
    ) -> None:
        self._share = share
        self._root = root
        self._errors = errors
        self._publication = publication
        self._version = publication.version
        self._path = f"{RELEASES}/{publication.version}"
        self._target = root / self._path
        self._staged = root / staging_path(publication.version)
        self._release: Manifest | None = None

    def run(self) -> None:
        """Build the release and commit it.

        Raises:
            RefusedError: Another publisher was first, with other content, or has the lock now.
            UnreachableError: The share cannot be written.
        """
        with self._errors(self._path):
            self._discard_left_over()
            with_parent(self._staged, self._staged.mkdir)
            try:
                self._publish()
            except OSError as error:
                if self._is_published():
                    return
                self._refuse(error)
                raise
            finally:
                shutil.rmtree(self._staged, ignore_errors=True)
                self._share.tidy()
                remove_if_empty(self._target.parent)

    def _discard_left_over(self) -> None:
        """Delete what killed publishers left of this version; as we hold the lock, none lives."""
        for name in self._share.names(STAGING):
            if staged_version(name) == self._version:
                self._share.remove(f"{STAGING}/{name}")

    def _publish(self) -> None:
        self._release = self._publication.make(self._staged)
        durable.sync_tree(self._staged)
        self._publication.check()
        with_parent(self._target, lambda: self._staged.rename(self._target))
        durable.sync_directory(self._target.parent)

    def _is_published(self) -> bool:
        """Return true if another publisher has published a release with the same digest."""
        if self._release is None:
            return False
        with suppress(AgentError):
            data = self._share.read(f"{self._path}/{manifest.FILE_NAME}", manifest.MAX_BYTES)
            return data is not None and manifest.parse(data).digest == self._release.digest
        return False

    def _refuse(self, error: OSError) -> None:
        """Raise the error to report if another publisher caused `error`; else do nothing."""
        if not self._staged.exists():
            raise LockLostError(
                f"Another publisher took over {self._version}: this one was silent for too long.",
                remedy="Publish again.",
            ) from None
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST} and self._target.exists():
            raise RefusedError(
                f"{self._path} appeared on the share in the meantime.",
                remedy=f"Check it: model-agent verify {self._version} --on share.",
            ) from None


def with_parent(path: Path, action: Callable[[], object]) -> None:
    """Do `action`, which needs the parent directory of `path`; create that if it is missing.

    Other publishers delete it whenever it is empty, so this is tried again. Its own parents are not
    created: if the share is not mounted, its mount point must not be.
    """
    for last in (False, False, True):
        with suppress(FileExistsError):
            path.parent.mkdir()
        try:
            action()
        except FileNotFoundError:
            if last:
                raise
        else:
            return


def remove_if_empty(directory: Path) -> None:
    """Delete a directory, if it exists and is empty."""
    with suppress(OSError):
        directory.rmdir()
