"""Chooses the releases of a store, or of a share, that may be deleted. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def spare(
    held: Sequence[str],
    *,
    keep: int,
    active: str | None,
    previous: str | None,
    desired: str | None,
    quarantined: Collection[str],
) -> tuple[str, ...]:
    """Return the releases to delete so that `keep` are left, the first to go first.

    The active and the desired release always stay. Quarantined releases go first, since they are of
    no use, and the previous one goes last; of the others the oldest goes first.

    Args:
        held: The releases of the store, the newest first.
        keep: The number of releases to leave.
        active: The release that `current` leads to.
        previous: The release that it led to before.
        desired: The release that the marker names.
        quarantined: The releases that failed.
    """
    bad = [v for v in held if v in quarantined and v not in {active, desired}]
    good = [v for v in held if v not in bad]
    safe = [v for v in good if v in {active, desired}]
    others = sorted(
        (v for v in good if v not in safe), key=lambda v: (v == previous, -held.index(v))
    )
    room = max(0, keep - len(safe))
    return tuple(bad[::-1] + others[: max(0, len(others) - room)])


def spare_on_share(held: Mapping[str, str | None], *, needed: Sequence[str]) -> tuple[str, ...]:
    """Return the releases of a share that nothing needs, the oldest first.

    Args:
        held: The time (UTC) at which each release was made, by version; None if it is incomplete.
        needed: The release that the marker names, then its chain.
    """
    served = held.get(needed[0])
    if served is None:  # a hand-made tree, or gone: nothing tells which releases are newer
        return ()
    spare = {v: at for v, at in held.items() if v not in needed and at and at <= served}
    return tuple(sorted(spare, key=lambda version: (spare[version], version)))
