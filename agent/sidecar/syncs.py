"""The syncs of a sidecar, one at a time, each of which ends with one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.sync.events import SyncSuperseded
from agent.sync.summary import SyncSummary

if TYPE_CHECKING:
    from agent.sync.events import SyncEnded
    from agent.sync.listening import Events


class Syncs:
    """The syncs of a sidecar: one at a time, from its first step to the event that ends it.

    Args:
        events: Told of each end.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._open: SyncSummary | None = None
        self._observed = 0.0

    def observed(self, seconds: float, *, desired: str | None) -> None:
        """Count a look that took so long; a sync of a release that is not desired now ends."""
        self._observed = seconds
        if self._open is None:
            return
        self._open.took("observe", seconds)
        if desired not in {None, self._open.version}:
            self.supersede(desired)

    def of(self, version: str, *, previous: str | None, number: int) -> SyncSummary:
        """Return the sync that a step at `version` belongs to; it begins with its first step."""
        if self._open is None or self._open.version != version:
            self._open = SyncSummary(version, previous, number)
            self._open.began -= self._observed
            self._open.took("observe", self._observed)
        return self._open

    def take(self, version: str) -> SyncSummary:
        """Return the open sync, which the caller ends; a new one where there is none."""
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
        """End the open sync, since the marker moved on."""
        same = self._open is not None and self._open.version == by
        reason = "the marker was written anew" if same else f"the marker names {by} now"
        self.end(SyncSuperseded, reason)
