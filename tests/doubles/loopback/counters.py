"""What was asked of a server: requests and bytes by operation, and the latest requests. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Final

_LATEST: Final = 20_000


@dataclass(frozen=True)
class Entry:
    """One request that was answered, or not.

    Attributes:
        operation: The operation's name.
        method: The HTTP method.
        path: The decoded path, without the query.
        range: The request's range, if it had one.
        status: The status answered; 0 when no answer went out.
        bytes_in: Bytes of the request's body that arrived.
        bytes_out: Bytes of the answer's body that were handed to the network.
        seconds: From the request's head to the end of its answer.
        faults: Kinds of the faults that hit it.
    """

    operation: str
    method: str
    path: str
    range: str | None
    status: int
    bytes_in: int
    bytes_out: int
    seconds: float
    faults: tuple[str, ...] = ()


@dataclass
class _Tally:
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    statuses: dict[str, int] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        self.requests += 1
        self.bytes_in += entry.bytes_in
        self.bytes_out += entry.bytes_out
        status = str(entry.status)
        self.statuses[status] = self.statuses.get(status, 0) + 1


class Counters:
    """Sums by operation since the last reset, and the latest requests in order."""

    def __init__(self) -> None:
        self._total = _Tally()
        self._tallies: dict[str, _Tally] = {}
        self._latest: deque[Entry] = deque(maxlen=_LATEST)

    def record(self, entry: Entry) -> None:
        """Count one request."""
        self._total.add(entry)
        self._tallies.setdefault(entry.operation, _Tally()).add(entry)
        self._latest.append(entry)

    def reset(self) -> None:
        """Start again from nothing."""
        self._total = _Tally()
        self._tallies.clear()
        self._latest.clear()

    def report(self) -> dict[str, Any]:
        """`{"total": {...}, "operations": {name: {...}}}`, each with requests, bytes, statuses."""
        operations = {name: asdict(tally) for name, tally in sorted(self._tallies.items())}
        return {"total": asdict(self._total), "operations": operations}

    def latest(self) -> list[dict[str, Any]]:
        """The latest requests, oldest first."""
        return [asdict(entry) for entry in self._latest]
