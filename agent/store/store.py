"""The local store: its releases, the active one of them, and how that changes.

A release comes under `releases/` by one rename of a complete, synced directory, and `current` is
flipped by one rename of a link: a crash at any point leaves the active release as it was.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from agent.errors import (
    ConfigError,
    RefusedError,
    ReleaseMissingError,
    StoppedError,
    VerificationError,
)
from agent.files import durable
from agent.files.durable import writing
from agent.release import layout, manifest
from agent.release.layout import AGENT, CURRENT, RELEASES
from agent.release.version import is_version
from agent.store import records

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from agent.release.manifest import Manifest

_TRASH: Final = "trash-"


class Store:
    """One store.

    Args:
        root: Its directory, which may be a link.
        limit: Bytes that it may take, or None for all that the volume has.
        lock_timeout: Seconds to wait for another agent on the same store.

    Attributes:
        root: As given.
        limit: As given.
        agent: The directory that the agent keeps its own files in.
        staging: The directory in which releases are put together.
    """

    def __init__(
        self, root: Path, *, limit: int | None = None, lock_timeout: float = 600.0
    ) -> None:
        self.root = root
        self.limit = limit
        self.agent = root / AGENT
        self.staging = self.agent / "staging"
        self._manifests: dict[str, tuple[tuple[int, int, int], Manifest]] = {}
        self._lock = FileLock(
            self.agent / "lock",
            timeout=lock_timeout,
            mode=durable.FILE_MODE,
            fallback_to_soft=False,
        )

    def prepare(self) -> None:
        """Make the store's own directories.

        Raises:
            ConfigError: The store is not there or cannot be written.
            NoSpaceError: It is full.
        """
        self.require()
        with writing(str(self.agent)):
            for directory in self._directories():
                durable.make_directory(directory)
            if not os.access(self.agent, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def is_prepared(self) -> bool:
        """Return whether the store's own directories are there."""
        return all(directory.is_dir() for directory in self._directories())

    def _directories(self) -> tuple[Path, ...]:
        return self.staging, self.root / RELEASES, records.directory(self.agent)

    def require(self) -> None:
        """See that the store's directory is there.

        Raises:
            ConfigError: It is not.
        """
        with writing(str(self.root)):
            there = self.root.is_dir()
        if not there:
            raise ConfigError(
                f"The store {self.root} is not a directory.",
                remedy="Mount a volume there, or name another with --store.",
            )

    @contextmanager
    def lock(self, stop: threading.Event) -> Iterator[None]:
        """Hold the store's lock, which every writer takes, while the block runs.

        Raises:
            StoppedError: `stop` was set while waiting.
            RefusedError: Another agent held the lock for all of the lock timeout.
            ConfigError: The lock file cannot be written.
        """
        with writing(str(self.agent / "lock")):
            self._acquire(stop)
        try:
            yield
        finally:
            self._lock.release()

    def _acquire(self, stop: threading.Event) -> None:
        try:
            self._lock.acquire(cancel_check=stop.is_set)
        except Timeout:  # an OSError, which must not pass for one of the volume
            if stop.is_set():
                raise StoppedError from None
            raise RefusedError(
                f"Another agent holds the lock of the store {self.root}.",
                remedy="Wait for it, give each pod a store of its own, or raise --lock-timeout.",
            ) from None

    def active(self) -> str | None:
        """Return the version that `current` leads to; None unless it is a release of this store."""
        try:
            target = str((self.root / CURRENT).readlink())
        except OSError:
            return None
        directory, _, version = target.rpartition("/")
        known = directory == RELEASES and is_version(version)
        return version if known and self.path(version).is_dir() else None

    def path(self, version: str) -> Path:
        """Return the directory of a release, which need not be there."""
        return self.root / RELEASES / version

    def versions(self) -> tuple[str, ...]:
        """Return the releases in the store, the last one that was staged first."""
        found = [p for p in (self.root / RELEASES).glob("*/" + manifest.FILE_NAME) if p.is_file()]
        newest_first = sorted(found, key=lambda p: (p.stat().st_mtime_ns, p.parent.name))[::-1]
        return tuple(p.parent.name for p in newest_first if is_version(p.parent.name))

    def manifest(self, version: str) -> Manifest:
        """Return the manifest of a release in the store; it is parsed again only if it changed.

        Raises:
            ReleaseMissingError: The release is not in the store.
            VerificationError: The manifest is corrupt, or says another version.
        """
        path = self.path(version) / manifest.FILE_NAME
        looks = records.look(path)
        known = self._manifests.get(version)
        if known and known[0] == looks:
            return known[1]
        try:
            found = manifest.parse(path.read_bytes(), where=f"{version}/{manifest.FILE_NAME}")
        except OSError as error:
            raise ReleaseMissingError(
                f"{version} is not in the store {self.root}: {error.strerror}.",
                remedy="See model-agent status for what it holds.",
            ) from None
        if found.version != version:
            raise VerificationError(
                f"{version}/{manifest.FILE_NAME} in the store says version {found.version}.",
                remedy="The release is staged again from the share.",
            )
        self._manifests[version] = looks, found
        return found

    def verified(self) -> dict[str, str]:
        """Return the digest, by version, of the releases that this agent verified once."""
        digests = {version: self.digest(version) for version in self.versions()}
        known = {version: records.read(self.agent, version) for version in digests}
        return {v: d for v, d in digests.items() if d and (r := known[v]) and r.digest == d}

    def digest(self, version: str) -> str | None:
        """Return the digest of a release in the store; None without a valid manifest."""
        try:
            return self.manifest(version).digest
        except (ReleaseMissingError, VerificationError):
            return None

    def activate(self, version: str) -> None:
        """Flip `current` to `version`; the loaders' directories are links that follow it."""
        if self.active() == version and all((self.root / r).is_symlink() for r in layout.ROOTS):
            return
        with writing(CURRENT):
            for root in layout.ROOTS:
                if not (self.root / root).is_symlink():
                    durable.link(self.root / root, f"{CURRENT}/{root}")
            durable.link(self.root / CURRENT, f"{RELEASES}/{version}")

    def remove(self, version: str) -> None:
        """Delete a release: in one step out of sight, then its bytes."""
        with writing(version):
            trash = self.staging / f"{_TRASH}{version}-{secrets.token_hex(4)}"
            with suppress(FileNotFoundError):
                self.path(version).rename(trash)
                durable.sync_directory(self.root / RELEASES)
            records.forget(self.agent, version)
            self._manifests.pop(version, None)
            shutil.rmtree(trash, ignore_errors=True)

    def sweep(self, *, keep_staging: str | None = None) -> None:
        """Delete what a crash left: trash, staging, temporary links, records without a release.

        Args:
            keep_staging: A version whose staging directory and record stay.
        """
        with writing(AGENT):
            for path in self.staging.iterdir():
                if path.name != keep_staging:
                    shutil.rmtree(path, ignore_errors=True)
            for name in (CURRENT, *layout.ROOTS):  # others may keep hidden files in the root
                _remove_temporaries(self.root, name)
            for own in (self.agent, records.directory(self.agent)):
                _remove_temporaries(own)
            for version in records.versions(self.agent):
                if not self.path(version).is_dir() and version != keep_staging:
                    records.forget(self.agent, version)


def _remove_temporaries(directory: Path, name: str = "*") -> None:
    """Remove temporary files of `durable` for `name`: hidden, with a random ending."""
    for path in directory.glob(f".{name}.????????"):
        suffix = path.name.rpartition(".")[2]
        if set(suffix) <= set("0123456789abcdef") and (path.is_symlink() or path.is_file()):
            path.unlink(missing_ok=True)
