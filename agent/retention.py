"""Which releases of a store may go. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def spare(
    held: Sequence[str],
    *,
    keep: int,
    active: str | None,
    previous: str | None,
    desired: str | None,
    quarantined: Collection[str],
) -> tuple[str, ...]:
    """The releases to delete so that `keep` are left, the first to go first.

    The active one and the desired one stay in any case. A quarantined release is of no use and goes
    first; the previous one goes last; of the others the oldest goes first.

    Args:
        held: What the store has, the newest first.
        keep: How many to leave.
        active: What `current` leads to.
        previous: What it led to before.
        desired: What the marker names.
        quarantined: What failed.
    """
    bad = [v for v in held if v in quarantined and v not in {active, desired}]
    good = [v for v in held if v not in bad]
    safe = [v for v in good if v in {active, desired}]
    others = sorted(
        (v for v in good if v not in safe), key=lambda v: (v == previous, -held.index(v))
    )
    room = max(0, keep - len(safe))
    return tuple(bad[::-1] + others[: max(0, len(others) - room)])
