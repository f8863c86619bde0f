"""The local store: which releases it holds, which one is active, and how that changes.

A release shows up under `releases/` by one rename of a complete, synced directory, and `current`
flips by one rename of a link, so that a crash at any point leaves what was active as it was.
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
    NoSpaceError,
    RefusedError,
    ReleaseMissingError,
    StoppedError,
    VerificationError,
)
from agent.files import disk, durable
from agent.files.durable import writing
from agent.release import layout, manifest
from agent.release.version import is_version
from agent.store import records as verified

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from agent.release.manifest import Manifest

CURRENT: Final = "current"
RELEASES: Final = "releases"
AGENT: Final = ".agent"
_TRASH: Final = "trash-"


class Store:
    """One store, and what may be done to it.

    Args:
        root: Where it is; may be a link.
        limit: Bytes that it may take, or None for all that the volume has.
        lock_timeout: Seconds to wait for another agent on the same store.
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
        """Whether the store's own directories are there."""
        return all(directory.is_dir() for directory in self._directories())

    def _directories(self) -> tuple[Path, ...]:
        return self.staging, self.root / RELEASES, verified.directory(self.agent)

    def require(self) -> None:
        """See that there is a store.

        Raises:
            ConfigError: There is none.
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
        """Be the only writer.

        Raises:
            StoppedError: `stop` was set while waiting.
            RefusedError: Another agent held the store for all of the lock timeout.
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
        """The version that `current` leads to, if that is a release of this store."""
        try:
            target = str((self.root / CURRENT).readlink())
        except OSError:
            return None
        directory, _, version = target.rpartition("/")
        known = directory == RELEASES and is_version(version)
        return version if known and self.path(version).is_dir() else None

    def path(self, version: str) -> Path:
        """Where a release is, or would be."""
        return self.root / RELEASES / version

    def versions(self) -> tuple[str, ...]:
        """The releases in the store, the newest staged first."""
        found = [p for p in (self.root / RELEASES).glob("*/" + manifest.FILE_NAME) if p.is_file()]
        newest_first = sorted(found, key=lambda p: (p.stat().st_mtime_ns, p.parent.name))[::-1]
        return tuple(p.parent.name for p in newest_first if is_version(p.parent.name))

    def manifest(self, version: str) -> Manifest:
        """The manifest of a release in the store; parsed anew only if the file changed.

        Raises:
            ReleaseMissingError: It is not there.
            VerificationError: It is not sound, or says another version.
        """
        path = self.path(version) / manifest.FILE_NAME
        looks = verified.look(path)
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
        """Digest by version of the releases whose every byte this agent verified once."""
        digests = ((version, self.digest(version)) for version in self.versions())
        records = {version: verified.read(self.agent, version) for version in self.versions()}
        return {v: d for v, d in digests if d and (r := records.get(v)) and r.digest == d}

    def digest(self, version: str) -> str | None:
        """The digest of a release in the store; None if there is no sound one."""
        try:
            return self.manifest(version).digest
        except (ReleaseMissingError, VerificationError):
            return None

    def activate(self, version: str) -> None:
        """Flip `current` to `version`, and have the loaders' directories follow it."""
        if self.active() == version and all((self.root / r).is_symlink() for r in layout.ROOTS):
            return
        with writing(CURRENT):
            for root in layout.ROOTS:
                if not (self.root / root).is_symlink():
                    durable.link(self.root / root, f"{CURRENT}/{root}")
            durable.link(self.root / CURRENT, f"{RELEASES}/{version}")

    def remove(self, version: str) -> None:
        """Delete a release: it is gone in one step, its bytes soon after."""
        with writing(version):
            trash = self.staging / f"{_TRASH}{version}-{secrets.token_hex(4)}"
            with suppress(FileNotFoundError):
                self.path(version).rename(trash)
                durable.sync_directory(self.root / RELEASES)
            verified.forget(self.agent, version)
            self._manifests.pop(version, None)
            shutil.rmtree(trash, ignore_errors=True)

    def sweep(self, *, keep_staging: str | None = None) -> None:
        """Clear what a crash left: trash, others' staging, temporary links, stale records."""
        with writing(AGENT):
            for path in self.staging.iterdir():
                if path.name != keep_staging:
                    shutil.rmtree(path, ignore_errors=True)
            for root in (self.root, self.agent, verified.directory(self.agent)):
                _remove_temporaries(root)
            for version in verified.versions(self.agent):
                if not self.path(version).is_dir() and version != keep_staging:
                    verified.forget(self.agent, version)

    def free_bytes(self) -> int:
        """Bytes that may still be written: what the volume has, within the limit."""
        status = os.statvfs(self.root)
        free = status.f_bavail * status.f_frsize
        return free if self.limit is None else min(free, self.limit - self.used_bytes())

    def most_bytes(self) -> int:
        """Bytes that the store may ever take: the limit, or what the volume has in all."""
        status = os.statvfs(self.root)
        size = status.f_blocks * status.f_frsize
        return size if self.limit is None else min(size, self.limit)

    def used_bytes(self) -> int:
        """Bytes that the store takes; a file with several names counts once."""
        return sum(disk.blocks([self.root]).values())

    def need(self, wanted: int, *, spare: Sequence[str] = (), reused: Sequence[Path] = ()) -> None:
        """Make sure that `wanted` bytes can be written, were `spare` releases deleted but `reused`.

        Raises:
            NoSpaceError: They cannot.
        """
        free = self.free_bytes()
        if wanted <= free or wanted <= free + self._reclaimable(spare, reused):
            return
        limit = f" (--store-limit {self.limit})" if self.limit is not None else ""
        raise NoSpaceError(
            f"The store {self.root} has {max(free, 0)} bytes free{limit} and the release needs "
            f"{wanted} more.",
            remedy="Give the volume more room, and raise --store-limit with it.",
        )

    def have_room(self, wanted: int, spare: Sequence[str]) -> None:
        """Make room for `wanted` bytes, by as many of the `spare` releases as that takes.

        Raises:
            NoSpaceError: All of them are too few; none was deleted.
        """
        self.need(wanted, spare=spare)
        self.make_room(wanted, spare)

    def make_room(self, wanted: int, spare: Sequence[str]) -> None:
        """Delete `spare` releases, the first one first, until `wanted` bytes can be written."""
        for version in spare:
            if self.free_bytes() >= wanted:
                return
            self.remove(version)

    def _reclaimable(self, spare: Sequence[str], reused: Sequence[Path]) -> int:
        others = [self.path(v) for v in self.versions() if v not in spare]
        kept = disk.blocks([*others, self.agent]) | disk.blocks(reused)
        going = disk.blocks([self.path(version) for version in spare])
        return sum(size for inode, size in going.items() if inode not in kept)


def _remove_temporaries(directory: Path) -> None:
    """Remove what `durable` left half done: hidden names with a random ending."""
    for path in directory.glob(".*.????????"):
        suffix = path.name.rpartition(".")[2]
        if set(suffix) <= set("0123456789abcdef") and (path.is_symlink() or path.is_file()):
            path.unlink(missing_ok=True)
