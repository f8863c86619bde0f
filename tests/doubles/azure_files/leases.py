"""Leases of files and shares: what is refused, what is granted, and what a lease protects.

Source: "Lease File" and "Lease Share" (Microsoft REST reference). A file's lease never ends by
itself; a share's lasts 15 to 60 seconds or for ever. Anyone may break one.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tests.doubles.azure_files.resterror import RestError, bad_header

if TYPE_CHECKING:
    from datetime import datetime

INFINITE: Final = -1
_SHARE_SECONDS: Final = range(15, 61)
_BREAK_SECONDS: Final = range(61)


class State(StrEnum):
    """What `x-ms-lease-state` says."""

    AVAILABLE = "available"
    LEASED = "leased"
    EXPIRED = "expired"
    BREAKING = "breaking"
    BROKEN = "broken"


@dataclass
class Lease:
    """The lease of one file or share.

    Attributes:
        kind: `File` or `Share`, as error codes name it.
        id: Who holds it, or held it last.
        seconds: How long it was taken for; `INFINITE` for ever.
    """

    kind: str
    id: str | None = None
    seconds: int = INFINITE
    _ends: datetime | None = None
    _broken_from: datetime | None = None

    def state(self, now: datetime) -> State:
        """Its state at a moment."""
        if self.id is None:
            return State.AVAILABLE
        if self._broken_from is not None:
            return State.BREAKING if now < self._broken_from else State.BROKEN
        return State.EXPIRED if self._ends and now >= self._ends else State.LEASED

    def headers(self, now: datetime) -> dict[str, str]:
        """`x-ms-lease-state`, `-status`, and while it is held `-duration`."""
        state = self.state(now)
        locked = state in {State.LEASED, State.BREAKING}
        headers = {
            "x-ms-lease-state": state.value,
            "x-ms-lease-status": "locked" if locked else "unlocked",
        }
        if state is State.LEASED:
            headers["x-ms-lease-duration"] = "infinite" if self.seconds == INFINITE else "fixed"
        return headers

    def acquire(self, *, proposed: str | None, seconds: int, now: datetime) -> str:
        """Take it, or take it anew by the same id."""
        self._check_seconds(seconds)
        wanted = lease_id(proposed) if proposed else str(uuid.uuid4())
        state = self.state(now)
        if state is State.LEASED and wanted != self.id:
            raise RestError("LeaseAlreadyPresent")
        if state is State.BREAKING:
            same = wanted == self.id
            raise RestError("LeaseIsBreakingAndCannotBeAcquired" if same else "LeaseAlreadyPresent")
        self.id, self.seconds, self._broken_from = wanted, seconds, None
        self._extend(now)
        return wanted

    def renew(self, *, given: str, now: datetime) -> str:
        """Start a share's lease again; also one that ran out and that nobody took since."""
        if self.kind == "File":
            raise bad_header("x-ms-lease-action", "renew")
        holder = self._held(given)
        if self._broken_from is not None:
            raise RestError("LeaseIsBrokenAndCannotBeRenewed")
        self._extend(now)
        return holder

    def change(self, *, given: str, proposed: str, now: datetime) -> str:
        """Give it another id; once it has that id, asking again succeeds."""
        wanted = lease_id(proposed)
        state = self.state(now)
        if state in {State.AVAILABLE, State.EXPIRED, State.BROKEN}:
            raise RestError("LeaseNotPresentWithLeaseOperation")
        if state is State.BREAKING:
            raise RestError("LeaseIsBreakingAndCannotBeChanged")
        if wanted != self.id:
            self._held(given)
        self.id = wanted
        return wanted

    def release(self, *, given: str) -> None:
        """Let it go."""
        self._held(given)
        self.id, self._ends, self._broken_from = None, None, None

    def end(self, *, after: int | None, now: datetime) -> int:
        """Break it, whoever holds it; seconds until it may be taken."""
        if after is not None and after not in _BREAK_SECONDS:
            raise bad_header("x-ms-lease-break-period", str(after))
        if self.state(now) is State.AVAILABLE:
            raise RestError("LeaseNotPresentWithLeaseOperation")
        ends = self._broken_from or self._ends
        remaining = max(0, round((ends - now).total_seconds())) if ends else None
        if remaining is None:
            remaining = (after or 0) if self._broken_from is None else 0
        elif after is not None:
            remaining = min(remaining, after)
        self._broken_from = now + timedelta(seconds=remaining)
        return remaining

    def check_write(self, given: str | None, now: datetime) -> None:
        """Refuse a change that the lease protects against."""
        if given is None and self.state(now) in {State.LEASED, State.BREAKING}:
            raise RestError("LeaseIdMissing")
        self.check_read(given, now)

    def check_read(self, given: str | None, now: datetime) -> None:
        """Refuse a request that names a lease which is not the one there is."""
        if given is None:
            return
        state = self.state(now)
        if state is State.AVAILABLE:
            raise RestError(f"LeaseNotPresentWith{self.kind}Operation")
        if lease_id(given) != self.id:
            raise RestError(f"LeaseIdMismatchWith{self.kind}Operation")
        if state in {State.EXPIRED, State.BROKEN}:
            raise RestError("LeaseLost")

    def _check_seconds(self, seconds: int) -> None:
        fixed = self.kind == "Share" and seconds in _SHARE_SECONDS
        if seconds != INFINITE and not fixed:
            raise bad_header("x-ms-lease-duration", str(seconds))

    def _extend(self, now: datetime) -> None:
        self._ends = None if self.seconds == INFINITE else now + timedelta(seconds=self.seconds)

    def _held(self, given: str) -> str:
        if self.id is None:
            raise RestError("LeaseNotPresentWithLeaseOperation")
        if lease_id(given) != self.id:
            raise RestError("LeaseIdMismatchWithLeaseOperation")
        return self.id


def lease_id(text: str) -> str:
    """A lease id in the one form that is compared; refuses what is no GUID."""
    try:
        return str(uuid.UUID(text.strip("(){}")))
    except ValueError as error:
        raise bad_header("x-ms-lease-id", text) from error
