"""What happens while one model has gone and no other serves yet: what to load, and what to say.

Where memory holds one model only, the old one is freed before the new one is loaded. Until one of
them serves, requests wait: that is the gap.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from agent.release.target import Target
    from agent.worker.release import Release

# How a model is replaced by one that does not fit beside it: not at all, or by way of a gap.
Swap = Literal["beside", "replace"]

_log: Final = logging.getLogger("agent.worker")


class Gap:
    """What was there before, and what has been tried since. The holder's lock guards it.

    Args:
        old: What served.
    """

    def __init__(self, old: Release) -> None:
        self.old = old
        self._began = time.perf_counter()
        self._asked: dict[Target, Release] = {}
        self._failed: dict[Target, str] = {}

    @property
    def seconds(self) -> float:
        """How long it lasts already."""
        return time.perf_counter() - self._began

    def next(self, wanted: Release | None) -> Release | None:
        """What to load now; None if all has failed.

        What is wanted comes first, then the old one, then what was overtaken, the newest first:
        one that nobody wants any more is better than none.
        """
        if wanted:
            self._asked.setdefault(wanted.target, wanted)
        candidates = [wanted, self.old, *reversed(self._asked.values())]
        return next((c for c in candidates if c and c.target not in self._failed), None)

    def note_failure(self, release: Release, reason: str) -> None:
        """`release` did not load; it is not tried again in this gap."""
        self._failed[release.target] = reason

    def may_serve(self, release: Release, *, wanted: Release | None) -> bool:
        """Whether `release`, which is not what is wanted, may end the gap.

        The old one always may: it answered a moment ago. Any other only if there is no better one.
        """
        if release.target == self.old.target:
            return True
        hopeless = wanted is None or wanted.target in self._failed
        return hopeless and self.old.target in self._failed

    def failure(self, wanted: Release | None, served: Release | None) -> str | None:
        """The reason of a `wanted` that has failed, now that the gap is over; None if it has not.

        Args:
            wanted: What was asked for last.
            served: What serves now.
        """
        reason = self._failed.get(wanted.target) if wanted else None
        if reason is None:
            return None
        if served is None:
            reasons = "; ".join(f"{target.version}: {r}" for target, r in self._failed.items())
            return f"Nothing serves, for no release could be loaded: {reasons}"
        return (
            f"{reason.removesuffix('.')}. {served.version} was loaded again; nothing answered for "
            f"{self.seconds:.1f} s."
        )

    def log_end(self, served: Release | None) -> None:
        """Log how it ended, and how long it was."""
        if served is None:
            _log.error("model.lost version=%s gap_seconds=%.3f", self.old.version, self.seconds)
            return
        event = "restored" if served.target == self.old.target else "replaced"
        _log.info("model.%s version=%s gap_seconds=%.3f", event, served.version, self.seconds)
