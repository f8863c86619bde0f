"""Looks at the share from outside: whether it answers, how fast, and how it is mounted."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from time import monotonic as clock
from typing import TYPE_CHECKING, Final

from agent.doctor import azure
from agent.doctor.judge import mounts, reach
from agent.doctor.judge.findings import Finding, fail, ok, skip, warn
from agent.errors import UnreachableError
from agent.machine import threads
from agent.release import marker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.doctor.case import Case
    from agent.doctor.judge.reach import Network

# The share's own calls try for 6 s; a name server that is away takes 10 s to say so.
_ANSWER_SECONDS: Final = 12.0
_LOOK_SECONDS: Final = 6.0
_TRIPS: Final = 3
_MOUNTS: Final = Path("/proc/mounts")


def share(case: Case) -> Iterator[Finding]:
    """Check that the share answers, and take the time of one small read."""
    share = case.share
    lane = threads.Lane(f"The share {share.address}", seconds=_ANSWER_SECONDS)
    try:
        names = lane.call(share.names, "")
        trip = min(lane.call(_trip, case) for _ in range(_TRIPS))
    except UnreachableError as error:
        yield _diagnosed(case, error)
        return
    if names:
        yield ok(f"{share.address} answers in {trip * 1000:.1f} ms.")
    else:
        yield warn(
            f"The share {share.address} exists but is empty.",
            "If it is the right share, publish a release.",
        )


def mount(case: Case) -> Iterator[Finding]:
    """Check how the share's directory is mounted."""
    path = Path(case.settings.share_address).resolve()
    found = mounts.holding(mounts.parse(_MOUNTS.read_text(errors="replace")), str(path))
    if found is None:
        yield skip(f"{_MOUNTS} does not say what {path} is on.")
        return
    interval = case.settings.poll_interval
    yield from mounts.judge(found, poll_interval=interval, in_pod=case.in_pod)


def _trip(case: Case) -> float:
    began = clock()
    case.share.read(case.settings.marker, marker.MAX_BYTES)
    return clock() - began


def _diagnosed(case: Case, error: UnreachableError) -> Finding:
    if not case.is_rest:
        return fail(error, diagnosis=reach.NOT_REACHABLE)
    found = reach.diagnose(azure.failure(error), _network(case.endpoint))
    named = UnreachableError(found.what, remedy=found.remedy)
    return fail(named, diagnosis=found.name)


def _network(endpoint: str) -> Network:
    """Return the way to the host; an unknown one where the name server does not answer in time."""
    try:
        return threads.start(azure.network, endpoint).result(_LOOK_SECONDS)
    except FutureTimeoutError:
        return reach.Network(endpoint)
