"""Which releases of a store, or of a share, may go. Pure."""

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


def spare_on_share(held: Mapping[str, str | None], *, needed: Sequence[str]) -> tuple[str, ...]:
    """The releases of a share that nothing needs, the oldest first.

    Args:
        held: When each release was made (UTC), by version; None where it is not complete.
        needed: What the marker names, then its chain.
    """
    served = held.get(needed[0])
    if served is None:  # a tree made by hand, or gone: what is newer than that cannot be known
        return ()
    spare = {v: at for v, at in held.items() if v not in needed and at and at <= served}
    return tuple(sorted(spare, key=lambda version: (spare[version], version)))
