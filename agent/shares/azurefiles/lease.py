"""A lock file that is held by a lease.

Creating a file over REST replaces an existing one, so existence cannot decide who holds the lock; a
lease can. A file's lease never ends by itself, but whoever knows its id may change it, and the id
stands in the file. SMB clients cannot open a leased file, so it must be one that pods never read.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from azure.storage.fileshare import ShareLeaseClient

from agent.shares import lock_holder as holders
from agent.shares.azurefiles.explain import ServiceError
from agent.shares.azurefiles.sentences import GONE
from agent.shares.azurefiles.service import PATIENT_SECONDS
from agent.shares.base import LOCKS
from agent.shares.lock import LockLostError
from agent.shares.lock_holder import RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.shares.azurefiles.files import Files

_HELD: Final = (
    "LeaseAlreadyPresent",
    "LeaseIdMissing",
    "LeaseIdMismatchWithLeaseOperation",
    "LeaseIsBreakingAndCannotBeAcquired",
)
_LOST: Final = (
    *GONE,
    "LeaseLost",
    "LeaseIdMissing",
    "LeaseIdMismatchWithFileOperation",
    "LeaseNotPresentWithFileOperation",
)
_NOT_LEASED: Final = "LeaseNotPresentWithFileOperation"
_NO_LEASE: Final = "LeaseNotPresentWithLeaseOperation"


class LeasedFile:
    """A lock file under a lease; see `agent.shares.lock.LockFile`.

    Args:
        files: The share's files.
        quick: The same with a short deadline, for calls that must not delay a process' end.
        name: The lock file's name.
    """

    def __init__(self, files: Files, quick: Files, name: str) -> None:
        self._files = files
        self._quick = quick
        self.path = f"{LOCKS}/{name}"
        self._id = ""

    def look(self) -> bytes | None:
        """Return the record in the file, whoever holds the lease; None if there is no file."""
        return self._files.read(self.path, RECORD_BYTES)

    def take(self, seen: bytes | None, record: bytes, *, force: bool = False) -> bool:
        """Create the file if it is missing, take its lease, and write `record`.

        The lease is taken from a dead holder if need be. Return false if another was first.
        """
        holder = holders.parse(record)
        assert holder  # noqa: S101 - our own record can be parsed
        self._id = holder.id
        try:
            if seen is None:
                self._files.create(self.path, RECORD_BYTES)
        except ServiceError as error:
            if error.code in _HELD:
                return False
            raise
        try:
            self._sign(seen, record, force=force)
        except ServiceError as error:
            if error.code in {*_HELD, *_LOST}:
                return False
            self._abandon()
            raise
        return True

    def beat(self, record: bytes) -> None:
        """Write `record` under the lease: the service refuses that if another has the lease."""
        try:
            self._files.put(self.path, 0, record, lease=self._id)
        except ServiceError as error:
            if error.code not in _LOST:
                raise
            raise LockLostError(
                f"Another publisher took {self.path}: this one was silent for too long.",
                remedy="Publish again; what was uploaded is reused.",
            ) from None

    def release(self) -> None:
        """Delete the file under the lease."""
        try:
            self._delete()
        except ServiceError as error:
            if error.code not in _LOST:
                raise

    def _sign(self, seen: bytes | None, record: bytes, *, force: bool) -> None:
        if force:
            self._break()
        if force or seen is None or not self._inherit(seen):
            # The same id each time: if an answer is lost, the repeated request succeeds.
            self._on_lease(self._id, lambda lease: lease.acquire(lease_duration=-1))
        self._files.put(self.path, 0, record, lease=self._id)

    def _inherit(self, seen: bytes) -> bool:
        """Change a dead holder's lease to ours, in one step: only one of several takers succeeds.

        Breaking the lease would not be safe: another publisher may have taken it since we looked.

        Returns:
            False if there is no lease any more, or if `seen` does not tell its id.
        """
        dead = holders.parse(seen)
        if dead is None:
            return False
        try:
            self._on_lease(dead.id, lambda lease: lease.change(proposed_lease_id=self._id))
        except ServiceError as error:
            if error.code != _NO_LEASE:
                raise
            return False
        return True

    def _break(self) -> None:
        """Break a lease whose id is in no file: its holder was killed before it wrote the id."""
        try:
            self._on_lease(self._id, lambda lease: lease.break_lease())
        except ServiceError as error:
            if error.code != _NO_LEASE:
                raise

    def _abandon(self) -> None:
        """Delete a file that we created but did not sign: others would wait until it is stale."""
        with suppress(ServiceError):
            try:
                self._delete()
            except ServiceError as error:
                if error.code != _NOT_LEASED:
                    raise
                self._quick.delete(self.path)

    def _delete(self) -> None:
        self._quick.delete(self.path, lease=self._id)
        self._quick.delete_if_empty(LOCKS)

    def _on_lease(self, lease_id: str, call: Callable[[ShareLeaseClient], object]) -> None:
        service = self._files.service

        def lease() -> None:
            call(ShareLeaseClient(service.file(self.path), lease_id=lease_id))

        service.attempt(lease, self.path, seconds=PATIENT_SECONDS)
