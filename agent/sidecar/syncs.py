"""The syncs of a sidecar; at most one is open, and each ends with one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.sync.events import SyncSuperseded
from agent.sync.summary import SyncSummary

if TYPE_CHECKING:
    from agent.sync.events import SyncEnded
    from agent.sync.listening import Events


class Syncs:
    """Keeps the open sync of a sidecar, from its first step to the event that ends it.

    Args:
        events: The listeners, which get the event that ends a sync.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._open: SyncSummary | None = None
        self._observed = 0.0

    def observed(self, seconds: float, *, desired: str | None) -> None:
        """Add the seconds of an observation; end a sync whose release is no longer desired."""
        self._observed = seconds
        if self._open is None:
            return
        self._open.took("observe", seconds)
        if desired not in {None, self._open.version}:
            self.supersede(desired)

    def of(self, version: str, *, previous: str | None, number: int) -> SyncSummary:
        """Return the sync that a step for `version` belongs to; the first step opens it."""
        if self._open is None or self._open.version != version:
            self._open = SyncSummary(version, previous, number)
            self._open.began -= self._observed
            self._open.took("observe", self._observed)
        return self._open

    def take(self, version: str) -> SyncSummary:
        """Return the open sync, or a new one, for the caller, who tells the event that ends it."""
        taken, self._open = self._open or SyncSummary(version, None), None
        taken.end()
        return taken

    def end(self, ending: type[SyncEnded], reason: str | None = None, **more: Any) -> None:
        """End the open sync, if there is one, with an event of this kind."""
        if self._open:
            ended, self._open = self._open, None
            ended.end()
            self._events.tell(ending(ended, reason, **more))

    def supersede(self, by: str | None) -> None:
        """End the open sync because the marker changed; `by` is the version it names now."""
        same = self._open is not None and self._open.version == by
        reason = "the marker was written again" if same else f"the marker names {by} now"
        self.end(SyncSuperseded, reason)
