"""The gap: the time after the old model was freed and before another one serves.

If memory holds only one model, the old one is freed before the new one is loaded. Until one of them
serves, requests wait. This module decides what to load in the gap, and describes how it ended.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from agent.release.target import Target
    from agent.worker.release import Release

# The action for a model that does not fit beside the one that serves: refuse it, or open a gap.
Swap = Literal["beside", "replace"]

_log: Final = logging.getLogger("agent.worker")


class Gap:
    """One gap: the release that served before it, and those tried since; the holder locks it.

    Args:
        old: The release that served before.
    """

    def __init__(self, old: Release) -> None:
        self.old = old
        self._began = time.perf_counter()
        self._asked: dict[Target, Release] = {}
        self._failed: dict[Target, str] = {}

    @property
    def seconds(self) -> float:
        """The seconds since the gap began."""
        return time.perf_counter() - self._began

    def next(self, wanted: Release | None) -> Release | None:
        """Return the release to load now; None if all have failed.

        The requested release comes first, then the old one, then those of earlier requests in this
        gap, newest first: an outdated release is better than none.
        """
        if wanted:
            self._asked.setdefault(wanted.target, wanted)
        candidates = [wanted, self.old, *reversed(self._asked.values())]
        return next((c for c in candidates if c and c.target not in self._failed), None)

    def note_failure(self, release: Release, reason: str) -> None:
        """Record that `release` did not load; it is not tried again in this gap."""
        self._failed[release.target] = reason

    def may_serve(self, release: Release, *, wanted: Release | None) -> bool:
        """Return true if `release`, which is not the requested one, may end the gap.

        The old release always may: it answered a moment ago. Any other may only if the requested
        and the old one have failed.
        """
        if release.target == self.old.target:
            return True
        hopeless = wanted is None or wanted.target in self._failed
        return hopeless and self.old.target in self._failed

    def failure(self, wanted: Release | None, served: Release | None) -> str | None:
        """Return why the requested release failed, once the gap is over; None if it did not fail.

        Args:
            wanted: The release that was requested last.
            served: The release that serves now; None if none could be loaded.
        """
        reason = self._failed.get(wanted.target) if wanted else None
        if reason is None:
            return None
        if served is None:
            reasons = "; ".join(f"{target.version}: {r}" for target, r in self._failed.items())
            return f"Nothing serves, because no release could be loaded: {reasons}"
        return (
            f"{reason.removesuffix('.')}. {served.version} was loaded again; nothing answered for "
            f"{self.seconds:.1f} s."
        )

    def log_end(self, served: Release | None) -> None:
        """Log the end of the gap and its length."""
        if served is None:
            _log.error("model.lost version=%s gap_seconds=%.3f", self.old.version, self.seconds)
            return
        event = "restored" if served.target == self.old.target else "replaced"
        _log.info("model.%s version=%s gap_seconds=%.3f", event, served.version, self.seconds)
